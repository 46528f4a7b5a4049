/// One track on its way to one viewer: SSRC, numbering, timestamps and what to send of it.
struct OutgoingTrack {
    enum State {
        /// The stream has no track for it, or in another codec.
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
    let codec: CodecID
    let clockRate: UInt32
    let payloadType: UInt8
    let ssrc: UInt32
    let mid: ShortText
    let cname: ShortText
    let extensions: ExtensionIDs
    private let isTwoByte: Bool
    private let timestampOffset: UInt32

    var state: State = .unmatched
    var map: SequenceMap
    var resends = ResendLimiter()
    /// Up to this position packets carry the mid (RFC 9143 §9.2): enough for the peer to learn the SSRC, then no more.
    private var midLast: UInt64 = 0
    private var midFirst: UInt64 = .max
    static let midPackets: UInt64 = 256

    private(set) var packets: UInt64 = 0
    private(set) var octets: UInt64 = 0
    private(set) var lastTimestamp: UInt32 = 0
    var lost: UInt64 = 0
    var waitingSinceNs: UInt64 = 0
    /// Of the track's flush with this serial, so many pending packets were sent already while catching up.
    private var caughtUpSerial: UInt64 = .max
    private var caughtUpCount = 0

    init(_ spec: OutgoingTrackSpec, initialSequence: UInt16, timestampOffset: UInt32) {
        kind = spec.kind
        codec = spec.codec
        clockRate = max(spec.clockRate, 1)
        payloadType = spec.payloadType
        ssrc = spec.ssrc
        mid = ShortText(spec.mid)
        cname = ShortText(spec.cname)
        extensions = spec.extensions
        isTwoByte =
            max(
                spec.extensions.mid, spec.extensions.audioLevel, spec.extensions.videoOrientation,
                spec.extensions.playoutDelay) > 14
        self.timestampOffset = timestampOffset
        map = SequenceMap(initial: initialSequence)
    }

    /// Begins to send at a position; false when that was passed already.
    mutating func begin(at index: UInt64) -> Bool {
        guard map.begin(at: index) else { return false }
        if midFirst == .max {
            midFirst = index
            midLast = index &+ Self.midPackets
        }
        return true
    }

    /// Room that a header needs at most: fixed part, extension block of four elements with a 32-byte mid.
    static let headerBytesMax = 80

    /// Writes the header of a packet under its number; depends on nothing that changes later, so a resend is the same bytes.
    @inline(__always)
    func writeHeader(_ slot: UnsafePointer<PacketSlot>, sequence: UInt64, to place: UnsafeMutableRawPointer) -> Int {
        let flags = slot.pointee.flags
        let marker: UInt8 = flags.contains(.marker) ? 0x80 : 0
        place.storeByte(payloadType | marker, at: 1)
        place.storeBigEndian(UInt16(truncatingIfNeeded: sequence), at: 2)
        place.storeBigEndian(slot.pointee.timestamp &+ timestampOffset, at: 4)
        place.storeBigEndian(ssrc, at: 8)
        let extensionBytes = writeExtensions(slot, to: place + RTPHeader.fixedBytes)
        var first: UInt8 = 0x80
        if extensionBytes > 0 { first |= 0x10 }
        if flags.contains(.filler) { first |= 0x20 }
        place.storeByte(first, at: 0)
        return RTPHeader.fixedBytes + extensionBytes
    }

    @inline(__always)
    private func writeExtensions(_ slot: UnsafePointer<PacketSlot>, to place: UnsafeMutableRawPointer) -> Int {
        let values = slot.pointee.extensions
        let hasMid = extensions.mid != 0 && slot.pointee.index >= midFirst && slot.pointee.index < midLast
        guard hasMid || !values.present.isEmpty else { return 0 }
        // What would not fit a datagram goes without, by a rule that is the same for a resend over another path.
        guard Int(slot.pointee.payloadCount) + Self.headerBytesMax + 16 <= MediaLimits.datagramBytesMaxIPv6 else { return 0 }
        var writer = HeaderExtensionWriter(at: place, limit: Self.headerBytesMax - RTPHeader.fixedBytes, isTwoByte: isTwoByte)
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
        return writer.finish()
    }

    /// Counts a packet that went out for the first time (RFC 3550 §6.4.1 counts payload octets).
    @inline(__always)
    mutating func countSent(_ slot: UnsafePointer<PacketSlot>, bytes: Int) {
        packets &+= 1
        octets &+= UInt64(slot.pointee.payloadCount)
        lastTimestamp = slot.pointee.timestamp
        resends.earn(bytes)
    }

    /// Everything pending by now has been looked at.
    mutating func noteCaughtUp(serial: UInt64, count: Int) {
        caughtUpSerial = serial
        caughtUpCount = count
    }

    /// The first of the pending packets that this viewer hasn't been sent by catching up.
    @inline(__always)
    func firstPending(serial: UInt64) -> Int { serial == caughtUpSerial ? caughtUpCount : 0 }

    /// A timeline timestamp as this viewer sees it.
    func outgoing(_ timestamp: UInt32) -> UInt32 { timestamp &+ timestampOffset }
}
