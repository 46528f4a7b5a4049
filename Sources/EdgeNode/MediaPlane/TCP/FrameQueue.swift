/// Packets on their way into a TCP connection, framed (RFC 4571 section 2): bounded, since a peer may read slowly or not at all.
struct FrameQueue: ~Copyable {
    private let memory: MappedMemory
    private var start = 0
    private var end = 0

    /// - Parameter capacity: bytes, lengths included.
    init(capacity: Int = MediaLimits.frameQueueBytes) { memory = MappedMemory(byteCount: capacity) }

    /// Bytes that wait.
    var count: Int { end - start }
    /// Whether so much waits that a sender should stop; the other half takes what is under way, so that nothing of it is lost.
    var isHigh: Bool { count > memory.byteCount / 2 }
    /// Whether so little waits that a sender that was held back may go on.
    var isLow: Bool { count <= memory.byteCount / 4 }

    /// What waits, to be written in one go.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory.start + start, count: count) }

    /// Copies a packet in whole; false, and nothing changes, when it does not fit.
    mutating func append(_ packet: UnsafeRawBufferPointer) -> Bool {
        let needed = FrameReader.headerBytes + packet.count
        guard packet.count > 0, packet.count <= 0xFFFF, count + needed <= memory.byteCount else { return false }
        if end + needed > memory.byteCount {
            memory.start.copyMemory(from: memory.start + start, byteCount: count)
            end -= start
            start = 0
        }
        memory.start.storeBytes(of: UInt16(packet.count).bigEndian, toByteOffset: end, as: UInt16.self)
        UnsafeMutableRawBufferPointer(start: memory.start + end + FrameReader.headerBytes, count: packet.count)
            .copyMemory(from: packet)
        end += needed
        return true
    }

    /// Forgets what was written.
    mutating func consume(_ written: Int) {
        start = min(start + max(written, 0), end)
        guard start == end else { return }
        start = 0
        end = 0
    }
}
