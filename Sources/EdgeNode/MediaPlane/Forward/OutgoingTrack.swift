/// One track on its way to one viewer: SSRC, numbering, timestamps and what to send of it.
struct OutgoingTrack {
    enum State {
        /// The stream has no track for it, or in another codec, or the viewer wants none.
        case unmatched
        /// Nothing may be sent before a keyframe starts.
        case waiting
        /// Nothing is sent: the way to the peer is full. Begins again as a joiner does, once it has room.
        case paused
        /// Sending what the ring holds from a keyframe on; `next` is the position to send next.
        case catchingUp(next: UInt64)
        case live
    }

    let kind: TrackKind
    let clockRate: UInt32
    let ssrc: UInt32
    let mid: ShortText
    let cname: ShortText
    let extensions: ExtensionIDs
    private let isTwoByte: Bool
    /// Of the first stretch that is sent.
    private let firstTimestampOffset: UInt32

    /// What it may be sent as.
    var formats: OutgoingFormats

    var state: State = .unmatched
    /// The fanout track that is sent; -1 while none is.
    var layer = -1
    /// The one that is to be sent from its next keyframe on: the same while nothing is to change, -1 for any.
    var target = -1
    /// The track follows one of several layers.
    var isLayered = false
    /// What is sent of a track whose source has layers itself, what is to be, and the position up to which that was decided.
    var cell = LayerGrid.whole
    var wantedCell = LayerGrid.whole
    var passed: UInt64 = 0
    var map: SequenceMap
    var resends = ResendLimiter()
    var echoes = ResendEchoes()
    /// What is known of the way to the viewer; nil for one whose packets don't say when they were sent.
    private(set) var path: UnsafeMutablePointer<ViewerPath>?
    /// The same, for a track that keeps to the path's pace.
    private(set) var pacedPath: UnsafeMutablePointer<ViewerPath>?
    /// Where retransmissions go; nil for a viewer that gets the same packet again.
    private(set) var repair: RepairStream?
    /// Up to this number packets carry the mid (RFC 9143 §9.2): enough for the peer to learn the SSRC, then no more.
    private var midLast: UInt64 = .max
    static let midPackets: UInt64 = 256

    private(set) var packets: UInt64 = 0
    private(set) var octets: UInt64 = 0
    /// Of the newest packet sent: its timestamp on its layer's timeline, and its arrival.
    private(set) var lastTimestamp: UInt32 = 0
    private(set) var lastArrivalNs: UInt64 = 0
    /// Its position, as far as it belongs to the newest stretch.
    private var lastIndex: UInt64 = 0
    /// Something of the newest stretch was sent: what is known of the newest packet is of its layer's timeline.
    var hasBegun: Bool { lastIndex != 0 }
    var lost: UInt64 = 0
    var waitingSinceNs: UInt64 = 0
    var catchUpPace = CatchUpPace()
    var pleas = KeyframePleas()
    /// When the last stretch began; its first group may run faster.
    var rerunSinceNs: UInt64 = 0
    /// The last full intra request's number, and when it came first.
    private var command: (number: UInt8, atNs: UInt64)?
    /// How long a number counts as a repeat: some senders never change it.
    private static let commandNs: UInt64 = 1_000_000_000
    /// Of the track's flush with this serial, so many pending packets were sent already while catching up.
    private var caughtUpSerial: UInt64 = .max
    private var caughtUpCount = 0

    init(_ spec: OutgoingTrackSpec, initialSequence: UInt16, timestampOffset: UInt32, initialRepair: UInt16 = 0) {
        kind = spec.kind
        formats = OutgoingFormats(spec.formats)
        clockRate = max(spec.clockRate, 1)
        ssrc = spec.ssrc
        mid = ShortText(spec.mid)
        cname = ShortText(spec.cname)
        extensions = spec.extensions
        isTwoByte =
            max(
                spec.extensions.mid, spec.extensions.audioLevel, spec.extensions.videoOrientation,
                spec.extensions.playoutDelay, spec.extensions.transportCC, spec.extensions.absSendTime,
                spec.extensions.dependencyDescriptor) > 14
        firstTimestampOffset = timestampOffset
        map = SequenceMap(initial: initialSequence)
        if let ssrc = spec.rtxSSRC, spec.rtxPayloadType != nil { repair = RepairStream(ssrc: ssrc, initial: initialRepair) }
    }

    /// Packets say from now on when they were sent, if that was agreed on for this track.
    mutating func follow(_ path: UnsafeMutablePointer<ViewerPath>) {
        let isTold = path.pointee.estimator == nil ? extensions.absSendTime : extensions.transportCC
        guard isTold != 0 else { return }
        self.path = path
        if kind == .video, path.pointee.estimator != nil { pacedPath = path }
    }

    /// Begins to send a layer at a position; false when that was passed already.
    mutating func begin(at index: UInt64, shift: LayerShift) -> Bool {
        var shift = shift
        shift.format = UInt8(truncatingIfNeeded: formats.current)
        guard map.begin(at: index, shift: shift) else { return false }
        if midLast == .max { midLast = map.highest &+ Self.midPackets }
        lastIndex = 0
        return true
    }

    /// How the first stretch of all is moved.
    func firstShift(track: Int) -> LayerShift {
        LayerShift(track: UInt8(truncatingIfNeeded: track), timestamp: firstTimestampOffset)
    }

    /// Room that a header needs at most: fixed part, extension block of five elements with a 32-byte mid.
    static let headerBytesMax = 80

    /// The same for a packet with its dependency descriptor.
    @inline(__always)
    static func headerBytesMax(_ slot: UnsafePointer<PacketSlot>) -> Int {
        slot.pointee.descriptorCount == 0 ? headerBytesMax : headerBytesMax + 2 + Int(slot.pointee.descriptorCount)
    }

    /// Whether a packet has extensions: what would not fit a datagram goes without, by a rule that is the same for a resend over
    /// another path.
    @inline(__always)
    static func hasRoom(_ slot: UnsafePointer<PacketSlot>) -> Bool {
        Int(slot.pointee.payloadCount) + headerBytesMax(slot) + SRTPProfile.tagBytesMax <= MediaLimits.datagramBytesMaxIPv6
    }

    /// Writes the header of a packet under its number; without a mark it depends on nothing that changes later, so a resend is the same
    /// bytes.
    @inline(__always)
    func writeHeader(
        _ slot: UnsafePointer<PacketSlot>, sequence: UInt64, shift: LayerShift, mark: SendingMark,
        descriptor: DependencyDescriptor = .none, to place: UnsafeMutableRawPointer
    ) -> Int {
        let hasMid = sequence <= midLast
        let flags = slot.pointee.flags
        let extensionBytes =
            Self.hasRoom(slot)
            ? writeExtensions(slot, hasMid: hasMid, mark: mark, descriptor, to: place + RTPHeader.fixedBytes) : 0
        let format = formats[shift.format]
        let isRedundant = flags.contains(.redundant) && format.redPayloadType != OutgoingFormats.none
        writeFixed(
            slot, payloadType: isRedundant ? format.redPayloadType : format.payloadType, ssrc: ssrc, sequence: sequence,
            timestamp: shift.moved(slot.pointee.timestamp), hasExtensions: extensionBytes > 0,
            hasPadding: flags.contains(.filler), to: place)
        return RTPHeader.fixedBytes + extensionBytes
    }

    /// Writes the header of a retransmission of a packet under a number of its own: the same timestamp and marker, the
    /// extensions as they are now (RFC 4588 §4). What doesn't fit `bytesMax` goes without extensions.
    ///
    /// - Returns: the header's size and the number it was given; nil when there is no room or no repair stream.
    mutating func writeRepairHeader(
        _ slot: UnsafePointer<PacketSlot>, shift: LayerShift, to place: UnsafeMutableRawPointer, bytesMax: Int,
        mark: SendingMark, descriptor: DependencyDescriptor = .none
    ) -> (count: Int, sequence: UInt64)? {
        guard bytesMax >= RTPHeader.fixedBytes, let repair, let sequence = self.repair?.nextSequence() else { return nil }
        var extensionBytes = 0
        if bytesMax >= Self.headerBytesMax(slot) {
            extensionBytes = writeExtensions(
                slot, hasMid: repair.packets < Self.midPackets, mark: mark, descriptor, to: place + RTPHeader.fixedBytes)
        }
        writeFixed(
            slot, payloadType: formats[shift.format].rtxPayloadType & 0x7F, ssrc: repair.ssrc, sequence: sequence,
            timestamp: shift.moved(slot.pointee.timestamp),
            hasExtensions: extensionBytes > 0, hasPadding: false, to: place)
        return (RTPHeader.fixedBytes + extensionBytes, sequence)
    }

    @inline(__always)
    private func writeFixed(
        _ slot: UnsafePointer<PacketSlot>, payloadType: UInt8, ssrc: UInt32, sequence: UInt64, timestamp: UInt32,
        hasExtensions: Bool, hasPadding: Bool, to place: UnsafeMutableRawPointer
    ) {
        let marker: UInt8 = slot.pointee.flags.contains(.marker) ? 0x80 : 0
        place.storeByte(0x80 | (hasExtensions ? 0x10 : 0) | (hasPadding ? 0x20 : 0), at: 0)
        place.storeByte(payloadType | marker, at: 1)
        place.storeBigEndian(UInt16(truncatingIfNeeded: sequence), at: 2)
        place.storeBigEndian(timestamp, at: 4)
        place.storeBigEndian(ssrc, at: 8)
    }

    /// Writes the header of a packet that is all padding, on the source of retransmissions: nothing of the media is numbered for it.
    ///
    /// - Returns: the header's size and the number it was given; nil without a repair stream.
    mutating func writePaddingHeader(mark: SendingMark, to place: UnsafeMutableRawPointer) -> (count: Int, sequence: UInt64)? {
        guard let repair, let sequence = self.repair?.nextSequence() else { return nil }
        var writer = HeaderExtensionWriter(
            at: place + RTPHeader.fixedBytes, limit: Self.headerBytesMax - RTPHeader.fixedBytes, isTwoByte: isTwoByte)
        mark.append(to: &writer, ids: extensions)
        if extensions.mid != 0, repair.packets < Self.midPackets {
            mid.withBytes { writer.append(id: extensions.mid, bytes: $0) }
        }
        let extensionBytes = writer.finish()
        place.storeByte(0xA0 | (extensionBytes > 0 ? 0x10 : 0), at: 0)
        place.storeByte(formats[UInt8(truncatingIfNeeded: formats.current)].rtxPayloadType & 0x7F, at: 1)
        place.storeBigEndian(UInt16(truncatingIfNeeded: sequence), at: 2)
        place.storeBigEndian(outgoing(lastTimestamp), at: 4)
        place.storeBigEndian(repair.ssrc, at: 8)
        return (RTPHeader.fixedBytes + extensionBytes, sequence)
    }

    /// - Parameter mark: empty for a packet that may be sent again as it was.
    @inline(__always)
    private func writeExtensions(
        _ slot: UnsafePointer<PacketSlot>, hasMid: Bool, mark: SendingMark, _ descriptor: DependencyDescriptor,
        to place: UnsafeMutableRawPointer
    ) -> Int {
        let values = slot.pointee.extensions
        let hasMid = hasMid && extensions.mid != 0
        let descriptorCount = extensions.dependencyDescriptor == 0 ? 0 : descriptor.bytes.count
        guard hasMid || !mark.isEmpty || !values.present.isEmpty || descriptorCount > 0 else { return 0 }
        // Who agreed on descriptors takes the form that their longer ones need.
        var writer = HeaderExtensionWriter(
            at: place, limit: Self.headerBytesMax(slot) - RTPHeader.fixedBytes, isTwoByte: isTwoByte || descriptorCount > 16)
        mark.append(to: &writer, ids: extensions)
        if hasMid { mid.withBytes { writer.append(id: extensions.mid, bytes: $0) } }
        if values.present.contains(.audioLevel) {
            writer.append(id: extensions.audioLevel, value: UInt32(values.audioLevel), bytes: 1)
        }
        if values.present.contains(.videoOrientation) {
            writer.append(id: extensions.videoOrientation, value: UInt32(values.videoOrientation), bytes: 1)
        }
        if values.present.contains(.playoutDelay) {
            writer.append(id: extensions.playoutDelay, value: values.playoutDelay, bytes: 3)
        }
        if descriptorCount > 0 { writer.append(id: extensions.dependencyDescriptor, descriptor) }
        return writer.finish()
    }

    /// Counts a packet that went out for the first time (RFC 3550 §6.4.1 counts payload octets).
    @inline(__always)
    mutating func countSent(_ slot: UnsafePointer<PacketSlot>, bytes: Int, octets: Int) {
        packets &+= 1
        self.octets &+= UInt64(octets)
        resends.earn(bytes)
        // What comes late is no measure for what comes next.
        guard slot.pointee.index > lastIndex else { return }
        lastIndex = slot.pointee.index
        lastTimestamp = slot.pointee.timestamp
        lastArrivalNs = slot.pointee.arrivalNs
    }

    /// Counts a retransmission that went out.
    mutating func countRepaired(octets: Int) { repair?.countSent(octets: octets) }

    /// Whether a full intra request with this number is another one than the last.
    mutating func isNewCommand(_ number: UInt8, now: UInt64) -> Bool {
        if let command, command.number == number, now &- command.atNs < Self.commandNs { return false }
        command = (number, now)
        return true
    }

    /// Everything pending by now has been looked at.
    mutating func noteCaughtUp(serial: UInt64, count: Int) {
        caughtUpSerial = serial
        caughtUpCount = count
    }

    /// The first of the pending packets that this viewer hasn't been sent by catching up.
    @inline(__always)
    func firstPending(serial: UInt64) -> Int { serial == caughtUpSerial ? caughtUpCount : 0 }

    /// A timestamp on the timeline of the layer sent last, as this viewer sees it.
    func outgoing(_ timestamp: UInt32) -> UInt32 { map.newest?.shift.moved(timestamp) ?? timestamp &+ firstTimestampOffset }

    /// The timestamp that a sender report tells the time of, as this viewer sees it, and what on the layer's timeline is of that time: the
    /// last packet's, unless that is of a group that runs faster.
    var reported: (timestamp: UInt32, timeline: UInt32) {
        let timestamp = outgoing(lastTimestamp)
        return (timestamp, timestamp &- (map.newest?.shift.timestamp ?? firstTimestampOffset))
    }

    /// Whether a packet may go already, where a group runs faster.
    func isDue(_ slot: UnsafePointer<PacketSlot>, now: UInt64) -> Bool {
        let rerun = map.shift(of: map.highest &+ 1).rerun
        guard rerun.covers(slot.pointee.timestamp) else { return true }
        let passed = (now &- rerunSinceNs) / 1000 &* UInt64(clockRate) / 1_000_000
        return UInt64(rerun.ticks(slot.pointee.timestamp)) <= passed &+ 1
    }
}
