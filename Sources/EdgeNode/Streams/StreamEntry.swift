import Cluster
import MediaPlane
import SDP

/// What a client gets back from POST: the answer and how to reach its session (RFC 9725 section 4.2).
public struct SessionAnswer: Sendable {
    /// The SDP answer.
    public let sdp: String
    /// At least 128 random bits, base64url: whoever knows it may change the session.
    public let sessionID: String
    /// The strong entity tag, quotes included.
    public let etag: String
}

/// Who holds a session.
public struct SessionOwner: Sendable, Equatable {
    /// What the client showed when it opened the session; nil without authentication.
    public let credential: String?
    /// Whether the session publishes.
    public let isPublisher: Bool
}

/// What a PATCH did.
public enum SessionPatch: Sendable, Equatable {
    /// Candidates were taken: 204 without a body.
    case trickled
    /// ICE restarted: 200 with this fragment and this new entity tag, quotes included.
    case restarted(fragment: String, etag: String)
}

/// A publisher's coming and going, for the recorder.
public enum PublicationEvent: Sendable, Equatable {
    /// A publisher was answered; its media may still take a second.
    ///
    /// `isCopy` says that the stream comes from another node, which is the one to record it unless somebody asks for more.
    case published(stream: String, key: StreamKey, isCopy: Bool)
    /// The publisher is gone. Another may follow, and then another `published` tells so.
    case ended(stream: String, key: StreamKey)
}

/// How many sessions of a stream stand where, and what has gone through them.
public struct StreamTally: Sendable {
    /// The stream's name.
    public let stream: String
    /// Where its publisher stands; nil without one.
    public let publisher: Cluster.SessionState?
    /// Viewers by where they stand.
    public let viewers: [Cluster.SessionState: Int]
    /// Of all its sessions, those that are over included.
    public let stats: StreamStats
}

/// One session as the registry keeps it.
struct Session {
    let id: String
    /// Nil while the media plane is still setting it up.
    var handle: SessionHandle?
    let createdAtMs: Int64
    let createdNs: UInt64
    /// Who opened it; nil without authentication.
    let credential: String?
    /// Its place in the counts by address and credential.
    let seat: SessionSeat
    var tracks: [NegotiatedTrack]
    var localICE: ICECredentials
    var remoteICE: ICECredentials
    var formerUfrags: [String] = []
    /// The other node, when the session carries the stream between nodes.
    var relay: Relay?
    var etag: String
    /// Whether data channels were agreed.
    var hasDataChannel = false
    var state = Cluster.SessionState.new
    var stats = TrafficStats()
    /// A publisher's layers.
    var layers: [LayerSnapshot] = []
    /// What a viewer is sent of them, and what its path is thought to carry.
    var layer: String?
    var availableBitrate: Int64?
    /// The payload types that a viewer's tracks go out in, by SSRC, where another than the answer's first was chosen since.
    var payloadTypes: [UInt32: UInt8] = [:]
    /// When `stats` was sampled, for the bit rate.
    var sampledNs: UInt64 = 0

    mutating func apply(_ change: (inout Session) -> Void) { change(&self) }

    /// Whether it has got as far as sending: some never do, as one behind a firewall that drops UDP.
    var hasConnected: Bool { state == .connected || state == .disconnected }

    func record(leaveAt: Int64 = 0) -> SessionRecord {
        SessionRecord(
            id: id, createdAt: createdAtMs, leaveAt: leaveAt, state: state, cascade: relay?.record,
            hasDataChannel: hasDataChannel, stats: stats, layers: layers.isEmpty ? nil : layers.map(LayerRecord.init),
            layer: layer, availableBitrate: availableBitrate)
    }
}

/// One stream as the registry keeps it.
struct StreamEntry {
    let name: String
    let key: StreamKey
    let createdAtMs: Int64
    /// Made through the API: stays without sessions until it is deleted there.
    let isLasting: Bool
    var publisher: Session?
    /// What the cluster let the publisher in with; nil when nobody had to be asked.
    var claim: (ticket: Int, fence: Int64)?
    var viewers: [String: Session] = [:]
    /// Since when there is no publisher, wall and monotonic.
    var publisherLeft: StreamTime
    /// Since when viewers wait, monotonic: when the last publisher went that had connected.
    var connectedPublisherLeftNs: UInt64
    /// Since when there is no viewer.
    var viewersLeft: StreamTime
    var hadPublisher = false
    /// What the last publisher sent, so that viewers can be answered between two publishers.
    var source: [SourceTrack] = []
    /// What its recording was asked for with; nil while it isn't recorded.
    var recording: RecordingOrder?
    var isRecording: Bool { recording != nil }
    /// The nodes that the last publisher's media came through, the nearest first; empty when it published here.
    var upstream: [String] = []
    var endedPublishers: [SessionRecord] = []
    var endedViewers: [SessionRecord] = []
    /// Totals of sessions that are over.
    var endedStats = StreamStats()

    init(name: String, key: StreamKey, now: StreamTime, isLasting: Bool) {
        self.name = name
        self.key = key
        createdAtMs = now.wallMs
        self.isLasting = isLasting
        publisherLeft = now
        connectedPublisherLeftNs = now.monotonicNs
        viewersLeft = now
    }

    func session(_ id: String) -> Session? { publisher?.id == id ? publisher : viewers[id] }

    /// Changes a session where it stands: copying a thousand viewers for each counter would be work by the square.
    mutating func update(_ id: String, _ change: (inout Session) -> Void) -> Bool {
        if publisher?.id == id {
            publisher?.apply(change)
        } else if viewers[id] != nil {
            viewers[id]?.apply(change)
        } else {
            return false
        }
        return true
    }

    /// Takes a session out as if it had never been.
    mutating func discard(_ id: String) {
        if publisher?.id == id { publisher = nil }
        viewers[id] = nil
    }

    /// Takes a session out and keeps its record; the caller tells the media plane.
    mutating func remove(_ id: String, state: Cluster.SessionState, now: StreamTime) -> Session? {
        if publisher?.id == id, var session = publisher {
            if session.hasConnected { connectedPublisherLeftNs = now.monotonicNs }
            session.state = state
            publisher = nil
            publisherLeft = now
            endedStats.publish.add(session.stats)
            Self.remember(session, in: &endedPublishers, now)
            return session
        }
        guard var session = viewers.removeValue(forKey: id) else { return nil }
        session.state = state
        if viewers.isEmpty { viewersLeft = now }
        endedStats.subscribe.add(session.stats)
        Self.remember(session, in: &endedViewers, now)
        return session
    }

    private static func remember(_ session: Session, in list: inout [SessionRecord], _ now: StreamTime) {
        var record = session.record(leaveAt: now.wallMs)
        record.stats.bitrate = 0
        list.append(record)
        if list.count > StreamLimits.endedSessions { list.removeFirst() }
    }

    /// Drops records of sessions that ended long ago; true when there were any.
    mutating func forgetEnded(before wallMs: Int64) -> Bool {
        let count = endedPublishers.count + endedViewers.count
        endedPublishers.removeAll { $0.leaveAt < wallMs }
        endedViewers.removeAll { $0.leaveAt < wallMs }
        return endedPublishers.count + endedViewers.count < count
    }

    /// Of all its sessions, those that are over included.
    var stats: StreamStats {
        var stats = endedStats
        if let publisher {
            stats.publish.add(publisher.stats)
            stats.publish.bitrate = publisher.stats.bitrate
        }
        // In place: a copy of each session would cost more than its numbers.
        for index in viewers.values.indices {
            stats.subscribe.add(viewers.values[index].stats)
            stats.subscribe.bitrate += viewers.values[index].stats.bitrate
        }
        return stats
    }

    /// Its numbers alone, read in place: a record of thousands of viewers would take milliseconds.
    var tally: StreamTally {
        var states: [Cluster.SessionState: Int] = [:]
        for index in viewers.values.indices { states[viewers.values[index].state, default: 0] += 1 }
        return StreamTally(stream: name, publisher: publisher?.state, viewers: states, stats: stats)
    }

    var record: StreamRecord {
        let live = viewers.values.sorted { ($0.createdAtMs, $0.id) < ($1.createdAtMs, $1.id) }
        let codecs = publisher.map {
            $0.tracks.map { CodecRecord(kind: $0.kind.rawValue, codec: $0.codec.name, fmtp: $0.codec.fmtp) }
        }
        return StreamRecord(
            id: name, createdAt: createdAtMs,
            publish: StreamSide(
                leaveAt: publisher == nil && hadPublisher ? publisherLeft.wallMs : 0,
                sessions: endedPublishers + (publisher.map { [$0.record()] } ?? [])),
            subscribe: StreamSide(
                leaveAt: viewers.isEmpty ? viewersLeft.wallMs : 0, sessions: endedViewers + live.map { $0.record() }),
            codecs: codecs ?? [], stats: stats, recording: isRecording,
            recordingBaseDir: recording?.baseDirectory, recordingMaxSeconds: recording?.secondsMax, fence: claim?.fence ?? 0,
            upstream: publisher == nil ? [] : upstream)
    }
}

extension TrafficStats {
    mutating func add(_ other: TrafficStats) {
        bytes += other.bytes
        packets += other.packets
    }
}
