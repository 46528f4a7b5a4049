/// The numbers that VP8 and VP9 carry in their payload descriptors, and where (RFC 7741 §4.2, RFC 9628 §4.2).
///
/// A decoder takes a jump back for old pictures and one ahead for loss, so they go on over every switch of layer or publisher.
struct PictureNumbers: Equatable {
    var pictureID: UInt16 = 0
    /// Bytes of the PictureID: 2 for 15 bits, 1 for 7, 0 without one.
    var pictureIDBytes = 0
    var pictureIDOffset = 0
    /// TL0PICIDX.
    var baseLayerIndex: UInt8 = 0
    /// 0 without one: nothing stands at the start of a descriptor but its first byte.
    var baseLayerIndexOffset = 0

    /// The frame number of a dependency descriptor.
    var frameNumber: UInt16?

    /// Nothing is numbered.
    init() {}

    /// Nil for other codecs, descriptors without numbers, and such as are cut short.
    init?(_ codec: CodecID, _ payload: Span<UInt8>) {
        switch codec {
        case .vp8: self.init(vp8: payload)
        case .vp9: self.init(vp9: payload)
        default: return nil
        }
    }

    private init?(vp8 payload: Span<UInt8>) {
        guard payload.count >= 2, payload[0] & 0x80 != 0 else { return nil }
        let present = payload[1]
        var offset = 2
        if present & 0x80 != 0 { guard takePictureID(payload, &offset) else { return nil } }
        if present & 0x40 != 0 {
            guard payload.count > offset else { return nil }
            baseLayerIndex = payload[offset]
            baseLayerIndexOffset = offset
        }
        guard pictureIDBytes > 0 || baseLayerIndexOffset > 0 else { return nil }
    }

    private init?(vp9 payload: Span<UInt8>) {
        guard payload.count >= 1 else { return nil }
        let first = payload[0]
        var offset = 1
        if first & 0x80 != 0 { guard takePictureID(payload, &offset) else { return nil } }
        // Layer indices; in flexible mode nothing follows them.
        if first & 0x20 != 0, first & 0x10 == 0 {
            guard payload.count > offset + 1 else { return nil }
            baseLayerIndex = payload[offset + 1]
            baseLayerIndexOffset = offset + 1
        }
        guard pictureIDBytes > 0 || baseLayerIndexOffset > 0 else { return nil }
    }

    private mutating func takePictureID(_ payload: Span<UInt8>, _ offset: inout Int) -> Bool {
        guard payload.count > offset else { return false }
        let isLong = payload[offset] & 0x80 != 0
        guard payload.count > offset + (isLong ? 1 : 0) else { return false }
        pictureIDOffset = offset
        pictureIDBytes = isLong ? 2 : 1
        pictureID = isLong ? payload.bigEndian16(at: offset) & 0x7FFF : UInt16(payload[offset] & 0x7F)
        offset += pictureIDBytes
        return true
    }

    private var pictureIDMask: UInt16 { pictureIDBytes == 2 ? 0x7FFF : 0x7F }

    /// What makes `next` follow this picture, which went out moved by `shift`.
    func shift(_ shift: PictureShift, before next: PictureNumbers) -> PictureShift {
        var result = PictureShift()
        if pictureIDBytes > 0, next.pictureIDBytes > 0 {
            result.pictureID = (pictureID &+ shift.pictureID &+ 1 &- next.pictureID) & next.pictureIDMask
        }
        if baseLayerIndexOffset > 0, next.baseLayerIndexOffset > 0 {
            result.baseLayerIndex = baseLayerIndex &+ shift.baseLayerIndex &+ 1 &- next.baseLayerIndex
        }
        if let frameNumber, let following = next.frameNumber {
            result.frameNumber = frameNumber &+ shift.frameNumber &+ 1 &- following
        }
        return result
    }

    /// Writes the moved numbers over those of the payload that this was read from.
    func write(_ shift: PictureShift, to payload: UnsafeMutableRawPointer) {
        let moved = (pictureID &+ shift.pictureID) & pictureIDMask
        if pictureIDBytes == 2 {
            payload.storeBigEndian(moved | 0x8000, at: pictureIDOffset)
        } else if pictureIDBytes == 1 {
            payload.storeByte(UInt8(moved), at: pictureIDOffset)
        }
        if baseLayerIndexOffset > 0 { payload.storeByte(baseLayerIndex &+ shift.baseLayerIndex, at: baseLayerIndexOffset) }
    }
}

extension FanoutTrack {
    /// What numbers a packet carries beside its own.
    func numbers(of slot: UnsafePointer<PacketSlot>) -> PictureNumbers {
        var numbers = PictureNumbers(codec, ring.payload(of: slot).bindMemory(to: UInt8.self).span) ?? PictureNumbers()
        numbers.frameNumber = DependencyDescriptor.frameNumber(ring.descriptor(of: slot))
        return numbers
    }

    /// A packet's dependency descriptor as a viewer gets it.
    @inline(__always)
    func descriptor(of slot: UnsafePointer<PacketSlot>, _ shift: LayerShift) -> DependencyDescriptor {
        slot.pointee.descriptorCount == 0
            ? .none : DependencyDescriptor(bytes: ring.descriptor(of: slot), frameShift: shift.picture.frameNumber)
    }
}
