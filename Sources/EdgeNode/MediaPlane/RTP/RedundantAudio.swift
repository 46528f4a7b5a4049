/// The blocks of a packet of redundant audio data (RFC 2198 §3): older ones again, the primary one last.
///
/// Blocks of one codec only, as RED for Opus is negotiated (`a=fmtp:63 111/111`).
struct RedundantAudio {
    /// Blocks before the primary one.
    let olderCount: Int
    let primaryOffset: Int
    let primaryCount: Int

    /// Older blocks that are looked at; senders repeat one or two.
    static let olderMax = 8
    private static let longHeaderBytes = 4

    /// Reads the block headers; nil when they are cut off, lead past the end, leave no primary block, or are of another codec.
    ///
    /// - Parameter payloadType: what every block has to be of; nil for whatever it is.
    init?(_ bytes: Span<UInt8>, payloadType: UInt8?) {
        var (offset, older, olderBytes) = (0, 0, 0)
        while true {
            guard offset < bytes.count else { return nil }
            let first = bytes[offset]
            if let payloadType, first & 0x7F != payloadType { return nil }
            guard first & 0x80 != 0 else { break }
            guard older < Self.olderMax, offset + Self.longHeaderBytes < bytes.count else { return nil }
            olderBytes += Int(bytes.bigEndian16(at: offset + 2) & 0x3FF)
            older += 1
            offset += Self.longHeaderBytes
        }
        olderCount = older
        primaryOffset = offset + 1 + olderBytes
        primaryCount = bytes.count - primaryOffset
        guard primaryCount > 0 else { return nil }
    }

    /// The older block that many packets back: how much earlier it is in ticks, and where it lies.
    ///
    /// - Parameter back: 1...`olderCount`.
    /// - Parameter bytes: those that this was made of.
    func older(_ back: Int, in bytes: Span<UInt8>) -> (ticks: UInt32, offset: Int, count: Int) {
        var offset = olderCount * Self.longHeaderBytes + 1
        for block in 0..<(olderCount - back) { offset += Self.length(block, bytes) }
        let header = (olderCount - back) * Self.longHeaderBytes
        return (UInt32(bytes.bigEndian16(at: header + 1) >> 2), offset, Self.length(olderCount - back, bytes))
    }

    private static func length(_ block: Int, _ bytes: Span<UInt8>) -> Int {
        Int(bytes.bigEndian16(at: block * longHeaderBytes + 2) & 0x3FF)
    }

    /// Names another payload type in every block header of a copy of the packet.
    func write(payloadType: UInt8, to copy: UnsafeMutableRawPointer) {
        for block in 0..<olderCount { copy.storeByte(0x80 | payloadType, at: block * Self.longHeaderBytes) }
        copy.storeByte(payloadType, at: olderCount * Self.longHeaderBytes)
    }
}
