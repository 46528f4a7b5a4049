import Testing

@testable import MediaPlane

/// Reads the body of a transport-wide feedback message, written from the draft alone (§3.1).
struct TransportFeedbackDecoder {
    struct Arrival: Equatable {
        var sequence: UInt16
        /// Units of 250 µs since the reference epoch.
        var quarterMs: Int64
    }

    var base: UInt16
    var count: Int
    var number: UInt8
    var arrivals: [Arrival] = []
    var lost: [UInt16] = []

    init?(_ body: [UInt8]) {
        guard body.count >= 8 else { return nil }
        base = UInt16(body[0]) << 8 | UInt16(body[1])
        count = Int(body[2]) << 8 | Int(body[3])
        let reference = Int64(body[4]) << 16 | Int64(body[5]) << 8 | Int64(body[6])
        number = body[7]
        var symbols: [UInt8] = []
        var at = 8
        while symbols.count < count {
            guard at + 2 <= body.count else { return nil }
            let chunk = UInt16(body[at]) << 8 | UInt16(body[at + 1])
            at += 2
            if chunk >> 15 == 0 {
                symbols += [UInt8](repeating: UInt8(chunk >> 13 & 3), count: Int(chunk & 0x1FFF))
            } else if chunk >> 14 & 1 == 0 {
                symbols += (0..<14).map { UInt8(chunk >> (13 - $0) & 1) }
            } else {
                symbols += (0..<7).map { UInt8(chunk >> (12 - 2 * $0) & 3) }
            }
        }
        var time = reference * 256
        for (index, symbol) in symbols.prefix(count).enumerated() {
            let sequence = base &+ UInt16(truncatingIfNeeded: index)
            switch symbol {
            case 1:
                guard at < body.count else { return nil }
                time += Int64(body[at])
                at += 1
                arrivals.append(Arrival(sequence: sequence, quarterMs: time))
            case 2:
                guard at + 2 <= body.count else { return nil }
                time += Int64(Int16(bitPattern: UInt16(body[at]) << 8 | UInt16(body[at + 1])))
                at += 2
                arrivals.append(Arrival(sequence: sequence, quarterMs: time))
            default: lost.append(sequence)
            }
        }
        guard body.count - at < 4 else { return nil }
    }
}

@Suite("Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1)")
struct TransportFeedbackTests {
    /// Every message that is due, decoded.
    static func drain(_ feedback: inout TransportFeedback, now: UInt64) -> [TransportFeedbackDecoder] {
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: 1500, alignment: 16)
        defer { scratch.deallocate() }
        var found: [TransportFeedbackDecoder] = []
        for _ in 0..<32 {
            var writer = RTCPWriter(scratch)
            guard feedback.write(to: &writer, sender: 1, media: 2, now: now) else { break }
            guard writer.count > 0 else { continue }
            let body = Array(writer.bytes.dropFirst(12))
            #expect(writer.count % 4 == 0)
            guard let decoded = TransportFeedbackDecoder(body) else {
                Issue.record("not decodable")
                break
            }
            found.append(decoded)
        }
        return found
    }

    @Test(
        "what arrived is told with its time, over loss, reordering and wraps", arguments: [0, 1, 32767, 32768, 65534, 65535],
        0..<8)
    func roundTrip(start: Int, seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed &* 65536 &+ start))
        var feedback = TransportFeedback()
        var now: UInt64 = 1_000_000_000_000
        var sent: [UInt16: Int64] = [:]
        var seen: [UInt16: Int64] = [:]
        var numbers: [UInt8] = []
        var held: [UInt16] = []
        var dropped: [UInt16] = []
        var toldMissing: [UInt16] = []
        var messages: [TransportFeedbackDecoder] = []
        // Where nothing comes late, more messages than have numbers of their own.
        for index in 0..<(seed > 1 ? 1500 : 12_000) {
            let sequence = UInt16(truncatingIfNeeded: start + index)
            now += UInt64.random(in: 0...20_000_000, using: &random)
            if seed == 3, index == 700 { now += 30_000_000_000 }
            if seed > 0, Int.random(in: 0..<10, using: &random) == 0 {
                if !sent.isEmpty { dropped.append(sequence) }
                continue
            }
            if seed > 1, Int.random(in: 0..<10, using: &random) == 0 {
                held.append(sequence)
                continue
            }
            for arrived in [sequence] + held {
                feedback.record(arrived, arrivalNs: now)
                sent[arrived] = Int64(now / 250_000)
            }
            held = []
            toldMissing += dropped
            dropped = []
            if feedback.isDue(now: now) {
                messages += Self.drain(&feedback, now: now)
            }
        }
        messages += Self.drain(&feedback, now: now)
        for message in messages {
            numbers.append(message.number)
            for arrival in message.arrivals { seen[arrival.sequence] = arrival.quarterMs }
        }
        // Reference times are 24 bits of 64 ms.
        let wrap = Int64(1) << 32
        #expect(seen.mapValues { $0 % wrap } == sent.mapValues { $0 % wrap })
        #expect(numbers == (0..<numbers.count).map { UInt8(truncatingIfNeeded: $0) })
        guard seed < 2 else { return }
        // Each goes on where the one before ended, so that what was lost in between is told, too.
        let ends = messages.map { $0.base &+ UInt16($0.count) }
        #expect(messages.count > 300 && messages.dropFirst().map(\.base) == Array(ends.dropLast()))
        #expect(messages.flatMap(\.lost) == toldMissing)
    }

    /// Noncopyable values can't stand inside `#expect`.
    private func expectDue(_ isAsExpected: Bool, _ location: SourceLocation = #_sourceLocation) {
        #expect(isAsExpected, sourceLocation: location)
    }

    @Test("a message is due after 100 packets or 100 ms, and never without news")
    func due() {
        var feedback = TransportFeedback()
        expectDue(!feedback.isDue(now: 10_000_000_000))
        feedback.record(5, arrivalNs: 10_000_000_000)
        expectDue(feedback.isDue(now: 10_000_000_000))
        _ = Self.drain(&feedback, now: 10_000_000_000)
        for index in 0..<99 { feedback.record(UInt16(6 + index), arrivalNs: 10_001_000_000) }
        expectDue(!feedback.isDue(now: 10_050_000_000))
        expectDue(feedback.isDue(now: 10_100_000_000))
        feedback.record(105, arrivalNs: 10_002_000_000)
        expectDue(feedback.isDue(now: 10_050_000_000))
    }
}
