/// One stream of one node. The field names are live777's (camelCase), so its dashboards and Liveman can read them.
public struct StreamRecord: Sendable, Hashable, Encodable {
    /// Version of the writer's format.
    public var version: RecordVersion
    /// The stream's name; see `StreamName`.
    public var id: String
    /// When the stream came to be, Unix milliseconds.
    public var createdAt: Int64
    /// The publishing side: at most one live session.
    public var publish: StreamSide
    /// The watching side.
    public var subscribe: StreamSide
    /// What the publisher sends now; empty without a publisher.
    public var codecs: [CodecRecord]
    /// Whether it comes from the configuration rather than from a publisher.
    public var provisioned: Bool
    /// Whether its source is only started when someone watches.
    public var onDemand: Bool
    /// Totals since the stream was created.
    public var stats: StreamStats
    /// `node`, or `clusterNodeWork` when a coordinator summed over nodes.
    public var statsScope: String
    /// Whether it is being recorded on this node.
    public var recording: Bool
    /// The `base_dir` that the recording was asked for with, so that it can go on there on another node; nil while there is none, or
    /// when the node's own layout says where.
    public var recordingBaseDir: String?
    /// The `max_recording_seconds` that it was asked for with; nil while there is none, or when the node's own limit alone holds.
    public var recordingMaxSeconds: Int?
    /// Of two nodes that say they have the publisher, the one with the larger number does; 0 without a Redis to ask.
    public var fence: Int64
    /// The nodes that it comes through, the nearest first; empty where it is published.
    public var upstream: [String]
    /// Alias of the node; only a coordinator fills it in.
    public var node: String?

    /// Makes a record of the current version.
    public init(
        id: String, createdAt: Int64, publish: StreamSide = StreamSide(), subscribe: StreamSide = StreamSide(),
        codecs: [CodecRecord] = [], provisioned: Bool = false, onDemand: Bool = false, stats: StreamStats = StreamStats(),
        statsScope: String = "node", recording: Bool = false, recordingBaseDir: String? = nil,
        recordingMaxSeconds: Int? = nil, fence: Int64 = 0, upstream: [String] = [], node: String? = nil
    ) {
        version = .current
        self.id = id
        self.createdAt = createdAt
        self.publish = publish
        self.subscribe = subscribe
        self.codecs = codecs
        self.provisioned = provisioned
        self.onDemand = onDemand
        self.stats = stats
        self.statsScope = statsScope
        self.recording = recording
        self.recordingBaseDir = recordingBaseDir
        self.recordingMaxSeconds = recordingMaxSeconds
        self.fence = fence
        self.upstream = upstream
        self.node = node
    }
}

extension StreamRecord {
    /// The record for someone who may not administrate the stream.
    ///
    /// A session's URL is what changes and ends the session, so its id is only told to its owner: here the first 8 characters
    /// stay, enough to know one's own and too few to guess the rest.
    public func withShortSessionIDs() -> StreamRecord {
        var record = self
        for index in record.publish.sessions.indices { record.publish.sessions[index].shortenID() }
        for index in record.subscribe.sessions.indices { record.subscribe.sessions[index].shortenID() }
        return record
    }
}

extension StreamRecord {
    /// What its recording was asked for with.
    public var recordingOrder: RecordingOrder {
        RecordingOrder(baseDirectory: recordingBaseDir, secondsMax: recordingMaxSeconds)
    }

    /// What it says apart from what changes all the time.
    public var withoutFigures: StreamRecord {
        var record = self
        record.stats = StreamStats()
        for index in record.publish.sessions.indices {
            record.publish.sessions[index].stats = TrafficStats()
            record.publish.sessions[index].layers = record.publish.sessions[index].layers?.map { LayerRecord(rid: $0.rid) }
        }
        for index in record.subscribe.sessions.indices {
            record.subscribe.sessions[index].stats = TrafficStats()
            record.subscribe.sessions[index].layer = nil
            record.subscribe.sessions[index].availableBitrate = nil
        }
        return record
    }
}

extension SessionRecord {
    fileprivate mutating func shortenID() { id = String(id.prefix(8)) }
}

/// The publishing or the watching side of a stream.
public struct StreamSide: Sendable, Hashable, Encodable {
    /// Unix milliseconds since when nobody is there; 0 while someone is.
    public var leaveAt: Int64
    /// Sessions, those that ended in the last 30 s included.
    public var sessions: [SessionRecord]

    /// - Parameters:
    ///   - leaveAt: Unix milliseconds, 0 while someone is there.
    ///   - sessions: live and just ended sessions.
    public init(leaveAt: Int64 = 0, sessions: [SessionRecord] = []) {
        self.leaveAt = leaveAt
        self.sessions = sessions
    }
}

/// A codec of one published track.
public struct CodecRecord: Sendable, Hashable, Encodable {
    /// `video` or `audio`.
    public var kind: String
    /// RTP encoding name, such as `H264` or `opus`.
    public var codec: String
    /// Format parameters as in SDP; may be empty.
    public var fmtp: String

    /// - Parameters:
    ///   - kind: `video` or `audio`.
    ///   - codec: RTP encoding name.
    ///   - fmtp: format parameters as in SDP.
    public init(kind: String, codec: String, fmtp: String = "") {
        self.kind = kind
        self.codec = codec
        self.fmtp = fmtp
    }
}

/// Totals of a stream, both directions.
public struct StreamStats: Sendable, Hashable, Encodable {
    /// Received from the publisher.
    public var publish: TrafficStats
    /// Sent to all viewers together.
    public var subscribe: TrafficStats

    /// - Parameters:
    ///   - publish: received from the publisher.
    ///   - subscribe: sent to all viewers.
    public init(publish: TrafficStats = TrafficStats(), subscribe: TrafficStats = TrafficStats()) {
        self.publish = publish
        self.subscribe = subscribe
    }
}

/// Bytes and packets of media.
public struct TrafficStats: Sendable, Hashable, Encodable {
    /// Bytes of RTP since the session began.
    public var bytes: Int64
    /// RTP packets since the session began.
    public var packets: Int64
    /// Bits per second, over the last sampling period.
    public var bitrate: Int64

    /// - Parameters:
    ///   - bytes: bytes of RTP.
    ///   - packets: RTP packets.
    ///   - bitrate: bits per second.
    public init(bytes: Int64 = 0, packets: Int64 = 0, bitrate: Int64 = 0) {
        self.bytes = bytes
        self.packets = packets
        self.bitrate = bitrate
    }
}
