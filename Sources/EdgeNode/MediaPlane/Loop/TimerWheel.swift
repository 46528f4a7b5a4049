/// Something of one loop that wants to be woken; lives as long as its owner, linked into at most one slot.
struct TimerNode {
    enum Owner {
        case session(UnsafeMutablePointer<PeerSession>)
        case fanout(UnsafeMutablePointer<Fanout>)
    }

    let owner: Owner
    fileprivate var next: UnsafeMutablePointer<TimerNode>?
    fileprivate var previous: UnsafeMutablePointer<TimerNode>?
    /// Slot number, -1 while unscheduled.
    fileprivate var slot = -1
    fileprivate var tick: UInt64 = 0

    init(_ owner: Owner) { self.owner = owner }
}

/// Wakes of one loop at 10 ms resolution: a ring of doubly linked lists, everything O(1), no allocation.
///
/// A deadline past the ring's end fires early, and so may one that was put off while it was more than five seconds off; whoever is woken looks
/// at its own deadlines and schedules again.
struct TimerWheel: ~Copyable {
    static let tickNs: UInt64 = 10_000_000
    /// 41 s: past the 30 s of consent, so that a session that is only checked wakes once in that time.
    private static let slots = 4096
    private static let farTicks: UInt64 = 512

    private let heads: UnsafeMutablePointer<UnsafeMutablePointer<TimerNode>?>
    /// A bit for each slot that has nodes.
    private let occupied: UnsafeMutablePointer<UInt64>
    /// The next tick to be fired.
    private var tick: UInt64
    private(set) var count = 0

    init(now: UInt64) {
        heads = .allocate(capacity: Self.slots)
        heads.initialize(repeating: nil, count: Self.slots)
        occupied = .allocate(capacity: Self.slots / 64)
        occupied.initialize(repeating: 0, count: Self.slots / 64)
        tick = now / Self.tickNs
    }

    deinit {
        heads.deallocate()
        occupied.deallocate()
    }

    /// Wakes the owner at or shortly after `deadlineNs`; replaces an earlier request. `UInt64.max` cancels.
    mutating func schedule(_ node: UnsafeMutablePointer<TimerNode>, at deadlineNs: UInt64) {
        guard deadlineNs != .max else { return cancel(node) }
        // Rounded up, and never into the tick that is being fired.
        let wanted = max(deadlineNs / Self.tickNs + 1, tick)
        let target = min(wanted, tick + UInt64(Self.slots) - 1)
        if node.pointee.slot >= 0 {
            // What is far off may stay where it is when it is put off: each consent check does that to its session.
            let isFar = node.pointee.tick > tick + Self.farTicks
            if node.pointee.tick == target || isFar && node.pointee.tick < target { return }
        }
        cancel(node)
        let slot = Int(truncatingIfNeeded: target) & (Self.slots - 1)
        node.pointee.slot = slot
        node.pointee.tick = target
        node.pointee.previous = nil
        node.pointee.next = heads[slot]
        heads[slot]?.pointee.previous = node
        heads[slot] = node
        occupied[slot / 64] |= 1 << (slot % 64)
        count += 1
    }

    /// As ``schedule(_:at:)``, unless it is to wake earlier already.
    mutating func hasten(_ node: UnsafeMutablePointer<TimerNode>, to deadlineNs: UInt64) {
        if node.pointee.slot >= 0, node.pointee.tick * Self.tickNs <= deadlineNs { return }
        schedule(node, at: deadlineNs)
    }

    mutating func cancel(_ node: UnsafeMutablePointer<TimerNode>) {
        guard node.pointee.slot >= 0 else { return }
        if let previous = node.pointee.previous {
            previous.pointee.next = node.pointee.next
        } else {
            heads[node.pointee.slot] = node.pointee.next
            if node.pointee.next == nil { occupied[node.pointee.slot / 64] &= ~(1 << (node.pointee.slot % 64)) }
        }
        node.pointee.next?.pointee.previous = node.pointee.previous
        node.pointee.next = nil
        node.pointee.previous = nil
        node.pointee.slot = -1
        count -= 1
    }

    /// Takes one node that is due, unscheduled; nil when none is. Call until then.
    mutating func takeDue(now: UInt64) -> UnsafeMutablePointer<TimerNode>? {
        let last = now / Self.tickNs
        while tick <= last {
            // A long pause needs one turn around the ring, not one step for each tick missed.
            if last - tick >= UInt64(Self.slots), count == 0 { tick = last }
            if let node = heads[Int(truncatingIfNeeded: tick) & (Self.slots - 1)] {
                cancel(node)
                return node
            }
            if tick == last { return nil }
            tick += 1
        }
        return nil
    }

    /// When the next node is due; `UInt64.max` when there is none.
    var nextDeadlineNs: UInt64 {
        guard count > 0 else { return .max }
        let first = Int(truncatingIfNeeded: tick) & (Self.slots - 1)
        let words = Self.slots / 64
        // The first word's bits behind us are the ring's end and come last.
        for step in 0...words {
            var word = occupied[(first / 64 + step) & (words - 1)]
            if step == 0 { word &= ~0 << (first % 64) }
            guard word != 0 else { continue }
            let ahead = 64 * step + word.trailingZeroBitCount - first % 64
            return (tick + UInt64(ahead)) * Self.tickNs
        }
        return .max
    }
}
