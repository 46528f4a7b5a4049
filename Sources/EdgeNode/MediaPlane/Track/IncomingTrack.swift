/// A media packet on its way from a publisher's track to rings and pipes.
struct IncomingPacket {
    var sequence: UInt64
    var timestamp: UInt32
    var arrivalNs: UInt64
    var flags: PacketFlags
    var extensions: ForwardedExtensions
    /// The dependency descriptor; valid as long as the payload.
    var descriptor = UnsafeRawBufferPointer(start: nil, count: 0)
}

/// One track of a publisher: numbering, duplicates, loss, reports and keyframe requests of its source.
struct IncomingTrack: ~Copyable {
    let spec: TrackConstants
    private(set) var ssrc: UInt32 = 0
    private(set) var isLatched = false
    private var unwrapper = SequenceUnwrapper()
    private var window = ReceiveWindow()
    private var closer = PaddingCloser()
    private(set) var stats = ReceiverStats()
    var nacks = NackGenerator()
    var keyframes = KeyframeRequester()
    private var keyframeTimestamp: UInt32?
    private(set) var profileLevel: UInt32 = 0
    private(set) var hasMedia = false
    var fullIntraNumber: UInt8 = 0
    /// From first asking for a packet to its arrival.
    private var repairTrip = RoundTrip()
    /// The same in nanoseconds; stands in for the round trip time.
    var repairNs: UInt64 { repairTrip.ns }
    private(set) var recovered: UInt64 = 0
    /// A packet with the parameter sets of the SDP; empty without.
    let parameterSets: UnsafeRawBufferPointer
    /// The source sends its own.
    private var hasOwnSets = false
    /// They go before the packet that was placed last, under the number before it.
    private(set) var insertsSets = false

    init(_ spec: TrackConstants, parameterSets: [UInt8] = []) {
        self.spec = spec
        let place = UnsafeMutableRawBufferPointer.allocate(byteCount: parameterSets.count, alignment: 1)
        place.copyBytes(from: parameterSets)
        self.parameterSets = UnsafeRawBufferPointer(place)
    }

    deinit { parameterSets.deallocate() }

    /// Whether media of another SSRC was there before: the encoder started anew.
    @inline(__always)
    func isOther(_ ssrc: UInt32) -> Bool { isLatched && hasMedia && self.ssrc != ssrc }

    /// The source is known by this SSRC now; numbering begins anew if it was another.
    @inline(__always)
    mutating func latch(_ ssrc: UInt32) {
        guard !isLatched || self.ssrc != ssrc else { return }
        if isOther(ssrc) { restart() }
        self.ssrc = ssrc
        isLatched = true
    }

    private mutating func restart() {
        unwrapper = SequenceUnwrapper()
        window = ReceiveWindow()
        closer = PaddingCloser()
        stats = ReceiverStats()
        nacks.restart(at: 0)
        keyframeTimestamp = nil
        hasOwnSets = false
    }

    /// What to do with a packet.
    enum Verdict {
        case deliver(IncomingPacket)
        case drop(MediaDrop)
        /// The numbering jumped: call ``restartNumbering()`` and come again.
        case jump
    }

    /// Places a packet that came under its own SSRC, or out of a retransmission.
    mutating func receive(
        sequence: UInt16, header: RTPHeader, payload: Span<UInt8>, extensions: ForwardedExtensions, now: UInt64, isRepair: Bool
    ) -> Verdict {
        let extended = unwrapper.peek(sequence)
        if unwrapper.isStarted {
            let distance = Int64(bitPattern: extended &- unwrapper.highest)
            if distance > MediaLimits.sequenceJumpMax || distance < -MediaLimits.sequenceJumpMax {
                return isRepair ? .drop(.tooOld) : .jump
            }
        } else if isRepair {
            return .drop(.probe)
        }
        _ = unwrapper.unwrap(sequence)
        if !isRepair {
            stats.record(sequence: extended, timestamp: header.timestamp, arrivalNs: now, clockRate: spec.clockRate)
        }
        switch window.insert(extended) {
        case .duplicate: return .drop(.duplicate)
        case .tooOld: return .drop(.tooOld)
        case .new: break
        }
        noteLoss(extended, now: now)
        insertsSets = false
        guard payload.count > 0 else { return padding(extended, header, now) }
        if parameterSets.count > 0 { insertSets(before: extended, header.timestamp, payload) }
        guard let number = closer.media(extended) else { return .drop(.tooOld) }
        hasMedia = true
        var packet = IncomingPacket(
            sequence: number, timestamp: header.timestamp, arrivalNs: now, flags: header.marker ? .marker : [],
            extensions: extensions)
        if spec.kind == .video { markKeyframe(&packet, payload) }
        return .deliver(packet)
    }

    /// How many packets are missing right before this one, when it is the newest.
    func missing(before sequence: UInt16) -> Int {
        guard unwrapper.isStarted, hasMedia else { return 0 }
        let distance = Int64(bitPattern: unwrapper.peek(sequence) &- unwrapper.highest)
        return (2...MediaLimits.sequenceJumpMax).contains(distance) ? Int(distance) - 1 : 0
    }

    /// Begins a new numbering of the same source: far jumps are restarts, not loss.
    mutating func restartNumbering() { restart() }

    private mutating func noteLoss(_ sequence: UInt64, now: UInt64) {
        guard spec.feedback.nack else { return }
        switch nacks.receive(sequence, now: now) {
        case .inOrder: break
        case .recovered(let took):
            guard let took else { return }
            recovered &+= 1
            // Where a request or its answer got lost, too, it took a round trip more: such samples count for little.
            repairTrip.take(took)
        case .hopeless: keyframes.want()
        }
    }

    private mutating func padding(_ sequence: UInt64, _ header: RTPHeader, _ now: UInt64) -> Verdict {
        guard hasMedia, let number = closer.padding(sequence) else {
            if !hasMedia { _ = closer.padding(sequence) }
            return .drop(.paddingOnly)
        }
        return .deliver(
            IncomingPacket(
                sequence: number, timestamp: header.timestamp, arrivalNs: now, flags: .filler,
                extensions: ForwardedExtensions()))
    }

    /// A decoder that knows nothing of the SDP gets the parameter sets with each keyframe, unless the source sends some (RFC 6184 §8.4).
    private mutating func insertSets(before sequence: UInt64, _ timestamp: UInt32, _ payload: Span<UInt8>) {
        let marks = hasOwnSets ? [] : KeyframeDetector.marks(spec.codec, payload)
        if marks.contains(.parameterSets) { hasOwnSets = true }
        insertsSets =
            marks == .keyframe && keyframeTimestamp != timestamp && closer.insert(before: sequence)
        if insertsSets, let level = KeyframeDetector.h264ProfileLevel(parameterSets.bindMemory(to: UInt8.self).span) {
            profileLevel = level
        }
    }

    private mutating func markKeyframe(_ packet: inout IncomingPacket, _ payload: Span<UInt8>) {
        let marks = KeyframeDetector.marks(spec.codec, payload)
        if marks.contains(.parameterSets) {
            packet.flags.insert(.parameterSets)
            if spec.codec == .h264, let level = KeyframeDetector.h264ProfileLevel(payload) { profileLevel = level }
        }
        // Some encoders send parameter sets before every picture: what a decoder can start at is only told by the picture.
        guard marks.contains(.keyframe), keyframeTimestamp != packet.timestamp else { return }
        keyframeTimestamp = packet.timestamp
        packet.flags.insert(.keyframeStart)
        if keyframes.isAnswer(now: packet.arrivalNs) { packet.flags.insert(.answer) }
        keyframes.keyframeArrived()
    }

    /// The source said goodbye: what of it is missing won't come, though it may return (RFC 3550 §6.6).
    mutating func sourceLeft() { nacks.forget() }

    mutating func recordSenderReport(ntp: UInt64, arrivalNs: UInt64) {
        stats.recordSenderReport(ntp: ntp, arrivalNs: arrivalNs)
    }

    mutating func reportBlock(now: UInt64) -> ReportBlock { stats.report(ssrc: ssrc, now: now) }
}

/// What a track's spec comes down to on the packet path: no strings, no arrays.
struct TrackConstants {
    let kind: TrackKind
    let codec: CodecID
    let clockRate: UInt32
    let payloadType: UInt8
    /// 255 when there is none.
    let rtxPayloadType: UInt8
    /// 255 when there is none.
    let redPayloadType: UInt8
    let feedback: FeedbackFlags
    let mid: ShortText
    /// Empty for a track that comes once.
    let rid: ShortText

    init(_ spec: IncomingTrackSpec) {
        kind = spec.kind
        codec = spec.codec
        clockRate = max(spec.clockRate, 1)
        payloadType = spec.payloadType
        rtxPayloadType = spec.rtxPayloadType ?? 255
        redPayloadType = spec.redPayloadType ?? 255
        feedback = spec.feedback
        mid = ShortText(spec.mid)
        rid = ShortText(spec.rid)
    }
}
