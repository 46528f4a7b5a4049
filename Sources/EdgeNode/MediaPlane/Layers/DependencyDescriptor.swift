/// The AV1 dependency descriptor on its way to a viewer (AV1 RTP, appendix A.8): told apart, copied and renumbered, not interpreted.
///
/// It is of any length and lies behind its packet's payload in rings and pipes.
struct DependencyDescriptor {
    /// Start and end of frame, template, frame number; all else is optional.
    static let bytesMin = 3
    /// What a two-byte element holds (RFC 8285 §4.3).
    static let bytesMax = 255

    var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Added to the frame number, so that a viewer's go on over switches.
    var frameShift: UInt16 = 0

    static var none: DependencyDescriptor { DependencyDescriptor() }

    /// The number of the frame; nil for bytes that are no descriptor.
    static func frameNumber(_ bytes: UnsafeRawBufferPointer) -> UInt16? {
        bytes.count >= bytesMin ? UInt16(bytes[1]) << 8 | UInt16(bytes[2]) : nil
    }

    /// Writes it over a copy of its bytes.
    func renumber(_ copy: UnsafeMutableRawPointer) {
        guard frameShift != 0, let number = Self.frameNumber(bytes) else { return }
        copy.storeBigEndian(number &+ frameShift, at: 1)
    }
}
