/// What a VP8 key frame says of the pictures that follow it (RFC 6386 9.1).
public struct VP8Format: Equatable, Sendable {
    /// Picture width in luma samples.
    public let width: Int
    /// Picture height in luma samples.
    public let height: Int

    /// Nil when the bytes begin no key frame.
    init?(keyframe bytes: [UInt8]) {
        guard bytes.count >= 10, bytes[0] & 1 == 0, bytes[3...5] == [0x9D, 0x01, 0x2A] else { return nil }
        // The upper two bits ask for scaling, which is left to players.
        width = (Int(bytes[7]) << 8 | Int(bytes[6])) & 0x3FFF
        height = (Int(bytes[9]) << 8 | Int(bytes[8])) & 0x3FFF
        guard width > 0, height > 0 else { return nil }
    }
}

/// RFC 7741: frames from the packets of their partitions.
///
/// Damage never reaches the file: a frame with a hole is dropped, and so is everything until the next key frame.
public struct VP8Depacketizer: Depacketizer {
    private var frame: Frame?
    private var gate = PictureGate()

    /// Frames that were thrown away because packets were lost or malformed.
    public var droppedUnits: Int { gate.droppedUnits }
    /// Nothing decodable can come before the sender makes a key frame.
    public var needsKeyframe: Bool { gate.waitsForKeyframe }

    private struct Frame {
        let timestamp: Int64
        /// Packets were lost before its first one; the frame itself shows by its start whether it is whole.
        let followsLoss: Bool
        var data: [UInt8] = []
        var isDamaged = false
    }

    /// Ready for the first packet.
    public init() {}

    /// Takes the next payload (RFC 7741 4.2, 4.4).
    public mutating func push(
        _ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit]
    ) {
        if afterLoss { frame?.isDamaged = true }
        if let current = frame, current.timestamp != timestamp { finish(into: &units) }
        if frame == nil { frame = Frame(timestamp: timestamp, followsLoss: afterLoss) }
        if !add(payload) { frame?.isDamaged = true }
        if marker { finish(into: &units) }
    }

    private mutating func add(_ payload: [UInt8]) -> Bool {
        guard let descriptor = VP8Descriptor(payload), let open = frame, open.data.isEmpty == descriptor.beginsFrame,
            open.data.count + payload.count <= AccessUnit.bytesMax
        else { return false }
        frame?.data.append(contentsOf: payload[descriptor.headerBytes...])
        return true
    }

    private mutating func finish(into units: inout [AccessUnit]) {
        guard let done = frame else { return }
        frame = nil
        let isKeyframe = done.data.first.map { $0 & 1 == 0 } ?? false
        let format = isKeyframe ? VP8Format(keyframe: done.data) : nil
        let isWhole = !done.isDamaged && !done.data.isEmpty && (format != nil || !isKeyframe)
        guard gate.admits(isWhole: isWhole, followsLoss: done.followsLoss, isKeyframe: isKeyframe) else { return }
        units.append(
            AccessUnit(
                timestamp: done.timestamp, data: done.data, isSync: isKeyframe, format: format.map(TrackFormat.vp8)))
    }
}

/// The VP8 payload descriptor (RFC 7741 4.2).
struct VP8Descriptor {
    /// The payload begins the first partition.
    let beginsFrame: Bool
    /// Where the frame's bytes begin; there is at least one.
    let headerBytes: Int

    /// Nil when the payload ends inside the descriptor or right behind it.
    init?(_ payload: [UInt8]) {
        guard let first = payload.first else { return nil }
        beginsFrame = first & 0x17 == 0x10
        var position = 1
        if first & 0x80 != 0 {
            guard payload.count > 1 else { return nil }
            let present = payload[1]
            position = 2
            if present & 0x80 != 0 {
                guard payload.count > 2 else { return nil }
                position += payload[2] & 0x80 != 0 ? 2 : 1
            }
            if present & 0x40 != 0 { position += 1 }
            if present & 0x30 != 0 { position += 1 }
        }
        guard position < payload.count else { return nil }
        headerBytes = position
    }
}
