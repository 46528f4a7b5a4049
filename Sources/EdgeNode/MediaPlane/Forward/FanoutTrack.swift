/// One track of a stream on one loop: the ring viewers are served from, on a timeline that outlives publishers.
///
/// Positions and timestamps are continuous over all sources; each viewer adds its own constant offsets.
struct FanoutTrack: ~Copyable {
    let kind: TrackKind
    private(set) var codec: CodecID
    private(set) var clockRate: UInt32
    /// The simulcast layer of the current source; empty for a track that comes once.
    private(set) var rid: ShortText
    private(set) var ring: PacketRing
    /// Positions stored since the last flush, in order of arrival.
    private let pending: UnsafeMutablePointer<UInt64>
    private(set) var pendingCount = 0
    /// Counts flushes, so that a viewer can tell one from the next.
    private(set) var flushSerial: UInt64 = 0
    static let pendingMax = 64
    /// Packets that may come while a joiner is sent what is cached.
    static let catchUpRoom = 256
    /// Whether the ring grows rather than lose the keyframe that joiners start from.
    var keepsGroup = false

    private var isAnchored = false
    private var indexOffset: Int64 = 0
    private var timestampOffset: UInt32 = 0
    /// The first position of the current source.
    private(set) var sourceFirst: UInt64 = 1
    private(set) var lastTimestamp: UInt32 = 0
    private(set) var lastArrivalNs: UInt64 = 0
    /// Bytes that came of all sources, RTP headers included.
    private(set) var receivedBytes: UInt64 = 0
    /// When media of this source came last; 0 before the first.
    private(set) var lastMediaNs: UInt64 = 0
    /// What this source's last keyframe, or its parameter sets, say of its size.
    private(set) var keyframeSize = PictureSize()
    private var hasHistory = false
    /// Where the newest keyframe begins; 0 before the first of this source.
    private(set) var keyframeIndex: UInt64 = 0
    private(set) var keyframeArrivalNs: UInt64 = 0
    private var keyframeTimestamp: UInt32 = 0
    /// Where the parameter sets of the newest picture that has some begin; 0 before the first of this source.
    private var setsIndex: UInt64 = 0
    private var setsTimestamp: UInt32 = 0
    var clock = SourceClock()
    /// Whether a viewer has been told a time for a timestamp of this source.
    var isAnnounced = false
    /// A keyframe starts among what is pending.
    private(set) var hasPendingKeyframe = false
    /// The layers within a source; nil while none has shown any.
    private(set) var scalable: UnsafeMutablePointer<ScalableTrack>?

    init(kind: TrackKind, codec: CodecID, clockRate: UInt32, rid: ShortText = ShortText("")) {
        self.kind = kind
        self.rid = rid
        self.codec = codec
        self.clockRate = max(clockRate, 1)
        ring = PacketRing(slots: kind == .video ? MediaLimits.videoRingSlots : MediaLimits.audioRingSlots)
        pending = .allocate(capacity: Self.pendingMax)
    }

    deinit {
        pending.deallocate()
        scalable?.deinitialize(count: 1)
        scalable?.deallocate()
    }

    /// The next packet is another source's: numbering and timestamps go on from where they are.
    mutating func beginSource(codec: CodecID, clockRate: UInt32, rid: ShortText = ShortText("")) {
        self.codec = codec
        self.rid = rid
        self.clockRate = max(clockRate, 1)
        isAnchored = false
        keyframeIndex = 0
        setsIndex = 0
        clock = SourceClock()
        isAnnounced = false
        lastMediaNs = 0
        keyframeSize = PictureSize()
        scalable?.pointee.beginSource()
    }

    enum Stored {
        case stored
        case dropped(MediaDrop)
    }

    /// Stores a packet of the current source and notes it for the next flush.
    mutating func store(_ packet: IncomingPacket, payload: UnsafeRawBufferPointer, wallNs: UInt64) -> Stored {
        if !isAnchored { anchor(packet) }
        let index = UInt64(bitPattern: Int64(bitPattern: packet.sequence) &+ indexOffset)
        // What lies before the source's first packet would collide with the source before it.
        guard Int64(bitPattern: index) >= Int64(bitPattern: sourceFirst) else { return .dropped(.staleSource) }
        let timestamp = packet.timestamp &+ timestampOffset
        let slot = PacketSlot(
            index: index, arrivalNs: packet.arrivalNs, timestamp: timestamp, flags: packet.flags,
            extensions: packet.extensions)
        if keepsGroup { makeRoom(for: index) }
        let isNewest = index > ring.highest
        guard ring.store(slot, payload: payload, descriptor: packet.descriptor) else { return .dropped(.duplicate) }
        receivedBytes &+= UInt64(payload.count + RTPHeader.fixedBytes)
        if isNewest, !packet.flags.contains(.filler) {
            lastTimestamp = timestamp
            lastArrivalNs = packet.arrivalNs
            hasHistory = true
            lastMediaNs = packet.arrivalNs
        }
        clock.anchorAtArrival(timestamp: timestamp, wallNs: wallNs, clockRate: clockRate)
        if !packet.flags.isDisjoint(with: [.keyframeStart, .parameterSets]) {
            noteStart(packet.flags, index, timestamp, packet.arrivalNs)
            if let size = PictureSize(codec, keyframe: payload.bindMemory(to: UInt8.self).span) { keyframeSize = size }
        }
        if kind == .video { noteLayers(slot, payload.bindMemory(to: UInt8.self).span, packet.descriptor) }
        pending[pendingCount] = index
        pendingCount += 1
        return .stored
    }

    /// What the packet is among the layers of its source. Layers of simulcast are sent whole, whatever is in them.
    @inline(__always)
    private mutating func noteLayers(_ slot: PacketSlot, _ payload: Span<UInt8>, _ descriptor: UnsafeRawBufferPointer) {
        if scalable == nil {
            guard rid.count == 0, slot.flags.rawValue & PacketFlags.filler.rawValue == 0,
                codec == .vp9 && VP9Layer.beginsLayers(payload) || codec == .av1 && FrameDependencies.beginsLayers(descriptor)
            else { return }
            let place = UnsafeMutablePointer<ScalableTrack>.allocate(capacity: 1)
            place.initialize(to: ScalableTrack(capacity: ring.capacity))
            scalable = place
        }
        scalable?.pointee.note(slot, codec, payload, descriptor: descriptor)
    }

    /// Whether viewers may choose among layers within this source.
    var offersCells: Bool {
        guard let scalable, rid.count == 0 else { return false }
        return scalable.pointee.reader.cells.nonzeroBitCount > 1
    }

    /// Grows the ring when it is about to lose the keyframe that joiners start from; a few times in the life of a stream.
    private mutating func makeRoom(for index: UInt64) {
        guard keyframeIndex != 0, index > keyframeIndex, index - keyframeIndex > UInt64(ring.capacity - Self.catchUpRoom),
            ring.capacity < MediaLimits.videoRingSlotsMax
        else { return }
        let grown = PacketRing(slots: ring.capacity * 2, copying: ring)
        ring = grown
        scalable?.pointee.grow(to: ring.capacity)
    }

    /// Notes what a decoder can start at: a keyframe, from the parameter sets on that came with it. Reordering can show a later packet of the
    /// access unit first, sets even behind their keyframe: the lowest one counts.
    private mutating func noteStart(_ flags: PacketFlags, _ index: UInt64, _ timestamp: UInt32, _ arrivalNs: UInt64) {
        if flags.contains(.parameterSets) {
            if keyframeIndex != 0, keyframeTimestamp == timestamp { keyframeIndex = min(keyframeIndex, index) }
            let isFirst = setsTimestamp == timestamp ? index < setsIndex : index > setsIndex
            if setsIndex == 0 || isFirst { (setsIndex, setsTimestamp) = (index, timestamp) }
        }
        guard flags.contains(.keyframeStart) else { return }
        hasPendingKeyframe = true
        let first = setsIndex(before: index, timestamp) ?? index
        if keyframeIndex != 0, keyframeTimestamp == timestamp {
            keyframeIndex = min(keyframeIndex, first)
        } else if index > keyframeIndex {
            keyframeIndex = first
            keyframeTimestamp = timestamp
            keyframeArrivalNs = arrivalNs
        }
    }

    /// Where the parameter sets of the picture with this timestamp begin, if they lie before this position and are still there.
    private func setsIndex(before index: UInt64, _ timestamp: UInt32) -> UInt64? {
        setsIndex != 0 && setsIndex < index && setsTimestamp == timestamp && ring.slot(at: setsIndex) != nil ? setsIndex : nil
    }

    /// What of a keyframe's picture came before its first coded data, for a reader that begins there; nil for nothing.
    ///
    /// - Parameter packet: the keyframe's first one, not yet stored.
    func leadIn(to packet: IncomingPacket) -> Range<UInt64>? {
        guard isAnchored else { return nil }
        let index = UInt64(bitPattern: Int64(bitPattern: packet.sequence) &+ indexOffset)
        return setsIndex(before: index, packet.timestamp &+ timestampOffset).map { $0..<index }
    }

    /// Puts the first packet of a source right behind the last one of the source before, as much later as it came later.
    private mutating func anchor(_ packet: IncomingPacket) {
        isAnchored = true
        sourceFirst = ring.highest + 1
        indexOffset = Int64(bitPattern: sourceFirst) &- Int64(bitPattern: packet.sequence)
        guard hasHistory else {
            timestampOffset = 0
            return
        }
        let elapsedNs = packet.arrivalNs > lastArrivalNs ? packet.arrivalNs - lastArrivalNs : 0
        let ticks = max(1, elapsedNs / 1000 &* UInt64(clockRate) / 1_000_000)
        timestampOffset = lastTimestamp &+ UInt32(truncatingIfNeeded: ticks) &- packet.timestamp
    }

    /// A sender report's timestamp on the track's timeline; nil before the source's first packet.
    func timeline(_ timestamp: UInt32) -> UInt32? {
        isAnchored ? timestamp &+ timestampOffset : nil
    }

    /// A stored packet of the current source as it came, for a loop that joins in the middle; nil when it isn't there.
    func original(at index: UInt64) -> (packet: IncomingPacket, payload: UnsafeRawBufferPointer)? {
        guard isAnchored, index >= sourceFirst, let slot = ring.slot(at: index) else { return nil }
        let packet = IncomingPacket(
            sequence: UInt64(bitPattern: Int64(bitPattern: index) &- indexOffset),
            timestamp: slot.pointee.timestamp &- timestampOffset, arrivalNs: slot.pointee.arrivalNs,
            flags: slot.pointee.flags.union(.replayed), extensions: slot.pointee.extensions,
            descriptor: ring.descriptor(of: slot))
        return (packet, ring.payload(of: slot))
    }

    /// Whether pictures come, none of them a keyframe for so long, in a codec that can do without (RFC 6184 §8.1, recovery points).
    func mayRefresh(now: UInt64, within ns: UInt64) -> Bool {
        (codec == .h264 || codec == .h265) && hasHistory && now &- lastArrivalNs < ns && now &- keyframeArrivalNs >= ns
    }

    var isPendingFull: Bool { pendingCount == Self.pendingMax }

    @inline(__always)
    func pendingIndex(_ position: Int) -> UInt64 { pending[position] }

    mutating func clearPending() {
        pendingCount = 0
        flushSerial &+= 1
        hasPendingKeyframe = false
    }

    /// Where a joiner may start right now so that it has a picture at once; nil when the ring doesn't hold the whole
    /// group of pictures, or it is too long to send in one go.
    func cachedKeyframe(packetsMax: UInt64) -> UInt64? { whole(from: keyframeIndex, packetsMax: packetsMax) }

    /// Where a joiner may start who can't wait for a keyframe: at the newest parameter sets, which encoders that refresh pictures bit by bit
    /// send where they begin to.
    func cachedSets(packetsMax: UInt64) -> UInt64? { whole(from: setsIndex, packetsMax: packetsMax) }

    private func whole(from index: UInt64, packetsMax: UInt64) -> UInt64? {
        guard index != 0, ring.slot(at: index) != nil, isKept(from: index, packetsMax: packetsMax) else { return nil }
        return index
    }

    /// Where a viewer goes on whom nothing was sent since this position; nil when not all since then is still there, or he needs a keyframe:
    /// another source or codec has come, or a keyframe.
    func following(_ last: UInt64, packetsMax: UInt64) -> UInt64? {
        guard keyframeIndex != 0, keyframeIndex <= last, last >= sourceFirst, last <= ring.highest,
            isKept(from: last + 1, packetsMax: packetsMax)
        else { return nil }
        return last + 1
    }

    /// How a group that begins here is shown now, when that is long after it came.
    func rerun(from index: UInt64, now: UInt64) -> Rerun {
        guard let slot = ring.slot(at: index), now > slot.pointee.arrivalNs else { return Rerun() }
        return Rerun(from: slot.pointee.timestamp, ageNs: now - slot.pointee.arrivalNs, clockRate: clockRate)
    }

    private func isKept(from index: UInt64, packetsMax: UInt64) -> Bool {
        (index >= ring.oldest + 64 || ring.oldest == 1) && ring.highest &+ 1 &- index <= packetsMax
    }
}
