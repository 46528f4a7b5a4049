/// RFC 9628: pictures of one or more spatial layers, flexible mode or not.
///
/// All layers of a picture are one sample, so that players show the highest. Damage never reaches the file: a picture with a hole is
/// dropped, and so is everything until the next key frame.
public struct VP9Depacketizer: Depacketizer {
    private var picture: Picture?
    private var gate = PictureGate()

    /// Pictures that were thrown away because packets were lost or malformed.
    public var droppedUnits: Int { gate.droppedUnits }
    /// Nothing decodable can come before the sender makes a key frame.
    public var needsKeyframe: Bool { gate.waitsForKeyframe }

    private struct Picture {
        let timestamp: Int64
        /// Packets were lost before its first one, so its beginning may be missing.
        let followsLoss: Bool
        /// One for each spatial layer.
        var frames: [[UInt8]] = []
        var bytes = 0
        var isOpen = false
        var isDamaged = false
        var startsAtBase = false
        /// The size of the highest layer, where the scalability structure tells.
        var size: VP9Descriptor.Size?
    }

    /// Ready for the first packet.
    public init() {}

    /// Takes the next payload (RFC 9628 4.2).
    public mutating func push(
        _ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit]
    ) {
        if afterLoss { picture?.isDamaged = true }
        if let current = picture, current.timestamp != timestamp { finish(into: &units) }
        if picture == nil { picture = Picture(timestamp: timestamp, followsLoss: afterLoss) }
        if !add(payload) { picture?.isDamaged = true }
        if marker { finish(into: &units) }
    }

    /// False when the payload breaks RFC 9628 or does not continue the picture.
    private mutating func add(_ payload: [UInt8]) -> Bool {
        guard let descriptor = VP9Descriptor(payload), var open = picture else { return false }
        if let size = descriptor.largestSize { open.size = size }
        if descriptor.beginsFrame {
            guard !open.isOpen, open.frames.count < VP9Superframe.framesMax else { return false }
            if open.frames.isEmpty { open.startsAtBase = descriptor.spatialLayer == 0 }
            open.frames.append([])
            open.isOpen = true
        }
        guard open.isOpen else { return false }
        open.bytes += payload.count
        guard open.bytes <= AccessUnit.bytesMax else { return false }
        picture = nil  // Else the array would be copied with each packet.
        open.frames[open.frames.count - 1].append(contentsOf: payload[descriptor.headerBytes...])
        if descriptor.endsFrame { open.isOpen = false }
        picture = open
        return true
    }

    private mutating func finish(into units: inout [AccessUnit]) {
        guard let done = picture else { return }
        picture = nil
        guard let head = done.frames.first, let header = try? VP9FrameHeader(head) else { return gate.drop() }
        let isKeyframe = header.keyframe != nil
        let isWhole = !done.isDamaged && done.startsAtBase
        guard gate.admits(isWhole: isWhole, followsLoss: done.followsLoss, isKeyframe: isKeyframe) else { return }
        let layered = done.frames.count > 1 ? done.size : nil
        let format = header.keyframe.map { format in
            layered.map { format.sized(width: $0.width, height: $0.height) } ?? format
        }
        units.append(
            AccessUnit(
                timestamp: done.timestamp, data: VP9Superframe.join(done.frames), isSync: isKeyframe,
                format: format.map(TrackFormat.vp9)))
    }
}

/// The VP9 payload descriptor (RFC 9628 4.2).
struct VP9Descriptor {
    struct Size: Equatable {
        let width: Int
        let height: Int
    }

    private struct Structure {
        /// Of the largest layer; nil when it does not tell.
        let size: Size?
    }

    /// B: the payload begins a layer's frame.
    let beginsFrame: Bool
    /// E: the payload ends it.
    let endsFrame: Bool
    /// SID; 0 when the stream has no layers.
    let spatialLayer: Int
    /// Of the scalability structure, when it is in this packet and tells sizes.
    let largestSize: Size?
    /// Where the frame's bytes begin; there is at least one.
    let headerBytes: Int

    /// Nil when the payload ends inside the descriptor or right behind it.
    init?(_ payload: [UInt8]) {
        guard let first = payload.first else { return nil }
        var position = 1
        func byte() -> UInt8? {
            guard position < payload.count else { return nil }
            defer { position += 1 }
            return payload[position]
        }
        let isFlexible = first & 0x10 != 0
        beginsFrame = first & 0x08 != 0
        endsFrame = first & 0x04 != 0
        if first & 0x80 != 0 {
            guard let id = byte() else { return nil }
            if id & 0x80 != 0 { position += 1 }
        }
        var layer = 0
        if first & 0x20 != 0 {
            guard let indices = byte() else { return nil }
            layer = Int(indices >> 1 & 7)
            if !isFlexible { position += 1 }
        }
        spatialLayer = layer
        if isFlexible, first & 0x40 != 0 {
            for reference in 0..<4 {
                // At most three references, each says whether another follows (N).
                guard reference < 3, let difference = byte() else { return nil }
                if difference & 1 == 0 { break }
            }
        }
        var size: Size?
        if first & 0x02 != 0 {
            guard let structure = Self.structure(payload, &position) else { return nil }
            size = structure.size
        }
        largestSize = size
        guard position < payload.count else { return nil }
        headerBytes = position
    }

    /// The scalability structure (4.2.1): the sizes of the layers and the group of pictures.
    private static func structure(_ payload: [UInt8], _ position: inout Int) -> Structure? {
        guard position < payload.count else { return nil }
        let head = payload[position]
        position += 1
        var size: Size?
        if head & 0x10 != 0 {
            for _ in 0...Int(head >> 5) {
                guard payload.count - position >= 4 else { return nil }
                let width = Int(payload[position]) << 8 | Int(payload[position + 1])
                let height = Int(payload[position + 2]) << 8 | Int(payload[position + 3])
                position += 4
                if width > 0, height > 0, width * height >= (size?.width ?? 0) * (size?.height ?? 0) {
                    size = Size(width: width, height: height)
                }
            }
        }
        if head & 0x08 != 0 {
            guard position < payload.count else { return nil }
            let pictures = Int(payload[position])
            position += 1
            for _ in 0..<pictures {
                guard position < payload.count else { return nil }
                position += 1 + Int(payload[position] >> 2 & 3)
            }
        }
        return Structure(size: size)
    }
}
