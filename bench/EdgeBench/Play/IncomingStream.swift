import SDP

/// What came of one source or of many.
struct PacketCounts {
    var packets = 0
    var bytes = 0
    var lost = 0
    /// Came behind a later one without having been asked for.
    var reordered = 0
    var duplicates = 0
    var nacks = 0
    var recovered = 0
    var keyframes = 0

    private mutating func combine(_ other: PacketCounts, _ with: (Int, Int) -> Int) {
        packets = with(packets, other.packets)
        bytes = with(bytes, other.bytes)
        lost = with(lost, other.lost)
        reordered = with(reordered, other.reordered)
        duplicates = with(duplicates, other.duplicates)
        nacks = with(nacks, other.nacks)
        recovered = with(recovered, other.recovered)
        keyframes = with(keyframes, other.keyframes)
    }

    static func += (left: inout PacketCounts, right: PacketCounts) { left.combine(right, +) }
    static func -= (left: inout PacketCounts, right: PacketCounts) { left.combine(right, -) }
}

/// One RTP source as a viewer sees it: loss, duplicates, key frames, and what has to be asked for again (RFC 3550 appendix A).
struct IncomingStream {
    private static let window = 1024
    private static let missingMax = 128
    private static let askAgainNs: UInt64 = 100_000_000
    private static let asksMax = 5

    private struct Gap {
        let sequence: UInt64
        var asks = 0
        var nextAskNs: UInt64
    }

    let ssrc: UInt32
    let isVideo: Bool
    private var first: UInt64
    private var highest: UInt64
    private var seen = [Bool](repeating: false, count: IncomingStream.window)
    private var gaps: [Gap] = []
    private var keyframeTimestamp: UInt32?
    private var counted = PacketCounts()
    private var reportedExpected = 0
    private var reportedReceived = 0
    var lastSenderReport: (middleNTP: UInt32, atNs: UInt64)?

    /// 65536 is added so that packets before the first one do not go below zero.
    init(ssrc: UInt32, isVideo: Bool, sequence: UInt16) {
        self.ssrc = ssrc
        self.isVideo = isVideo
        first = 65536 + UInt64(sequence)
        highest = first
    }

    private var expected: Int { Int(highest - first) + 1 }
    private var received: Int { counted.packets }

    /// What came so far, and what never did.
    var counts: PacketCounts {
        var counts = counted
        counts.lost = max(0, expected - received)
        return counts
    }

    /// Takes one plain packet; `payload` is without header and padding.
    mutating func take(_ sequence: UInt16, timestamp: UInt32, payload: UnsafeRawBufferPointer, now: UInt64) {
        let distance = Int16(bitPattern: sequence &- UInt16(truncatingIfNeeded: highest))
        let index = UInt64(Int64(highest) + Int64(distance))
        if received > 0, index <= highest {
            guard highest - index < Self.window, !seen[Int(index % UInt64(Self.window))] else {
                counted.duplicates += 1
                return
            }
            let gap = gaps.firstIndex { $0.sequence == index }
            if let gap, gaps[gap].asks > 0 { counted.recovered += 1 } else { counted.reordered += 1 }
            if let gap { gaps.remove(at: gap) }
            first = min(first, index)
        } else {
            advance(to: index, now: now)
        }
        seen[Int(index % UInt64(Self.window))] = true
        counted.packets += 1
        counted.bytes += payload.count
        if isVideo, Self.startsKeyframe(payload), keyframeTimestamp != timestamp {
            keyframeTimestamp = timestamp
            counted.keyframes += 1
        }
    }

    private mutating func advance(to index: UInt64, now: UInt64) {
        for missing in (highest + 1)..<max(index, highest + 1) {
            seen[Int(missing % UInt64(Self.window))] = false
            // A short wait first: reordering needs no repair.
            if gaps.count < Self.missingMax { gaps.append(Gap(sequence: missing, nextAskNs: now + 10_000_000)) }
        }
        highest = max(highest, index)
    }

    /// Numbers to ask for now.
    mutating func due(now: UInt64) -> [UInt16] {
        gaps.removeAll { $0.asks >= Self.asksMax || highest - $0.sequence >= Self.window }
        var numbers: [UInt16] = []
        for index in gaps.indices where gaps[index].nextAskNs <= now {
            gaps[index].asks += 1
            gaps[index].nextAskNs = now + Self.askAgainNs
            numbers.append(UInt16(truncatingIfNeeded: gaps[index].sequence))
        }
        if !numbers.isEmpty { counted.nacks += 1 }
        return numbers
    }

    /// A report block for the time since the last one.
    mutating func report(now: UInt64) -> ControlPackets.Report {
        let newExpected = expected - reportedExpected
        let newReceived = received - reportedReceived
        (reportedExpected, reportedReceived) = (expected, received)
        let missing = max(0, newExpected - newReceived)
        let fraction = newExpected > 0 ? UInt8(min(255, missing * 256 / newExpected)) : 0
        let delay = lastSenderReport.map { (now - $0.atNs) * 65536 / 1_000_000_000 } ?? 0
        return ControlPackets.Report(
            ssrc: ssrc, fractionLost: fraction, lost: counts.lost, highest: UInt32(truncatingIfNeeded: highest - 65536),
            lastSenderReport: lastSenderReport?.middleNTP ?? 0, delay: UInt32(truncatingIfNeeded: delay))
    }

    /// Whether an IDR slice begins here (RFC 6184 section 5.2).
    static func startsKeyframe(_ payload: UnsafeRawBufferPointer) -> Bool {
        guard payload.count >= 2 else { return false }
        switch payload[0] & 0x1F {
        case 5: return true
        case 24:
            var offset = 1
            while payload.count - offset >= 3 {
                if payload[offset + 2] & 0x1F == 5 { return true }
                offset += 2 + (Int(payload[offset]) << 8 | Int(payload[offset + 1]))
            }
            return false
        case 28: return payload[1] & 0x80 != 0 && payload[1] & 0x1F == 5
        default: return false
        }
    }
}
