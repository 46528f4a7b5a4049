import Foundation

/// Video or audio.
package enum LaneKind: String, Sendable, CaseIterable, Codable {
    case video, audio
}

/// One line of a session's journal: what has become durable, or is about to be written.
///
/// The journal, not the manifest, is the truth about a session. It is appended to, flushed line by line, and can be read up to a torn
/// last line; manifest and index are made from it.
package struct JournalLine: Codable, Equatable, Sendable {
    package enum Event: String, Codable, Sendable {
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
        /// So many segments (`segments`) from this number on are gone; those behind them are where they were.
        case gone
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

    package var event: Event
    /// When the line was written, Unix microseconds; unique on the node.
    package var at: Int64

    package var version: Int?
    package var id: String?
    package var stream: String?
    package var node: String?
    package var startUs: Int64?

    package var period: Int?
    /// True when a Period goes on where the one before it on this node ended, in the media.
    package var continues: Bool?
    package var kind: LaneKind?
    package var codecs: String?
    package var timescale: Int?
    package var width: Int?
    package var height: Int?
    package var channels: Int?
    package var initialization: String?
    package var prefix: String?

    package var number: Int?
    package var time: Int64?
    package var duration: Int64?
    package var bytes: Int64?
    package var samples: Int?
    /// False when the segment does not start with a sync sample.
    package var sync: Bool?

    package var failed: Bool?
    package var reason: String?
    /// With `end`: the row, so that nobody has to read the lines between the first and this one for it.
    package var endUs: Int64?
    package var durationMs: Int64?
    /// With `gone`: how many, 1 when it is left out.
    package var segments: Int64?

    package enum CodingKeys: String, CodingKey {
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

    package init(_ event: Event, at: Int64) {
        self.event = event
        self.at = at
    }

    /// The line with its line feed.
    package func encoded() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only integers and strings are in it, which always encode.
        let data = (try? encoder.encode(self)) ?? Data()
        return [UInt8](data) + [0x0A]
    }
}
