import Foundation
import Glibc
import Store

extension RecordedSession {
    /// Reads a journal; nil when not even its first line is whole.
    ///
    /// - Returns: the session, and how many bytes of the journal are whole lines.
    package static func read(_ journal: [UInt8], directory: String) -> (session: RecordedSession, wholeBytes: Int)? {
        var session: RecordedSession?
        var whole = 0
        let decoder = JSONDecoder()
        journal.withUnsafeBytes { bytes in
            var lines = JournalLines(bytes)
            while let line = lines.next() {
                // A day has tens of thousands of segments and little else.
                if session != nil, let segment = SegmentLine(line) {
                    session?.apply(segment)
                } else if let line = try? decoder.decode(JournalLine.self, from: Data(line)) {
                    if session != nil { session?.apply(line) } else { session = RecordedSession(line, directory: directory) }
                    guard session != nil else { return }
                } else if session == nil || !UnknownLine.isOne(line, decoder) {
                    return
                }
                whole = lines.position
            }
        }
        return session.map { ($0, whole) }
    }

    /// What the first and the last lines of a journal tell: of one that was closed, everything but its periods. Others are read whole.
    /// Nil when not even the first line is whole. Blocks.
    package static func outline(_ key: ObjectKey, in store: FileStore) throws(StoreError) -> RecordedSession? {
        guard let directory = key.parent else { return nil }
        let ends = try store.endsNow(key, count: outlineBytes)
        if ends.size > Int64(2 * outlineBytes), let known = closed(head: ends.head, tail: ends.tail, directory: directory.path) {
            return known
        }
        return read(try store.readNow(key, limit: JournalName.bytesMax), directory: directory.path)?.session
    }

    /// More than a session's first line, and more than is ever written behind its row.
    package static let outlineBytes = 4096

    /// Nil when the lines do not tell enough.
    private static func closed(head: [UInt8], tail: [UInt8], directory: String) -> RecordedSession? {
        let decoder = JSONDecoder()
        guard let feed = head.firstIndex(of: 0x0A), let start = tail.firstIndex(of: 0x0A), let end = tail.lastIndex(of: 0x0A),
            let first = try? decoder.decode(JournalLine.self, from: Data(head[..<feed])),
            var session = RecordedSession(first, directory: directory)
        else { return nil }
        for piece in tail[start...end].split(separator: 0x0A) {
            if piece.withUnsafeBytes({ SegmentLine($0) }) != nil { continue }
            if let line = try? decoder.decode(JournalLine.self, from: Data(piece)) {
                session.apply(line)
            } else if !piece.withUnsafeBytes({ UnknownLine.isOne($0, decoder) }) {
                return nil
            }
        }
        // The last of the periods may have been in it.
        return session.closing == nil ? nil : session.with([])
    }
}

/// The lines of a journal that end.
package struct JournalLines {
    private let bytes: UnsafeRawBufferPointer
    /// Where the next line begins.
    package private(set) var position = 0

    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Without its line feed; nil when no whole line is left.
    package mutating func next() -> UnsafeRawBufferPointer? {
        guard position < bytes.count, let base = bytes.baseAddress,
            let feed = memchr(base + position, 0x0A, bytes.count - position)
        else { return nil }
        let start = position
        position = base.distance(to: UnsafeRawPointer(feed)) + 1
        return UnsafeRawBufferPointer(rebasing: bytes[start..<position - 1])
    }
}

extension JournalLines {
    /// A journal without what it tells of segments.
    package static func withoutSegments(_ journal: [UInt8]) -> [UInt8] {
        let decoder = JSONDecoder()
        return journal.withUnsafeBytes { bytes in
            var kept: [UInt8] = []
            var lines = JournalLines(bytes)
            while let line = lines.next() {
                if SegmentLine(line) != nil { continue }
                let other = try? decoder.decode(JournalLine.self, from: Data(line))
                if other?.event == .segment || other?.event == .gone { continue }
                kept += line
                kept.append(0x0A)
            }
            return kept
        }
    }
}

/// A whole line about something that this version does not know, and leaves to those that do.
private struct UnknownLine: Decodable {
    let at: Int64
    let event: String

    static func isOne(_ line: UnsafeRawBufferPointer, _ decoder: JSONDecoder) -> Bool {
        guard let line = try? decoder.decode(UnknownLine.self, from: Data(line)) else { return false }
        return JournalLine.Event(rawValue: line.event) == nil
    }
}

/// A line about a segment.
package struct SegmentLine {
    package var at: Int64
    package var period: Int
    package var kind: LaneKind
    package var segment: RecordedSession.Segment

    /// Reads a line as `JournalLine.encoded()` writes it, some fifty times as fast as the decoder. Nil for every other line, among them
    /// correct ones, which the decoder understands.
    package init?(_ line: UnsafeRawBufferPointer) {
        var text = LineText(line)
        guard text.skip("{\"at\":"), let at = text.number(), text.skip(",\"bytes\":"), let bytes = text.number(),
            text.skip(",\"d\":"), let duration = text.number(), text.skip(",\"event\":\"segment\",\"kind\":\"")
        else { return nil }
        if text.skip("video\"") { kind = .video } else if text.skip("audio\"") { kind = .audio } else { return nil }
        guard text.skip(",\"n\":"), let number = text.number(), text.skip(",\"period\":"), let period = text.number(),
            text.skip(",\"samples\":"), let samples = text.number()
        else { return nil }
        let startsWithSync = !text.skip(",\"sync\":false")
        guard text.skip(",\"t\":"), let time = text.number(), text.skip("}"), text.isAtEnd,
            let segment = RecordedSession.Segment(
                checking: Int(number), time: time, duration: duration, bytes: bytes, samples: Int(samples),
                startsWithSync: startsWithSync)
        else { return nil }
        self.at = at
        self.period = Int(period)
        self.segment = segment
    }
}

/// Reads what it expects of a line, from left to right.
private struct LineText {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    @inline(__always)
    mutating func skip(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.count - position >= count, let base = bytes.baseAddress, memcmp(base + position, text.utf8Start, count) == 0
        else { return false }
        position += count
        return true
    }

    /// A number of at most 18 digits, so that it cannot overflow, as JSON writes it.
    @inline(__always)
    mutating func number() -> Int64? {
        let start = position
        var value: Int64 = 0
        while position < bytes.count {
            let digit = bytes[position] &- 0x30
            guard digit < 10 else { break }
            value = value &* 10 &+ Int64(digit)
            position += 1
        }
        let count = position - start
        guard (1...18).contains(count), count == 1 || bytes[start] != 0x30 else { return nil }
        return value
    }
}
