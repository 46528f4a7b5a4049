import Synchronization

/// What a pipe entry is.
enum PipeKind: UInt8 {
    case packet
    /// A padding-only packet that came too late to have its number closed: viewers get a filler, recorders nothing.
    case padding
    case source, senderReport, gap, sourceEnded
}

/// The fixed part of a pipe slot; the payload follows it in the slab.
struct PipeEntry {
    /// Packet: extended sequence. Sender report: NTP time. Gap: packets lost. Source: bits of the tracks that begin anew.
    var sequence: UInt64 = 0
    var arrivalNs: UInt64 = 0
    var timestamp: UInt32 = 0
    var epoch: UInt32 = 0
    var payloadCount: UInt16 = 0
    /// Of the dependency descriptor behind the payload.
    var descriptorCount: UInt8 = 0
    /// Where the payload is in the slab, in slots.
    var payloadSlot: UInt32 = 0
    /// Source: whether keyframes can be asked for.
    var track: UInt8 = 0
    var kind: PipeKind = .packet
    var flags = PacketFlags()
    var extensions = ForwardedExtensions()
}

extension PipeEntry {
    /// A media packet of one of the source's tracks.
    @inline(__always)
    init(_ packet: IncomingPacket, track: Int, epoch: UInt32) {
        self.init(
            sequence: packet.sequence, arrivalNs: packet.arrivalNs, timestamp: packet.timestamp, epoch: epoch,
            track: UInt8(truncatingIfNeeded: track), kind: packet.flags.contains(.filler) ? .padding : .packet,
            flags: packet.flags, extensions: packet.extensions)
    }
}

/// Carries one stream's packets from the publisher's loop to one other thread: a bounded ring of fixed slots between
/// exactly one producer and one consumer, atomics only.
///
/// A full pipe drops packets and says so with a gap entry; it never waits. Source changes have slots kept for them and
/// queue up on the producer's side when even these are gone, so that a consumer can't miss one.
// why: the slots between head and tail belong to the consumer, all others to the producer; the two atomics hand them over.
final class PacketPipe: @unchecked Sendable {  // why: see the line above
    let wake: WakeDescriptor
    /// Leads to a reader such as the recorder, not to another loop's viewers.
    let isTap: Bool
    private let capacity: UInt64
    private let entries: UnsafeMutablePointer<PipeEntry>
    private let payloads: MappedMemory
    private let runSlots: Int
    private static let runSlotsMax = 64
    private let head = Atomic<UInt64>(0)
    private let tail = Atomic<UInt64>(0)
    private let closed = Atomic<Bool>(false)
    private let descriptions = Mutex<[UInt32: [TapTrack]]>([:])

    // The producer's own state.
    private var writeIndex: UInt64 = 0
    private var run = 0
    private var runUsed = 0
    /// For each run the write index at which all that is in it was written.
    private var runEnds: [UInt64]
    private var knownHead: UInt64 = 0
    private var lost: UInt64 = 0
    private var deferred: [PipeEntry] = []
    private(set) var droppedTotal: UInt64 = 0

    // The consumer's own state.
    private var readIndex: UInt64 = 0
    private var knownTail: UInt64 = 0

    /// - Parameters:
    ///   - slots: rounded up to a power of two.
    ///   - wake: signalled once a batch; shared when the consumer is a loop with several pipes.
    ///   - isTap: the consumer is a reader, not a loop.
    init(slots: Int, wake: WakeDescriptor, isTap: Bool = false) {
        self.isTap = isTap
        var rounded = 32
        while rounded < slots { rounded &*= 2 }
        capacity = UInt64(rounded)
        entries = .allocate(capacity: rounded)
        entries.initialize(repeating: PipeEntry(), count: rounded)
        runSlots = min(rounded, Self.runSlotsMax)
        // One run more than there are slots: the oldest may be used up in part.
        runEnds = [UInt64](repeating: 0, count: rounded / runSlots + 1)
        payloads = MappedMemory(byteCount: runEnds.count * runSlots * MediaLimits.payloadBytesMax)
        self.wake = wake
    }

    deinit { entries.deallocate() }

    var isClosed: Bool { closed.load(ordering: .acquiring) }

    /// Returns true for the call that closed it. Any thread.
    func close() -> Bool {
        !closed.exchange(true, ordering: .acquiringAndReleasing)
    }

    // MARK: Producer

    /// A packet needs more free slots than this: the reserve, and one for a gap entry that may have to go first.
    private static let packetFloor = UInt64(MediaLimits.pipeControlReserve) + 1

    /// Free slots, at least; the consumer's progress is only looked at when what was known is too little for a packet.
    private var free: UInt64 {
        if capacity &- (writeIndex &- knownHead) <= Self.packetFloor {
            knownHead = head.load(ordering: .acquiring)
        }
        return capacity &- (writeIndex &- knownHead)
    }

    /// Adds a packet, or counts it as lost when the consumer is too far behind.
    @discardableResult
    func push(
        _ entry: PipeEntry, payload: UnsafeRawBufferPointer,
        descriptor: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) -> Bool {
        guard deferred.isEmpty, free > Self.packetFloor, payload.count <= MediaLimits.payloadBytesMax,
            let payloadSlot = nextPayloadSlot()
        else {
            lost &+= 1
            droppedTotal &+= 1
            return false
        }
        writeGapIfAny()
        let slot = Int(writeIndex & (capacity &- 1))
        entries[slot] = entry
        entries[slot].payloadCount = UInt16(truncatingIfNeeded: payload.count)
        entries[slot].payloadSlot = UInt32(truncatingIfNeeded: payloadSlot)
        let place = payloads.start + payloadSlot * MediaLimits.payloadBytesMax
        if let base = payload.baseAddress { place.copyMemory(from: base, byteCount: payload.count) }
        let room = min(DependencyDescriptor.bytesMax, MediaLimits.payloadBytesMax - payload.count)
        if descriptor.count <= room, let base = descriptor.baseAddress {
            entries[slot].descriptorCount = UInt8(truncatingIfNeeded: descriptor.count)
            (place + payload.count).copyMemory(from: base, byteCount: descriptor.count)
        }
        writeIndex &+= 1
        return true
    }

    /// The next place for a payload; nil when all are in use. Payloads fill runs of slots, and each time the lowest run that is free: behind
    /// a consumer that keeps up most of the memory is never touched.
    private func nextPayloadSlot() -> Int? {
        if runUsed == runSlots {
            runEnds[run] = writeIndex
            knownHead = head.load(ordering: .acquiring)
            guard let free = runEnds.firstIndex(where: { $0 <= knownHead }) else { return nil }
            (run, runUsed) = (free, 0)
        }
        runUsed &+= 1
        return run &* runSlots &+ runUsed &- 1
    }

    /// Tells the consumer of a new source; what its tracks are travels beside the ring.
    ///
    /// - Parameters:
    ///   - restarted: a bit for each track whose numbering and timestamps begin anew.
    ///   - canAsk: the source answers keyframe requests, for all it says.
    func pushSource(epoch: UInt32, tracks: [TapTrack], restarted: UInt64, canAsk: Bool = true) {
        descriptions.withLock { $0[epoch] = tracks }
        pushControl(PipeEntry(sequence: restarted, epoch: epoch, track: canAsk ? 1 : 0, kind: .source))
    }

    /// Tells the consumer that the source is gone.
    func pushSourceEnded(epoch: UInt32) {
        pushControl(PipeEntry(epoch: epoch, kind: .sourceEnded))
    }

    private func pushControl(_ entry: PipeEntry) {
        deferred.append(entry)
        flushDeferred()
    }

    private func flushDeferred() {
        while let entry = deferred.first, free > 1 {
            writeGapIfAny()
            entries[Int(writeIndex & (capacity &- 1))] = entry
            writeIndex &+= 1
            deferred.removeFirst()
        }
    }

    private func writeGapIfAny() {
        guard lost > 0 else { return }
        entries[Int(writeIndex & (capacity &- 1))] = PipeEntry(sequence: lost, kind: .gap)
        writeIndex &+= 1
        lost = 0
    }

    /// Makes what was pushed visible and wakes the consumer; once a batch.
    func publish() {
        if !deferred.isEmpty { flushDeferred() }
        guard writeIndex != tail.load(ordering: .relaxed) else { return }
        tail.store(writeIndex, ordering: .releasing)
        wake.signal()
    }

    // MARK: Consumer

    /// The oldest entry, which stays valid until ``pop()``; nil when there is none.
    func front() -> UnsafePointer<PipeEntry>? {
        if readIndex == knownTail {
            knownTail = tail.load(ordering: .acquiring)
            if readIndex == knownTail { return nil }
        }
        return UnsafePointer(entries + Int(readIndex & (capacity &- 1)))
    }

    /// The payload of what ``front()`` returned.
    func payload(of entry: UnsafePointer<PipeEntry>) -> UnsafeRawPointer {
        UnsafeRawPointer(payloads.start + Int(entry.pointee.payloadSlot) * MediaLimits.payloadBytesMax)
    }

    /// The dependency descriptor of what ``front()`` returned; empty when it came without.
    func descriptor(of entry: UnsafePointer<PipeEntry>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: payload(of: entry) + Int(entry.pointee.payloadCount), count: Int(entry.pointee.descriptorCount))
    }

    /// Gives the oldest slot back to the producer.
    func pop() {
        readIndex &+= 1
        head.store(readIndex, ordering: .releasing)
    }

    /// What the tracks of a source are; forgets older sources.
    func tracks(of epoch: UInt32) -> [TapTrack] {
        descriptions.withLock { known in
            known = known.filter { Int32(bitPattern: $0.key &- epoch) >= 0 }
            return known[epoch] ?? []
        }
    }
}
