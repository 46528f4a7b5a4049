/// What an edge node says about itself: in Redis, as SSE event `node`, and what `/api/nodes` is made of.
public struct NodeRecord: Sendable, Hashable, Codable {
    /// Version of the writer's format.
    public var version: RecordVersion
    /// The node's name in the cluster; see `NodeAlias`.
    public var alias: String
    /// How others reach its HTTP API, such as `http://10.0.0.5:7777`.
    public var url: String
    /// Where it stands, for the `nearest` policy; may be empty.
    public var region: String
    /// The operator's own words about the node.
    public var labels: [String: String]
    /// Whether it takes new sessions.
    public var status: NodeStatus
    /// When the process started, Unix milliseconds. Another value under the same alias means a restart.
    public var startedAtMs: Int64
    /// When this record was made, Unix milliseconds on the node's clock.
    public var updatedAtMs: Int64
    /// How busy it is.
    public var load: NodeLoad
    /// Most publishers it takes; 0 means no limit.
    public var pubMax: Int
    /// Most viewers it takes; 0 means no limit.
    public var subMax: Int
    /// Number of recordings being written.
    public var recordings: Int
    /// Whether it is drained and nothing is left on it: no session, no recording, nothing to upload. It may end.
    public var drained: Bool
    /// What it was ordered last, to be drained or to go on; nil when nobody has ordered either since it started.
    public var drainOrder: DrainOrder?
    /// UDP ports its media loops listen on.
    public var mediaPorts: [UInt16]
    /// Another number as soon as the node's streams are others, apart from their figures; nil: nobody has counted. Only to be compared
    /// while `startedAtMs` stays the same.
    public var streamsVersion: Int64?

    /// Makes a record of the current version.
    public init(
        alias: String, url: String, region: String = "", labels: [String: String] = [:], status: NodeStatus = .running,
        startedAtMs: Int64, updatedAtMs: Int64, load: NodeLoad = NodeLoad(), pubMax: Int = 0, subMax: Int = 0,
        recordings: Int = 0, drained: Bool = false, drainOrder: DrainOrder? = nil, mediaPorts: [UInt16] = [],
        streamsVersion: Int64? = nil
    ) {
        version = .current
        self.alias = alias
        self.url = url
        self.region = region
        self.labels = labels
        self.status = status
        self.startedAtMs = startedAtMs
        self.updatedAtMs = updatedAtMs
        self.load = load
        self.pubMax = pubMax
        self.subMax = subMax
        self.recordings = recordings
        self.drained = drained
        self.drainOrder = drainOrder
        self.mediaPorts = mediaPorts
        self.streamsVersion = streamsVersion
    }

    /// Reads a record; only `alias` and `url` must be there. Throws when the alias isn't valid.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        version = try container.value(.version, or: .current)
        alias = try container.decode(String.self, forKey: .alias)
        guard NodeAlias.isValid(alias) else {
            throw DecodingError.dataCorruptedError(forKey: .alias, in: container, debugDescription: "not a node alias")
        }
        url = try container.decode(String.self, forKey: .url)
        region = try container.value(.region, or: "")
        labels = try container.value(.labels, or: [:])
        status = try container.value(.status, or: .running)
        startedAtMs = try container.value(.startedAtMs, or: 0)
        updatedAtMs = try container.value(.updatedAtMs, or: 0)
        load = try container.value(.load, or: NodeLoad())
        pubMax = try container.value(.pubMax, or: 0)
        subMax = try container.value(.subMax, or: 0)
        recordings = try container.value(.recordings, or: 0)
        drained = try container.value(.drained, or: false)
        drainOrder = try container.decodeIfPresent(DrainOrder.self, forKey: .drainOrder)
        streamsVersion = try container.decodeIfPresent(Int64.self, forKey: .streamsVersion)
        // Read wide: a number out of range would otherwise be reported as broken JSON without its place.
        let ports: [Int] = try container.value(.mediaPorts, or: [])
        mediaPorts = ports.compactMap(UInt16.init(exactly:))
        guard mediaPorts.count == ports.count else {
            throw DecodingError.dataCorruptedError(forKey: .mediaPorts, in: container, debugDescription: "not a UDP port")
        }
    }
}

extension NodeRecord {
    /// What it says apart from what changes all the time.
    public var withoutFigures: NodeRecord {
        var record = self
        (record.load, record.updatedAtMs) = (NodeLoad(), 0)
        return record
    }
}

/// What somebody has ordered a node, as it tells every coordinator that follows it.
public struct DrainOrder: Sendable, Hashable, Codable {
    /// Whether it is to be drained; false: it was taken back into service.
    public var drained: Bool
    /// The how manieth order since the node started. While `startedAtMs` stays the same, the larger number is the newer word.
    public var number: Int64

    /// - Parameters:
    ///   - drained: whether it is to be drained.
    ///   - number: counted from 1 since the node started.
    public init(drained: Bool, number: Int64) { (self.drained, self.number) = (drained, number) }
}

/// Whether a node takes new sessions.
public enum NodeStatus: String, Sendable, Hashable, Codable {
    /// Takes new sessions.
    case running
    /// Keeps the sessions it has and takes no new ones.
    case draining
    /// Not heard of for 3 s. Only a coordinator says this, never the node.
    case lost

    /// A word of a later release counts as `draining`: nothing new is sent where we don't know what is meant.
    public init(from decoder: any Decoder) throws {
        self = NodeStatus(rawValue: try decoder.singleValueContainer().decode(String.self)) ?? .draining
    }
}

/// How busy a node is.
public struct NodeLoad: Sendable, Hashable, Codable {
    /// Share of all cores this process used over the last second, 0 to 1.
    public var cpu: Double
    /// Media sent, bits per second over the last second.
    public var egressBitsPerSecond: Int64
    /// Media received, bits per second over the last second.
    public var ingressBitsPerSecond: Int64
    /// Publishers connected now.
    public var publishers: Int
    /// Viewers connected now.
    public var viewers: Int

    /// - Parameter cpu: cut to 0…1; a value that is no number counts as 0.
    public init(
        cpu: Double = 0, egressBitsPerSecond: Int64 = 0, ingressBitsPerSecond: Int64 = 0, publishers: Int = 0, viewers: Int = 0
    ) {
        self.cpu = cpu.isFinite ? min(max(cpu, 0), 1) : 0
        self.egressBitsPerSecond = egressBitsPerSecond
        self.ingressBitsPerSecond = ingressBitsPerSecond
        self.publishers = publishers
        self.viewers = viewers
    }

    /// Reads a load; whatever is absent counts as 0.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            cpu: try container.value(.cpu, or: 0),
            egressBitsPerSecond: try container.value(.egressBitsPerSecond, or: 0),
            ingressBitsPerSecond: try container.value(.ingressBitsPerSecond, or: 0),
            publishers: try container.value(.publishers, or: 0),
            viewers: try container.value(.viewers, or: 0))
    }
}
