import Foundation
import Journal

/// Something that happened to a recording, as hooks are told of it. Times are Unix microseconds.
public struct RecordingEvent: Sendable, Equatable, Encodable {
    /// What happened.
    public enum Kind: String, Sendable, CaseIterable, Encodable {
        /// A recording has begun.
        case start
        /// A segment is in storage under its name.
        case segment
        /// A recording has ended and its manifest says so.
        case stop
    }

    /// What happened.
    public var event: Kind
    /// When.
    public var at: Int64
    /// The stream's name.
    public var stream: String
    /// Names the recording: `GET /api/recordings/{id}`.
    public var id: String
    /// The node that recorded.
    public var node: String
    /// Key of the recording's directory.
    public var recordDirectory: String
    /// Key of its manifest.
    public var mpdPath: String
    /// Key of the segment.
    public var object: String?
    /// `video` or `audio`, of a segment.
    public var kind: String?
    /// Time of day of the first sample, of the segment or the recording.
    public var startTs: Int64
    /// Time of day of the last sample's end.
    public var endTs: Int64?
    /// Seconds of media.
    public var duration: Double?
    /// Bytes of media.
    public var bytes: Int64?
    /// Why the recording ended, when it was not asked to.
    public var reason: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case event, at, stream, id, node, object, kind, duration, bytes, reason
        case recordDirectory = "record_dir"
        case mpdPath = "mpd_path"
        case startTs = "start_ts"
        case endTs = "end_ts"
    }

    init(_ event: Kind, _ session: RecordedSession, at: Int64) {
        self.event = event
        self.at = at
        stream = session.stream
        id = session.id
        node = session.node
        recordDirectory = session.directory
        mpdPath = session.mpdPath
        startTs = session.startUs
    }

    /// The end of a recording.
    init(ended session: RecordedSession, reason: String?, at: Int64) {
        self.init(.stop, session, at: at)
        endTs = session.endUs
        duration = Double(session.periods.map(\.durationUs).reduce(0, +)) / 1e6
        bytes = session.periods.flatMap(\.tracks).flatMap(\.segments).map(\.bytes).reduce(0, +)
        self.reason = reason ?? session.reason
    }

    /// The last segment of a track; nil when it has none.
    init?(lastSegmentOf kind: LaneKind, in session: RecordedSession, at: Int64) {
        guard let period = session.periods.last, let track = period.tracks.first(where: { $0.kind == kind }),
            let segment = track.segments.last
        else { return nil }
        self.init(.segment, session, at: at)
        object = session.directory + "/" + track.objectName(segment.number)
        self.kind = kind.rawValue
        startTs = period.startUs + track.us(segment.time)
        endTs = period.startUs + track.us(segment.time + segment.duration)
        duration = Double(segment.duration) / Double(track.timescale)
        bytes = segment.bytes
    }

    /// As the body of a request.
    var json: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only numbers and strings are in it, which always encode.
        return [UInt8]((try? encoder.encode(self)) ?? Data())
    }

    /// The fields there are, by their JSON names.
    var fields: [(name: String, value: String)] {
        let all: [(CodingKeys, String?)] = [
            (.event, event.rawValue), (.at, String(at)), (.stream, stream), (.id, id), (.node, node),
            (.recordDirectory, recordDirectory), (.mpdPath, mpdPath), (.object, object), (.kind, kind),
            (.startTs, String(startTs)), (.endTs, endTs.map { String($0) }), (.duration, duration.map { String($0) }),
            (.bytes, bytes.map { String($0) }), (.reason, reason),
        ]
        return all.compactMap { key, value in value.map { (key.rawValue, $0) } }
    }
}

extension RecordedSession.Track {
    /// A media time in microseconds of the Period.
    func us(_ time: Int64) -> Int64 {
        time / Int64(timescale) * 1_000_000 + time % Int64(timescale) * 1_000_000 / Int64(timescale)
    }
}
