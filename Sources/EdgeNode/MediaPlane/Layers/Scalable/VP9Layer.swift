/// What a VP9 payload descriptor tells of layers (RFC 9628 §4.2).
struct VP9Layer {
    /// L: it says which layer its packet is of.
    private(set) var hasIndices = false
    private(set) var spatial: UInt8 = 0
    private(set) var temporal: UInt8 = 0
    private(set) var startsFrame = false
    private(set) var endsFrame = false
    private(set) var isPredicted = false
    /// U: higher temporal layers refer to nothing before this picture that is above it.
    private(set) var isSwitchPoint = false
    /// Not Z: the same picture's higher spatial layers refer to it.
    private(set) var isReferredToAbove = false
    /// Spatial layers by the scalability structure; 0 without one.
    private(set) var spatialCount = 0
    /// Their sizes, where that tells them.
    private(set) var sizes = InlineArray<3, PictureSize>(repeating: PictureSize())

    /// The largest of them: the last one.
    private(set) var largest = PictureSize()

    /// Nil for descriptors that are cut short.
    init?(_ payload: Span<UInt8>) {
        guard payload.count >= 2 else { return nil }
        let first = payload[0]
        isPredicted = first & 0x40 != 0
        startsFrame = first & 0x08 != 0
        endsFrame = first & 0x04 != 0
        isReferredToAbove = first & 0x01 == 0
        hasIndices = first & 0x20 != 0
        let isFlexible = first & 0x10 != 0
        var offset = 1
        if first & 0x80 != 0 { offset += payload[1] & 0x80 != 0 ? 2 : 1 }
        if hasIndices {
            guard payload.count > offset else { return nil }
            let indices = payload[offset]
            (temporal, spatial) = (indices >> 5, indices >> 1 & 0x07)
            isSwitchPoint = indices & 0x10 != 0
            // TL0PICIDX follows unless the mode is flexible.
            offset += isFlexible ? 1 : 2
        }
        guard first & 0x02 != 0 else { return }
        if isFlexible, isPredicted {
            guard skipReferences(payload, &offset) else { return nil }
        }
        readStructure(payload, offset)
    }

    /// Up to three P_DIFF of a flexible picture.
    private func skipReferences(_ payload: Span<UInt8>, _ offset: inout Int) -> Bool {
        for _ in 0..<3 {
            guard payload.count > offset else { return false }
            offset += 1
            if payload[offset - 1] & 1 == 0 { return true }
        }
        return true
    }

    /// N_S, Y and the sizes of the scalability structure (RFC 9628 §4.2.1).
    private mutating func readStructure(_ payload: Span<UInt8>, _ start: Int) {
        guard payload.count > start else { return }
        spatialCount = Int(payload[start] >> 5) + 1
        guard payload[start] & 0x10 != 0, payload.count > start + 4 * spatialCount else { return }
        for layer in 0..<min(spatialCount, sizes.count) {
            sizes[layer] = Self.size(payload, at: start + 1 + 4 * layer)
        }
        largest = Self.size(payload, at: start + 1 + 4 * (spatialCount - 1))
    }

    private static func size(_ payload: Span<UInt8>, at place: Int) -> PictureSize {
        PictureSize(width: payload.bigEndian16(at: place), height: payload.bigEndian16(at: place + 2))
    }

    /// Whether a payload shows that its stream has layers.
    static func beginsLayers(_ payload: Span<UInt8>) -> Bool {
        guard let layer = VP9Layer(payload), layer.hasIndices else { return false }
        return layer.spatial > 0 || layer.temporal > 0 || layer.spatialCount > 1
    }
}
