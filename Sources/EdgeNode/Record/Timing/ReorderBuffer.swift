/// A packet as the recorder keeps it until its turn comes.
struct RecordedPacket {
    let timestamp: UInt32
    let arrivalNs: UInt64
    let marker: Bool
    let payload: [UInt8]
}

/// Puts one track's packets back into the order they were sent in, and waits a bounded time for retransmissions.
struct ReorderBuffer {
    /// How long a missing packet may still come: a few retransmission rounds.
    static let waitNs: UInt64 = 500_000_000
    /// How many packets may wait behind a missing one.
    static let packetsMax = 512
    /// Nothing comes out for this long after the first packet, which need not have been sent first.
    static let settleNs: UInt64 = 60_000_000
    /// A jump that no loss explains: the sender counts anew.
    static let jump: UInt64 = 3000

    private var waiting: [UInt64: RecordedPacket] = [:]
    /// The packet whose turn it is, when none waits behind it: nearly always.
    private var ready: RecordedPacket?
    private var next: UInt64?
    private var afterLoss = false
    private var settledNs: UInt64?
    private(set) var lostPackets: UInt64 = 0

    /// Takes a packet; one that is too late or there already is dropped.
    mutating func insert(_ sequence: UInt64, _ packet: RecordedPacket) {
        if sequence == next, ready == nil, settledNs == nil, waiting.isEmpty {
            ready = packet
            return
        }
        if let first = ready, let next {
            waiting[next] = first
            ready = nil
        }
        if let next {
            if sequence &+ Self.jump < next || sequence > next &+ Self.jump {
                waiting = [:]
                self.next = sequence
                afterLoss = true
            } else if sequence < next, settledNs != nil {
                self.next = sequence
            } else if sequence < next {
                return
            }
        } else {
            next = sequence
            settledNs = packet.arrivalNs &+ Self.settleNs
        }
        waiting[sequence] = packet
    }

    /// The next packet in order, or the one after a hole nobody will fill any more; nil when it is worth waiting.
    mutating func pop(nowNs: UInt64) -> (packet: RecordedPacket, afterLoss: Bool)? {
        if let packet = ready, let current = next {
            ready = nil
            next = current &+ 1
            defer { afterLoss = false }
            return (packet, afterLoss)
        }
        guard let expected = next, !waiting.isEmpty, nowNs >= settledNs ?? 0 else { return nil }
        settledNs = nil
        var sequence = expected
        if waiting[expected] == nil {
            guard let oldest = waiting.keys.min() else { return nil }
            let isFull = waiting.count >= Self.packetsMax
            guard isFull || isOverdue(nowNs) else { return nil }
            lostPackets &+= oldest &- expected
            afterLoss = true
            sequence = oldest
        }
        guard let packet = waiting.removeValue(forKey: sequence) else { return nil }
        next = sequence &+ 1
        defer { afterLoss = false }
        return (packet, afterLoss)
    }

    /// What waits will not be completed: the tap lost packets, or the source has ended.
    mutating func giveUp() {
        guard ready == nil else { return }
        guard let oldest = waiting.keys.min() else {
            next = nil
            afterLoss = true
            return
        }
        if let expected = next, oldest > expected {
            lostPackets &+= oldest &- expected
            afterLoss = true
        }
        next = oldest
    }

    private func isOverdue(_ nowNs: UInt64) -> Bool {
        guard let oldest = waiting.values.map(\.arrivalNs).min() else { return false }
        return nowNs >= oldest &+ Self.waitNs
    }
}
