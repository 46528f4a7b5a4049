/// Cuts what a TCP connection brings into packets: each has its length in two bytes before it (RFC 4571 section 2).
///
/// Sans IO: the owner reads into ``room()`` and says how much; packets are handed out where they lie, writable.
struct FrameReader: ~Copyable {
    /// What is at the start of the bytes not yet taken.
    enum Next {
        case frame(UnsafeMutableRawBufferPointer)
        /// The rest has not come yet.
        case incomplete
        /// Longer than any packet of ours or of a peer's; nothing behind it can be trusted.
        case broken
    }

    static let headerBytes = 2
    private let memory: MappedMemory
    private var start = 0
    private var end = 0

    init() { memory = MappedMemory(byteCount: MediaLimits.frameBufferBytes) }

    /// Where to read to; never empty, since ``next()`` was asked until nothing whole was left.
    mutating func room() -> UnsafeMutableRawBufferPointer {
        if start > 0 {
            memory.start.copyMemory(from: memory.start + start, byteCount: end - start)
            end -= start
            start = 0
        }
        return UnsafeMutableRawBufferPointer(start: memory.start + end, count: memory.byteCount - end)
    }

    /// Takes the `count` bytes that were read to ``room()``.
    mutating func commit(_ count: Int) { end = min(end + max(count, 0), memory.byteCount) }

    /// The next packet; valid until ``room()`` is called. Empty ones are passed over.
    mutating func next() -> Next {
        while end - start >= Self.headerBytes {
            let header = UnsafeRawBufferPointer(start: memory.start + start, count: Self.headerBytes)
            let count = Int(header[0]) << 8 | Int(header[1])
            guard count <= MediaLimits.receiveSlotBytes else { return .broken }
            guard end - start >= Self.headerBytes + count else { return .incomplete }
            let body = UnsafeMutableRawBufferPointer(start: memory.start + start + Self.headerBytes, count: count)
            start += Self.headerBytes + count
            if count > 0 { return .frame(body) }
        }
        return .incomplete
    }
}
