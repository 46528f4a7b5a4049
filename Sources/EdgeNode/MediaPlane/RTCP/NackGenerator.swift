/// Which packets of one source are missing, and when to ask for each (RFC 4585 §6.2.1).
///
/// A gap is held back a moment, because packets overtake each other; then asked for again each round trip until it
/// comes or is hopeless. Memory is allocated once.
struct NackGenerator: ~Copyable {
    private struct Missing {
        var sequence: UInt64
        var noticedNs: UInt64
        var firstAskedNs: UInt64
        var askedNs: UInt64
        var tries: UInt8
    }

    /// A gap waits for this many newer packets, or the hold time: what comes three places late isn't asked for.
    static let reorderPackets: UInt64 = 4
    static let holdNs: UInt64 = 10_000_000
    /// Between two requests for the same packet while the round trip is unknown (mediasoup's timer).
    static let repeatNs: UInt64 = 40_000_000
    /// However long the round trip seems: later than this a packet helps few receivers.
    static let repeatMaxNs: UInt64 = 500_000_000

    private let missing: UnsafeMutablePointer<Missing>
    private(set) var count = 0
    private var highest: UInt64 = 0
    /// Packets given up since the start.
    private(set) var abandoned: UInt64 = 0

    init() {
        missing = .allocate(capacity: MediaLimits.nackListMax)
    }

    deinit { missing.deallocate() }

    /// What a packet did to the list.
    enum Outcome {
        case inOrder
        /// It was missing. On request it came so long after it was first asked for, else `afterNs` is nil.
        case recovered(afterNs: UInt64?)
        /// More is missing than can be repaired: ask for a keyframe instead.
        case hopeless
    }

    /// Notes the arrival of `sequence`.
    mutating func receive(_ sequence: UInt64, now: UInt64) -> Outcome {
        guard highest != 0 else {
            highest = sequence
            return .inOrder
        }
        guard sequence > highest else { return remove(sequence, now: now) }
        let gap = sequence - highest - 1
        defer { highest = sequence }
        guard gap > 0 else { return .inOrder }
        guard UInt64(count) + gap <= UInt64(MediaLimits.nackListMax) else {
            abandoned &+= UInt64(count) &+ gap
            count = 0
            return .hopeless
        }
        for number in (highest + 1)..<sequence {
            missing[count] = Missing(sequence: number, noticedNs: now, firstAskedNs: 0, askedNs: 0, tries: 0)
            count += 1
        }
        return .inOrder
    }

    private mutating func remove(_ sequence: UInt64, now: UInt64) -> Outcome {
        guard count > 0, sequence >= missing[0].sequence else { return .inOrder }
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if missing[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        guard low < count, missing[low].sequence == sequence else { return .inOrder }
        let found = missing[low]
        let rest = count - low - 1
        (missing + low).update(from: missing + low + 1, count: rest)
        count -= 1
        return .recovered(afterNs: found.tries > 0 ? now &- found.firstAskedNs : nil)
    }

    /// Nothing that is missing will come any more; numbering goes on.
    mutating func forget() { count = 0 }

    /// Forgets everything; numbering goes on at `sequence`.
    mutating func restart(at sequence: UInt64) {
        count = 0
        highest = sequence
    }

    /// Writes the sequence numbers to ask for now to `into`, ascending, and returns how many; gives up on hopeless ones.
    mutating func due(now: UInt64, rttNs: UInt64, into: UnsafeMutableBufferPointer<UInt16>) -> Int {
        let repeatNs = max(Self.repeatNs, min(rttNs, Self.repeatMaxNs))
        var kept = 0
        var found = 0
        for index in 0..<count {
            var entry = missing[index]
            let isRipe: Bool
            if entry.tries == 0 {
                isRipe = now &- entry.noticedNs >= Self.holdNs || highest &- entry.sequence >= Self.reorderPackets
            } else {
                isRipe = now &- entry.askedNs >= repeatNs
            }
            if isRipe, Int(entry.tries) >= MediaLimits.nackTries {
                abandoned &+= 1
                continue
            }
            if isRipe, found < into.count {
                into[found] = UInt16(truncatingIfNeeded: entry.sequence)
                found += 1
                if entry.tries == 0 { entry.firstAskedNs = now }
                entry.askedNs = now
                entry.tries += 1
            }
            missing[kept] = entry
            kept += 1
        }
        count = kept
        return found
    }
}
