/// Arrival times of everything a peer sent on one transport, and the feedback built from them
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
struct TransportFeedback: ~Copyable {
    /// Packets covered by one message: 400 two-byte deltas and their chunks stay under the datagram size.
    static let packetsMax = 400
    private static let window = 2048
    static let intervalNs: UInt64 = 100_000_000
    static let packetsDue = 100

    private struct Arrival {
        var sequence: UInt64 = 0
        /// In units of 250 µs.
        var quarterMs: UInt64 = 0
    }

    private let arrivals: UnsafeMutablePointer<Arrival>
    private var unwrapper = SequenceUnwrapper()
    /// The first number the next message covers; 0 before the first packet.
    private var nextBase: UInt64 = 0
    private var messageCount: UInt8 = 0
    private var hasSent = false
    private(set) var pending = 0
    private(set) var lastSentNs: UInt64 = 0

    init() {
        arrivals = .allocate(capacity: Self.window)
        arrivals.initialize(repeating: Arrival(), count: Self.window)
    }

    deinit { arrivals.deallocate() }

    /// Notes that the packet with this transport-wide number arrived.
    mutating func record(_ sequence: UInt16, arrivalNs: UInt64) {
        let extended = unwrapper.unwrap(sequence)
        let slot = Int(truncatingIfNeeded: extended) & (Self.window - 1)
        guard arrivals[slot].sequence != extended else { return }
        // Older than what the window holds: it was reported as lost long ago.
        guard extended &+ UInt64(Self.window) > unwrapper.highest else { return }
        arrivals[slot] = Arrival(sequence: extended, quarterMs: arrivalNs / 250_000)
        if nextBase == 0 || extended < nextBase { nextBase = extended }
        pending += 1
    }

    /// Whether a message should go out now.
    func isDue(now: UInt64) -> Bool {
        pending > 0 && (pending >= Self.packetsDue || now &- lastSentNs >= Self.intervalNs)
    }

    @inline(__always)
    private func arrival(of sequence: UInt64) -> UInt64? {
        let slot = arrivals[Int(truncatingIfNeeded: sequence) & (Self.window - 1)]
        return slot.sequence == sequence ? slot.quarterMs : nil
    }

    /// Appends one message; false when nothing is left to tell. Call again until then.
    mutating func write(to writer: inout RTCPWriter, sender: UInt32, media: UInt32, now: UInt64) -> Bool {
        guard pending > 0, nextBase != 0 else { return false }
        // Start at the first one there: numbers lost before it were told by the message before, or never sent.
        let floor = unwrapper.highest >= UInt64(Self.window) ? unwrapper.highest - UInt64(Self.window) + 1 : 0
        var base = max(nextBase, floor)
        if !hasSent { while base < unwrapper.highest, arrival(of: base) == nil { base += 1 } }
        var end = min(unwrapper.highest, base + UInt64(Self.packetsMax) - 1)
        guard base <= end, let first = firstArrival(from: base, through: end) else {
            nextBase = end + 1
            if nextBase > unwrapper.highest { pending = 0 }
            return nextBase <= unwrapper.highest
        }
        let reference = first / 256
        let received = cutAtLargeDelta(from: base, through: &end, reference: reference)
        var scratch = FeedbackScratch()
        encode(from: base, through: end, reference: reference, into: &scratch)
        let size = (8 + scratch.chunkBytes + scratch.deltaBytes + 3) & ~3
        let number = messageCount
        let wrote = writer.transportCC(sender: sender, media: media, items: size) { body in
            body.storeBigEndian(UInt16(truncatingIfNeeded: base), at: 0)
            body.storeBigEndian(UInt16(truncatingIfNeeded: end - base + 1), at: 2)
            body.storeBigEndian(UInt32(truncatingIfNeeded: reference) << 8 | UInt32(number), at: 4)
            scratch.copy(to: body + 8, size: size - 8)
        }
        guard wrote else { return false }
        messageCount &+= 1
        hasSent = true
        nextBase = end + 1
        pending = nextBase > unwrapper.highest ? 0 : max(0, pending - received)
        lastSentNs = now
        return true
    }

    private func firstArrival(from base: UInt64, through end: UInt64) -> UInt64? {
        var sequence = base
        while sequence <= end {
            if let time = arrival(of: sequence) { return time }
            sequence += 1
        }
        return nil
    }

    /// A delta is 16 bits signed: what doesn't fit starts a message of its own. Returns how many arrivals are covered.
    private func cutAtLargeDelta(from base: UInt64, through end: inout UInt64, reference: UInt64) -> Int {
        var last = Int64(reference) * 256
        var received = 0
        for sequence in base...end {
            guard let time = arrival(of: sequence) else { continue }
            let delta = Int64(bitPattern: time) - last
            if delta > Int64(Int16.max) || delta < Int64(Int16.min) {
                if sequence > base { end = sequence - 1 }
                break
            }
            last = Int64(bitPattern: time)
            received += 1
        }
        return received
    }

    private func encode(from base: UInt64, through end: UInt64, reference: UInt64, into scratch: inout FeedbackScratch) {
        var last = Int64(reference) * 256
        for sequence in base...end {
            guard let time = arrival(of: sequence) else {
                scratch.addLost()
                continue
            }
            scratch.add(delta: Int64(bitPattern: time) - last)
            last = Int64(bitPattern: time)
        }
    }
}

/// Status symbols and deltas of one message while they are put together (§3.1.3–3.1.5).
struct FeedbackScratch {
    private var symbols = InlineArray<400, UInt8>(repeating: 0)
    private var deltas = InlineArray<800, UInt8>(repeating: 0)
    private var symbolCount = 0
    private(set) var deltaBytes = 0

    mutating func addLost() { add(symbol: 0) }

    /// In units of 250 µs; one byte where it fits.
    mutating func add(delta: Int64) {
        if delta >= 0, delta <= 255 {
            add(symbol: 1)
            addDeltaByte(UInt8(delta))
        } else {
            add(symbol: 2)
            let value = UInt16(bitPattern: Int16(truncatingIfNeeded: delta))
            addDeltaByte(UInt8(value >> 8))
            addDeltaByte(UInt8(value & 0xFF))
        }
    }

    private mutating func add(symbol: UInt8) {
        guard symbolCount < symbols.count else { return }
        symbols[symbolCount] = symbol
        symbolCount += 1
    }

    private mutating func addDeltaByte(_ byte: UInt8) {
        guard deltaBytes < deltas.count else { return }
        deltas[deltaBytes] = byte
        deltaBytes += 1
    }

    /// Bytes of the status chunks; computed once by the caller.
    var chunkBytes: Int {
        var bytes = 0
        forEachChunk { _ in bytes += 2 }
        return bytes
    }

    /// Long runs as a run length, else 14 one-bit symbols where no big delta is among them, else 7 two-bit symbols.
    private func forEachChunk(_ body: (UInt16) -> Void) {
        var index = 0
        while index < symbolCount {
            let symbol = symbols[index]
            var run = 1
            while index + run < symbolCount, symbols[index + run] == symbol { run += 1 }
            if run >= 14 || index + run == symbolCount {
                body(UInt16(symbol) << 13 | UInt16(run))
                index += run
                continue
            }
            let wide = min(14, symbolCount - index)
            var isNarrow = true
            for offset in 0..<wide where symbols[index + offset] > 1 { isNarrow = false }
            var chunk: UInt16
            if isNarrow {
                chunk = 0x8000
                for offset in 0..<wide { chunk |= UInt16(symbols[index + offset]) << UInt16(13 - offset) }
                index += wide
            } else {
                chunk = 0xC000
                let narrow = min(7, symbolCount - index)
                for offset in 0..<narrow { chunk |= UInt16(symbols[index + offset]) << UInt16(12 - 2 * offset) }
                index += narrow
            }
            body(chunk)
        }
    }

    /// Writes chunks, deltas and zeros up to `size` bytes.
    func copy(to place: UnsafeMutableRawPointer, size: Int) {
        var at = 0
        forEachChunk { chunk in
            place.storeBigEndian(chunk, at: at)
            at += 2
        }
        for index in 0..<deltaBytes {
            place.storeByte(deltas[index], at: at)
            at += 1
        }
        while at < size {
            place.storeByte(0, at: at)
            at += 1
        }
    }
}
