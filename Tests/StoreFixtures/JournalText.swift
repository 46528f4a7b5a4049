import Journal

/// Journals as a recorder writes them: a session of one Period with a track of pictures and one of sound.
package struct JournalText {
    /// How a journal ends.
    package enum End: Sendable {
        /// With the row, as sessions are closed.
        case row
        /// As older versions closed them.
        case plain
        /// Not at all: the writer was killed.
        case none
    }

    package var id: String
    package var stream = "demo"
    package var node = "edge-a"
    package var directory = "demo/2026/11/20"
    /// Unix microseconds.
    package var startUs: Int64 = 1_795_190_400_000_000
    package var segments: Int
    package var end = End.row
    /// The names of the first session in a directory.
    package var isPlain = false

    package init(_ id: String, segments: Int, end: End = .row) { (self.id, self.segments, self.end) = (id, segments, end) }

    /// The lines, one change each.
    package var lines: [JournalLine] {
        var at = startUs
        var lines: [JournalLine] = []
        func add(_ event: JournalLine.Event, _ change: (inout JournalLine) -> Void) {
            at += 1
            var line = JournalLine(event, at: at)
            change(&line)
            lines.append(line)
        }
        add(.session) { ($0.id, $0.stream, $0.node, $0.startUs, $0.version) = (id, stream, node, startUs, 1) }
        add(.period) { ($0.period, $0.startUs) = (1, startUs) }
        for kind in LaneKind.allCases {
            add(.track) { line in
                (line.period, line.kind, line.timescale) = (1, kind, kind == .video ? 90_000 : 48_000)
                line.codecs = kind == .video ? "avc1.42e01f" : "opus"
                (line.initialization, line.prefix) = names(kind)
                (line.width, line.height, line.channels) = (320, 180, 2)
            }
        }
        var times: [LaneKind: Int64] = [:]
        for number in stride(from: 1, through: segments, by: 1) {
            for kind in LaneKind.allCases {
                let ticks: Int64 = (kind == .video ? 360_000 : 192_000) + Int64(number * 7 % 90)
                add(.segment) { line in
                    (line.period, line.kind, line.number) = (1, kind, number)
                    (line.time, line.duration) = (times[kind, default: 0], ticks)
                    (line.bytes, line.samples) = (50_000, 120)
                    if kind == .video, number % 5 == 0 { line.sync = false }
                }
                times[kind, default: 0] += ticks
            }
        }
        guard end != .none else { return lines }
        add(.periodEnd) { $0.period = 1 }
        at += 1
        let open = RecordedSession.read(lines.flatMap { $0.encoded() }, directory: directory)?.session
        lines.append(
            end == .row ? open?.closingLine(at: at, reason: nil) ?? JournalLine(.end, at: at) : JournalLine(.end, at: at))
        return lines
    }

    /// The whole of it.
    package var bytes: [UInt8] { lines.flatMap { $0.encoded() } }
    /// Its key.
    package var path: String { "\(directory)/\(JournalName.of(id))" }

    /// Of the initialization object, and what segments' names begin with.
    package func names(_ kind: LaneKind) -> (initialization: String, prefix: String) {
        let head = kind == .video ? "" : "audio_"
        return isPlain ? ("\(head)init.m4s", "\(head)seg_") : ("\(head)init_\(id).m4s", "\(head)seg_\(id)_")
    }

    /// The keys of all objects that it names.
    package var objects: [String] {
        LaneKind.allCases.flatMap { kind in
            let (initialization, prefix) = names(kind)
            let numbers = stride(from: 1, through: segments, by: 1).map { number in
                prefix + String(repeating: "0", count: max(0, 4 - String(number).count)) + "\(number).m4s"
            }
            return ([initialization] + numbers).map { "\(directory)/\($0)" }
        }
    }
}
