import Foundation
import Media

/// One line of a session's journal: what has become durable, or is about to be written.
///
/// The journal, not the manifest, is the truth about a session. It is appended to, flushed line by line, and can be read up to a torn
/// last line; manifest and index are made from it.
struct JournalLine: Codable, Equatable, Sendable {
    enum Event: String, Codable, Sendable {
        /// The session exists.
        case session
        /// A Period begins.
        case period
        /// A track of it will be written; its initialization object may not exist yet.
        case track
        /// A segment is durable.
        case segment
        /// Nothing follows in the Period.
        case periodEnd = "period_end"
        /// Segments from this number on are gone.
        case lost
        /// Nothing follows in the session.
        case end
        /// An index has taken over.
        case acked
        /// The index row was removed; the media stay.
        case forgotten
        /// The media are being removed; nothing may name them any more.
        case deleting
        /// The media are gone. What is left of the journal says so for a while.
        case deleted
    }

    var event: Event
    /// When the line was written, Unix microseconds; unique on the node.
    var at: Int64

    var version: Int?
    var id: String?
    var stream: String?
    var node: String?
    var startUs: Int64?

    var period: Int?
    /// True when a Period goes on where the one before it on this node ended, in the media.
    var continues: Bool?
    var kind: LaneKind?
    var codecs: String?
    var timescale: Int?
    var width: Int?
    var height: Int?
    var channels: Int?
    var initialization: String?
    var prefix: String?

    var number: Int?
    var time: Int64?
    var duration: Int64?
    var bytes: Int64?
    var samples: Int?
    /// False when the segment does not start with a sync sample.
    var sync: Bool?

    var failed: Bool?
    var reason: String?
    /// With `end`: the row, so that nobody has to read the lines between the first and this one for it.
    var endUs: Int64?
    var durationMs: Int64?
    var segments: Int64?

    enum CodingKeys: String, CodingKey {
        case event, at, version, id, stream, node, period, continues, kind, codecs, timescale, width, height, channels, prefix,
            bytes,
            samples, sync
        case failed, reason, segments
        case endUs = "end_us"
        case durationMs = "duration_ms"
        case startUs = "start_us"
        case initialization = "init"
        case number = "n"
        case time = "t"
        case duration = "d"
    }

    init(_ event: Event, at: Int64) {
        self.event = event
        self.at = at
    }

    /// The line with its line feed.
    func encoded() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only integers and strings are in it, which always encode.
        let data = (try? encoder.encode(self)) ?? Data()
        return [UInt8](data) + [0x0A]
    }
}
