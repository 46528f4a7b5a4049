/// Bits of a dependency descriptor, the highest first; past the end everything is 0.
private struct DescriptorBits {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    private(set) var isExhausted = false

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func bits(_ wanted: Int) -> UInt32 {
        guard position &+ wanted <= 8 &* bytes.count else {
            isExhausted = true
            return 0
        }
        var value: UInt32 = 0
        for _ in 0..<wanted {
            value = value << 1 | UInt32(bytes[position >> 3] >> UInt8(7 - position & 7) & 1)
            position &+= 1
        }
        return value
    }

    mutating func flag() -> Bool { bits(1) != 0 }

    /// `ns(n)`: a value below `bound` in as few bits as it takes.
    mutating func below(_ bound: UInt32) -> UInt32 {
        let width = UInt32.bitWidth - bound.leadingZeroBitCount
        guard width > 0 else { return 0 }
        let short = (UInt32(1) << UInt32(width)) &- bound
        let value = bits(width - 1)
        return value < short ? value : (value << 1 | bits(1)) &- short
    }
}

/// What frames are like in a stream, as a descriptor at a keyframe tells (AV1 RTP, appendix A.8.2, `template_dependency_structure`).
struct DependencyStructure {
    struct Template {
        var spatial: UInt8 = 0
        var temporal: UInt8 = 0
        /// Bits of the decode targets that such a frame belongs to, and of those that can be gone over to at it.
        var targets: UInt32 = 0
        var switches: UInt32 = 0
        /// Bit n: it refers to the frame n + 1 before it.
        var references: UInt64 = 0
    }

    private var templates = InlineArray<64, Template>(repeating: Template())
    private(set) var templateCount = 0
    private var firstID: UInt32 = 0
    private(set) var targetCount = 0
    /// Bits of the decode targets that are being sent.
    fileprivate(set) var activeTargets: UInt32 = 0
    /// By spatial layer; unknown where the descriptor doesn't tell.
    private(set) var sizes = InlineArray<4, PictureSize>(repeating: PictureSize())

    var isKnown: Bool { templateCount > 0 }

    subscript(template: Int) -> Template { templates[template] }

    init() {}

    fileprivate init?(_ bits: inout DescriptorBits) {
        firstID = bits.bits(6)
        targetCount = Int(bits.bits(5)) + 1
        guard readLayers(&bits) else { return nil }
        for template in 0..<templateCount {
            (templates[template].targets, templates[template].switches) = bits.indications(targetCount)
        }
        for template in 0..<templateCount {
            while bits.flag() { templates[template].references |= 1 << UInt64(bits.bits(4)) }
        }
        skipChains(&bits)
        if bits.flag() { readSizes(&bits) }
        guard !bits.isExhausted else { return nil }
        activeTargets = .max >> UInt32(32 - targetCount)
    }

    /// `template_layers`; false when there are more than can be.
    private mutating func readLayers(_ bits: inout DescriptorBits) -> Bool {
        var (spatial, temporal): (UInt8, UInt8) = (0, 0)
        while templateCount < templates.count, !bits.isExhausted {
            templates[templateCount].spatial = spatial
            templates[templateCount].temporal = temporal
            templateCount += 1
            switch bits.bits(2) {
            case 0: break
            case 1: temporal &+= 1
            case 2: (spatial, temporal) = (spatial &+ 1, 0)
            default: return spatial < 4 && temporal < 8
            }
        }
        return false
    }

    /// Chains tell receivers of losses; what may be gone over to follows from the frames themselves.
    private func skipChains(_ bits: inout DescriptorBits) {
        let chains = bits.below(UInt32(targetCount + 1))
        guard chains > 0 else { return }
        for _ in 0..<targetCount { _ = bits.below(chains) }
        for _ in 0..<templateCount * Int(chains) where !bits.isExhausted { _ = bits.bits(4) }
    }

    private mutating func readSizes(_ bits: inout DescriptorBits) {
        for layer in 0...Int(templates[templateCount - 1].spatial) where layer < sizes.count {
            let (width, height) = (bits.bits(16), bits.bits(16))
            sizes[layer] = PictureSize(width: UInt16(clamping: width + 1), height: UInt16(clamping: height + 1))
        }
    }

    /// The place of the template with this id; nil for one of another structure.
    fileprivate func place(of id: UInt32) -> Int? {
        let place = Int((id &+ 64 &- firstID) & 63)
        return place < templateCount ? place : nil
    }

    /// The layers of a decode target: the highest of the frames that belong to it.
    func layers(ofTarget target: Int) -> (spatial: UInt8, temporal: UInt8) {
        var highest: (spatial: UInt8, temporal: UInt8) = (0, 0)
        for template in 0..<templateCount where templates[template].targets & (1 << UInt32(target)) != 0 {
            highest.spatial = max(highest.spatial, templates[template].spatial)
            highest.temporal = max(highest.temporal, templates[template].temporal)
        }
        return highest
    }

    /// Whether whoever is sent one decode target has all that belongs to another one.
    func contains(_ outer: Int, _ inner: Int) -> Bool {
        for template in 0..<templateCount {
            let targets = templates[template].targets
            if targets & (1 << UInt32(inner)) != 0, targets & (1 << UInt32(outer)) == 0 { return false }
        }
        return true
    }
}

extension DescriptorBits {
    /// Decode target indications: bits of the targets that a frame belongs to, and of those that it is a switch point of.
    fileprivate mutating func indications(_ count: Int) -> (targets: UInt32, switches: UInt32) {
        var found: (targets: UInt32, switches: UInt32) = (0, 0)
        for target in 0..<count {
            let indication = bits(2)
            if indication != 0 { found.targets |= 1 << UInt32(target) }
            if indication == 2 { found.switches |= 1 << UInt32(target) }
        }
        return found
    }
}

/// What a dependency descriptor says of its packet's frame (AV1 RTP, appendix A.8.3).
struct FrameDependencies {
    private(set) var startsFrame = false
    private(set) var endsFrame = false
    private(set) var number: UInt16 = 0
    private(set) var frame = DependencyStructure.Template()
    /// It refers to frames further back than 64.
    private(set) var refersFar = false

    /// - Parameter structure: what is known of the stream; replaced where the descriptor brings another.
    /// - Returns: nil for what is cut short, and for frames of a structure that isn't known.
    init?(_ bytes: UnsafeRawBufferPointer, _ structure: inout DependencyStructure) {
        var bits = DescriptorBits(bytes)
        startsFrame = bits.flag()
        endsFrame = bits.flag()
        let template = bits.bits(6)
        number = UInt16(truncatingIfNeeded: bits.bits(16))
        guard !bits.isExhausted else { return nil }
        let isLong = bytes.count > DependencyDescriptor.bytesMin
        let flags = isLong ? bits.bits(5) : 0
        if flags & 0b10000 != 0 {
            guard let told = DependencyStructure(&bits) else { return nil }
            structure = told
        }
        if flags & 0b01000 != 0 {
            let active = bits.bits(structure.targetCount)
            if !bits.isExhausted { structure.activeTargets = active }
        }
        guard let place = structure.place(of: template) else { return nil }
        frame = structure[place]
        if flags & 0b00100 != 0 { (frame.targets, frame.switches) = bits.indications(structure.targetCount) }
        if flags & 0b00010 != 0 { readReferences(&bits) }
        guard !bits.isExhausted else { return nil }
    }

    private mutating func readReferences(_ bits: inout DescriptorBits) {
        frame.references = 0
        while true {
            let size = Int(bits.bits(2))
            guard size > 0 else { return }
            let distance = bits.bits(4 * size)
            if distance < 64 { frame.references |= 1 << UInt64(distance) } else { refersFar = true }
        }
    }

    /// Whether a descriptor brings a structure, be it a valid one or not.
    @inline(__always)
    static func bringStructure(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count > DependencyDescriptor.bytesMin && bytes[DependencyDescriptor.bytesMin] & 0x80 != 0
    }

    /// Whether a descriptor brings a structure of several decode targets, so that its stream has layers.
    static func beginsLayers(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bringStructure(bytes) else { return false }
        var structure = DependencyStructure()
        return FrameDependencies(bytes, &structure) != nil && structure.targetCount > 1
    }
}
