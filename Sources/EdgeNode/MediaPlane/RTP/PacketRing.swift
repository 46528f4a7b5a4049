/// What is known of a packet besides its numbers.
struct PacketFlags: OptionSet {
    let rawValue: UInt8
    /// The RTP marker bit.
    static let marker = PacketFlags(rawValue: 1)
    /// The first coded data of an access unit that a decoder can start at, parameter sets in front of it included.
    static let keyframeStart = PacketFlags(rawValue: 2)
    /// A padding-only packet whose number couldn't be closed; it goes on as a filler.
    static let filler = PacketFlags(rawValue: 4)
    /// Handed to a loop that joins in the middle; it is old on purpose.
    static let replayed = PacketFlags(rawValue: 8)
    /// The payload is blocks of redundant audio data, ``RedundantAudio``.
    static let redundant = PacketFlags(rawValue: 16)
    /// Parameter sets, which a keyframe may follow in the same access unit.
    static let parameterSets = PacketFlags(rawValue: 32)
    /// With ``keyframeStart``: the keyframe was made because we asked for it.
    static let answer = PacketFlags(rawValue: 64)
}

/// A packet in a ring, without its payload.
struct PacketSlot {
    /// Position in the track, counting without gaps or wraps over all sources; 0 is none.
    var index: UInt64 = 0
    var arrivalNs: UInt64 = 0
    /// On the track's own timeline, which goes on when the source changes.
    var timestamp: UInt32 = 0
    var payloadCount: UInt16 = 0
    /// Of the dependency descriptor behind the payload.
    var descriptorCount: UInt8 = 0
    /// Where the payload is, in bytes from the start of the ring's memory.
    var payloadOffset: UInt32 = 0
    var flags = PacketFlags()
    var extensions = ForwardedExtensions()
}

/// The last packets of one track, found by position: the one copy that every viewer is served and repaired from.
///
/// Slot = position modulo capacity; a packet is overwritten by the one a whole ring later, so nothing is ever moved or freed. Payloads lie
/// close together in runs, of which the lowest free one is taken next: only as much memory is touched as the last packets need.
struct PacketRing: ~Copyable {
    let capacity: Int
    private let slots: UnsafeMutablePointer<PacketSlot>
    private let payloads: MappedMemory
    /// For each run the highest position in it; 0 for an unused one.
    private let runs: UnsafeMutableBufferPointer<UInt64>
    private var run = 0
    private var runUsed = 0
    /// The highest position stored; 0 while empty.
    private(set) var highest: UInt64 = 0

    static let runBytes = 32 << 10

    /// - Parameter slots: rounded up to a power of two.
    init(slots count: Int) {
        var rounded = 16
        while rounded < count { rounded &*= 2 }
        capacity = rounded
        slots = .allocate(capacity: rounded)
        slots.initialize(repeating: PacketSlot(), count: rounded)
        // The end of a run is too small for a payload at worst, and the oldest run and the one being filled are not all in use.
        let runCount = rounded * MediaLimits.payloadBytesMax / (Self.runBytes - MediaLimits.payloadBytesMax) + 3
        runs = .allocate(capacity: runCount)
        runs.initialize(repeating: 0)
        payloads = MappedMemory(byteCount: runCount * Self.runBytes)
    }

    /// A ring of another size with the packets of `other` that it has room for.
    init(slots count: Int, copying other: borrowing PacketRing) {
        self.init(slots: count)
        guard other.highest > 0 else { return }
        for index in other.oldest...other.highest {
            guard let slot = other.slot(at: index) else { continue }
            _ = store(slot.pointee, payload: other.payload(of: slot), descriptor: other.descriptor(of: slot))
        }
        // Packets that other has seen and no longer holds must not come again as new ones.
        highest = other.highest
    }

    deinit {
        slots.deallocate()
        runs.deallocate()
    }

    @inline(__always)
    private func place(_ index: UInt64) -> Int { Int(truncatingIfNeeded: index) & (capacity - 1) }

    /// The oldest position that may still be there.
    var oldest: UInt64 { highest > UInt64(capacity) ? highest - UInt64(capacity) + 1 : 1 }

    /// Stores a packet; false when it is older than the ring reaches, is there already, or is too big.
    ///
    /// - Parameter descriptor: left out where both together would be too big.
    mutating func store(
        _ slot: PacketSlot, payload: UnsafeRawBufferPointer,
        descriptor: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) -> Bool {
        guard slot.index != 0, payload.count <= MediaLimits.payloadBytesMax else { return false }
        guard highest == 0 || slot.index >= oldest else { return false }
        let place = place(slot.index)
        if slots[place].index == slot.index { return false }
        if slot.index > highest { highest = slot.index }
        let fits = descriptor.count <= min(DependencyDescriptor.bytesMax, MediaLimits.payloadBytesMax - payload.count)
        let descriptorCount = fits ? descriptor.count : 0
        guard let offset = room(payload.count + descriptorCount) else { return false }
        slots[place] = slot
        slots[place].payloadCount = UInt16(truncatingIfNeeded: payload.count)
        slots[place].payloadOffset = UInt32(truncatingIfNeeded: offset)
        slots[place].descriptorCount = UInt8(truncatingIfNeeded: descriptorCount)
        if let base = payload.baseAddress { (payloads.start + offset).copyMemory(from: base, byteCount: payload.count) }
        if descriptorCount > 0, let base = descriptor.baseAddress {
            (payloads.start + offset + payload.count).copyMemory(from: base, byteCount: descriptorCount)
        }
        runs[run] = max(runs[run], slot.index)
        return true
    }

    /// Where so many bytes go, in the open run or the next.
    @inline(__always)
    private mutating func room(_ count: Int) -> Int? {
        if runUsed &+ count > Self.runBytes {
            let oldest = oldest
            guard let free = runs.firstIndex(where: { $0 < oldest }) else { return nil }
            (run, runUsed) = (free, 0)
            runs[free] = 0
        }
        defer { runUsed &+= count }
        return run &* Self.runBytes &+ runUsed
    }

    /// The packet at `index`, or nil when it never came or is overwritten.
    @inline(__always)
    func slot(at index: UInt64) -> UnsafePointer<PacketSlot>? {
        guard index != 0, index &+ UInt64(capacity) > highest else { return nil }
        let place = place(index)
        return slots[place].index == index ? UnsafePointer(slots + place) : nil
    }

    /// The payload of a slot of this ring.
    @inline(__always)
    func payload(of slot: UnsafePointer<PacketSlot>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: payloads.start + Int(slot.pointee.payloadOffset), count: Int(slot.pointee.payloadCount))
    }

    /// The dependency descriptor of a slot of this ring; empty when it came without.
    @inline(__always)
    func descriptor(of slot: UnsafePointer<PacketSlot>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: payloads.start + Int(slot.pointee.payloadOffset) + Int(slot.pointee.payloadCount),
            count: Int(slot.pointee.descriptorCount))
    }
}
