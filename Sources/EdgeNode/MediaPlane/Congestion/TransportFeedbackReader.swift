/// Reads a transport-wide feedback message where it lies (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
///
/// The chunks are walked once to find where the deltas begin, and once more together with them. A message may claim 65535 packets
/// in a few bytes, so one that claims more than could still be remembered is none.
struct TransportFeedbackReader {
    enum Status: Equatable {
        case lost
        /// Since the reference time, in units of 250 µs; may run backwards.
        case received(quarterMs: Int64)
    }

    static let packetsMax = 4096

    /// The first packet's number.
    let base: UInt16
    /// Packets that the message tells of.
    let count: Int
    /// 24 bits, in units of 64 ms.
    let reference: UInt32
    /// Counts messages.
    let number: UInt8

    private let chunksEnd: Int
    private let end: Int
    private var chunkAt: Int
    private var deltaAt: Int
    private var chunk: UInt16 = 0
    private var chunkLeft = 0
    private var done = 0
    private var quarterMs: Int64 = 0

    /// Nil for what is no such message, or whose chunks don't tell of as many packets as it claims.
    init?(_ feedback: FeedbackHeader, in bytes: Span<UInt8>) {
        guard feedback.kind == .transportCC, feedback.itemsCount >= 8 else { return nil }
        let at = feedback.itemsOffset
        base = bytes.bigEndian16(at: at)
        count = Int(bytes.bigEndian16(at: at + 2))
        let word = bytes.bigEndian32(at: at + 4)
        reference = word >> 8
        number = UInt8(truncatingIfNeeded: word)
        chunkAt = at + 8
        end = at + feedback.itemsCount
        guard count > 0, count <= Self.packetsMax else { return nil }
        var told = 0
        var place = chunkAt
        while told < count {
            guard place + 2 <= end else { return nil }
            let symbols = Self.symbols(bytes.bigEndian16(at: place))
            // A run of nothing would let a message stand still.
            guard symbols > 0 else { return nil }
            told += symbols
            place += 2
        }
        chunksEnd = place
        deltaAt = place
    }

    /// How many packets a chunk tells of: a run, fourteen of one bit, or seven of two (§3.1.3, §3.1.4).
    @inline(__always)
    private static func symbols(_ chunk: UInt16) -> Int {
        if chunk & 0x8000 == 0 { return Int(chunk & 0x1FFF) }
        return chunk & 0x4000 == 0 ? 14 : 7
    }

    /// What became of the next packet; nil behind the last one, and where deltas are missing.
    mutating func next(in bytes: Span<UInt8>) -> Status? {
        guard done < count else { return nil }
        if chunkLeft == 0 {
            guard chunkAt < chunksEnd else { return nil }
            chunk = bytes.bigEndian16(at: chunkAt)
            chunkLeft = Self.symbols(chunk)
            chunkAt += 2
        }
        chunkLeft -= 1
        done += 1
        switch symbol {
        case 0: return .lost
        case 1:
            guard deltaAt < end else { return stop() }
            quarterMs += Int64(bytes[deltaAt])
            deltaAt += 1
        case 2:
            guard deltaAt + 2 <= end else { return stop() }
            quarterMs += Int64(Int16(bitPattern: bytes.bigEndian16(at: deltaAt)))
            deltaAt += 2
        default: return stop()
        }
        return .received(quarterMs: quarterMs)
    }

    @inline(__always)
    private var symbol: UInt16 {
        if chunk & 0x8000 == 0 { return chunk >> 13 & 3 }
        if chunk & 0x4000 == 0 { return chunk >> UInt16(chunkLeft) & 1 }
        return chunk >> UInt16(2 * chunkLeft) & 3
    }

    private mutating func stop() -> Status? {
        done = count
        return nil
    }
}
