import Testing

@testable import MediaPlane

/// A scalability mode of WebRTC: how the frames of its pictures refer to each other.
struct ScalabilityMode: CustomTestStringConvertible {
    let spatial: Int
    let temporal: Int
    /// Spatial layers refer to lower ones in keyframes only.
    var isKey = false

    var testDescription: String { "L\(spatial)T\(temporal)\(isKey ? "_KEY" : "")" }

    static let l1t2 = ScalabilityMode(spatial: 1, temporal: 2)
    static let l1t3 = ScalabilityMode(spatial: 1, temporal: 3)
    static let l2t1 = ScalabilityMode(spatial: 2, temporal: 1)
    static let l3t3 = ScalabilityMode(spatial: 3, temporal: 3)
    static let l3t3Key = ScalabilityMode(spatial: 3, temporal: 3, isKey: true)
    static let all = [l1t2, l1t3, l2t1, l3t3, l3t3Key]

    /// The cells that can be chosen.
    var cells: [UInt8] {
        (0..<spatial).flatMap { s in (0..<temporal).map { UInt8(LayerGrid.cell(s, $0)) } }
    }

    /// The temporal layers of a group of pictures.
    var pattern: [Int] { [[0], [0, 1], [0, 2, 1, 2]][temporal - 1] }

    /// 0 not present, 1 discardable, 2 switch, 3 required.
    func indication(_ frame: (spatial: Int, temporal: Int), inKeyPicture: Bool, of target: (spatial: Int, temporal: Int))
        -> UInt32
    {
        guard frame.spatial <= target.spatial, frame.temporal <= target.temporal else { return 0 }
        if inKeyPicture { return frame.spatial == 0 || frame.spatial == target.spatial ? 2 : 3 }
        if isKey, frame.spatial != target.spatial { return 0 }
        if frame.spatial < target.spatial { return 3 }
        return frame.temporal == temporal - 1 && temporal > 1 ? 1 : 2
    }
}

/// Bits of a descriptor as they are written (AV1 RTP, appendix A.8).
struct DescriptorWriter {
    private(set) var bytes: [UInt8] = []
    private var count = 0

    mutating func bits(_ width: Int, _ value: Int) {
        for bit in (0..<width).reversed() {
            if count % 8 == 0 { bytes.append(0) }
            bytes[count / 8] |= UInt8(value >> bit & 1) << UInt8(7 - count % 8)
            count += 1
        }
    }

    /// `ns(n)`.
    mutating func below(_ bound: Int, _ value: Int) {
        let width = Int.bitWidth - bound.leadingZeroBitCount
        let short = (1 << width) - bound
        if value < short { bits(width - 1, value) } else { bits(width, value + short) }
    }
}

/// One frame as it was encoded.
struct ScalableFrame {
    let number: Int
    let picture: Int
    let spatial: Int
    let temporal: Int
    let isKey: Bool
    let references: [Int]
    var positions: ClosedRange<UInt64> = 1...1
}

/// A packet of it, as the media plane takes it in.
struct ScalablePacket {
    let incoming: IncomingPacket
    let payload: [UInt8]
    let descriptor: [UInt8]
    let frame: Int
}

/// Encodes pictures of a mode, in AV1 with dependency descriptors or in VP9 with its own.
struct ScalableEncoder {
    let mode: ScalabilityMode
    let codec: CodecID
    private(set) var frames: [ScalableFrame] = []
    private var picture = 0
    private var groupPlace = 0
    private var position: UInt64 = 100
    /// The last frame of each spatial layer that the next ones refer to, by temporal layer.
    private var last = [[Int?]](repeating: [nil, nil, nil], count: 3)
    private var number = 0xFFF0
    var arrivalNs: UInt64 = 5_000_000_000
    var intervalNs: UInt64 = 33_000_000

    init(_ mode: ScalabilityMode, _ codec: CodecID) { (self.mode, self.codec) = (mode, codec) }

    /// Frame number as descriptors carry it.
    func wireNumber(_ frame: Int) -> Int { (0xFFF0 + frame) & 0xFFFF }

    mutating func encode(isKey: Bool = false) -> [ScalablePacket] {
        if isKey { groupPlace = 0 }
        let temporal = mode.pattern[groupPlace]
        var packets: [ScalablePacket] = []
        for spatial in 0..<mode.spatial {
            let frame = encodeFrame(spatial, temporal, isKey: isKey)
            packets += packetize(frame, isLast: spatial == mode.spatial - 1)
        }
        groupPlace = (groupPlace + 1) % mode.pattern.count
        picture += 1
        arrivalNs += intervalNs
        return packets
    }

    private mutating func encodeFrame(_ spatial: Int, _ temporal: Int, isKey: Bool) -> ScalableFrame {
        var references: [Int] = []
        if spatial > 0, isKey || !mode.isKey, let below = frames.last { references.append(below.number) }
        if !isKey {
            // The second picture of the highest layer refers to the one in the middle.
            let source = temporal == 2 && groupPlace == 3 ? last[spatial][1] : last[spatial][0]
            if let source { references.append(source) }
        }
        let frame = ScalableFrame(
            number: frames.count, picture: picture, spatial: spatial, temporal: temporal, isKey: isKey, references: references)
        last[spatial][temporal] = frame.number
        frames.append(frame)
        return frame
    }

    private mutating func packetize(_ frame: ScalableFrame, isLast: Bool) -> [ScalablePacket] {
        let count = frame.isKey ? 3 : 1 + frame.number % 2
        let first = position
        frames[frame.number].positions = first...(first + UInt64(count) - 1)
        defer { position += UInt64(count) }
        return (0..<count).map { place in
            let (starts, ends) = (place == 0, place == count - 1)
            var flags: PacketFlags = isLast && ends ? .marker : []
            if frame.isKey, frame.spatial == 0, starts { flags.insert(.keyframeStart) }
            return ScalablePacket(
                incoming: IncomingPacket(
                    sequence: first + UInt64(place), timestamp: UInt32(frame.picture * 3000), arrivalNs: arrivalNs, flags: flags,
                    extensions: ForwardedExtensions()),
                payload: codec == .vp9
                    ? vp9(frame, starts: starts, ends: ends) : [frame.isKey && starts ? 0x18 : 0x10, 0x30, 1, 2],
                descriptor: codec == .av1 ? descriptor(frame, starts: starts, ends: ends) : [], frame: frame.number)
        }
    }

    // MARK: VP9

    private func vp9(_ frame: ScalableFrame, starts: Bool, ends: Bool) -> [UInt8] {
        let isReferredTo = frame.spatial < mode.spatial - 1 && (frame.isKey || !mode.isKey)
        let hasStructure = frame.isKey && frame.spatial == 0 && starts
        let isPredicted = !frame.isKey
        let flags: [(Bool, UInt8)] = [
            (true, 0xA0), (isPredicted, 0x40), (starts, 0x08), (ends, 0x04), (hasStructure, 0x02), (!isReferredTo, 0x01),
        ]
        let first = flags.reduce(UInt8(0)) { $1.0 ? $0 | $1.1 : $0 }
        let indices = UInt8(frame.temporal << 5 | 0x10 | frame.spatial << 1) | (frame.spatial > 0 && isReferredTo ? 1 : 0)
        var bytes: [UInt8] = [first, UInt8(frame.picture & 0x7F), indices, UInt8(frame.picture & 0xFF)]
        if hasStructure {
            bytes.append(UInt8(mode.spatial - 1) << 5 | 0x10)
            for layer in 0..<mode.spatial { bytes += [UInt8(1 << layer), 0x40, 0, UInt8(90 + layer)] }
        }
        return bytes + [9, 9, 9]
    }

    // MARK: AV1

    /// Templates: each layer in a key picture and otherwise, with the distances that this encoder's frames have.
    private var templates: [(spatial: Int, temporal: Int, isKey: Bool)] {
        (0..<mode.spatial).flatMap { spatial in
            [(spatial, 0, true)] + (0..<mode.temporal).map { (spatial, $0, false) }
        }
    }

    private func descriptor(_ frame: ScalableFrame, starts: Bool, ends: Bool) -> [UInt8] {
        var writer = DescriptorWriter()
        let template = templates.firstIndex {
            $0.spatial == frame.spatial && $0.temporal == frame.temporal && $0.isKey == frame.isKey
        }
        writer.bits(1, starts ? 1 : 0)
        writer.bits(1, ends ? 1 : 0)
        writer.bits(6, ((template ?? 0) + 50) & 63)
        writer.bits(16, wireNumber(frame.number))
        let hasStructure = frame.isKey && frame.spatial == 0 && starts
        writer.bits(5, hasStructure ? 0b10010 : 0b00010)
        if hasStructure { writeStructure(&writer) }
        for reference in frame.references {
            let distance = frame.number - reference - 1
            writer.bits(2, distance < 16 ? 1 : 2)
            writer.bits(distance < 16 ? 4 : 8, distance)
        }
        writer.bits(2, 0)
        return writer.bytes
    }

    private func writeStructure(_ writer: inout DescriptorWriter) {
        let targets = mode.cells.map { (spatial: Int($0) / 3, temporal: Int($0) % 3) }
        writer.bits(6, 50)
        writer.bits(5, targets.count - 1)
        for (place, template) in templates.enumerated() {
            guard place + 1 < templates.count else { break }
            let next = templates[place + 1]
            writer.bits(2, next.spatial > template.spatial ? 2 : next.temporal > template.temporal ? 1 : 0)
        }
        writer.bits(2, 3)
        for template in templates {
            for target in targets {
                writer.bits(
                    2, Int(mode.indication((template.spatial, template.temporal), inKeyPicture: template.isKey, of: target)))
            }
        }
        for template in templates {
            if !template.isKey {
                writer.bits(1, 1)
                writer.bits(4, 2)
            }
            writer.bits(1, 0)
        }
        let chains = mode.spatial
        writer.below(targets.count + 1, chains)
        for target in targets { writer.below(chains, target.spatial) }
        for _ in 0..<templates.count * chains { writer.bits(4, 1) }
        writer.bits(1, 1)
        for layer in 0..<mode.spatial {
            writer.bits(16, (320 << layer) - 1)
            writer.bits(16, (180 << layer) - 1)
        }
    }
}

/// A track that takes the packets, and a viewer of it, without a loop around them.
final class CellBed {
    let track = UnsafeMutablePointer<FanoutTrack>.allocate(capacity: 1)
    var viewer: OutgoingTrack
    var encoder: ScalableEncoder
    /// What the viewer was sent, in the order of sending.
    private(set) var sent: [(sequence: UInt64, position: UInt64, frame: Int, marker: Bool, isFiller: Bool)] = []
    private var frameOf: [UInt64: Int] = [:]

    init(_ mode: ScalabilityMode, _ codec: CodecID) {
        encoder = ScalableEncoder(mode, codec)
        track.initialize(to: FanoutTrack(kind: .video, codec: codec, clockRate: 90000))
        viewer = OutgoingTrack(
            OutgoingTrackSpec(kind: .video, codec: codec, payloadType: 96, ssrc: 1, clockRate: 90000, cname: "c"),
            initialSequence: 7, timestampOffset: 0)
    }

    deinit {
        track.deinitialize(count: 1)
        track.deallocate()
    }

    var scalable: UnsafeMutablePointer<ScalableTrack>? { track.pointee.scalable }

    /// Takes a packet in and passes it on.
    func pass(_ packet: ScalablePacket) {
        let position = store(packet)
        guard position != 0 else { return }
        if viewer.map.newest == nil, sent.isEmpty {
            guard packet.incoming.flags.contains(.keyframeStart),
                viewer.begin(at: position, of: track, shift: viewer.firstShift(track: 0))
            else { return }
        }
        forward(position)
    }

    private func store(_ packet: ScalablePacket) -> UInt64 {
        if track.pointee.isPendingFull { track.pointee.clearPending() }
        var incoming = packet.incoming
        return packet.payload.withUnsafeBytes { payload in
            packet.descriptor.withUnsafeBytes { descriptor in
                incoming.descriptor = descriptor
                guard case .stored = track.pointee.store(incoming, payload: payload, wallNs: 1) else { return 0 }
                let position = track.pointee.pendingIndex(track.pointee.pendingCount - 1)
                frameOf[position] = packet.frame
                return position
            }
        }
    }

    private func forward(_ position: UInt64) {
        guard let slot = track.pointee.ring.slot(at: position) else { return }
        let isMarked = slot.pointee.flags.contains(.marker)
        guard let scalable else {
            if let sequence = viewer.map.sequence(sending: position) {
                sent.append((sequence, position, frameOf[position] ?? -1, isMarked, false))
            }
            return
        }
        guard let (stretch, sequence) = viewer.take(position, scalable) else { return }
        switch scalable.pointee.part(of: position, in: stretch.cell) {
        case .nothing: Issue.record("a number without a packet")
        case .filler: sent.append((sequence, position, -1, false, true))
        case .ending: sent.append((sequence, position, frameOf[position] ?? -1, true, false))
        case .asItIs: sent.append((sequence, position, frameOf[position] ?? -1, isMarked, false))
        }
    }

    func pictures(_ count: Int, keyAt: Int? = nil, _ change: ([ScalablePacket]) -> [ScalablePacket] = { $0 }) {
        for each in 0..<count { for packet in change(encoder.encode(isKey: each == keyAt)) { pass(packet) } }
    }

    func forget() { sent = [] }

    /// The layers that come, looked at now.
    func active() -> [String] {
        scalable?.pointee.update(track, of: 0, count: 1, now: encoder.arrivalNs)
        return scalable?.pointee.board.snapshots.filter(\.isActive).map(\.rid).sorted() ?? []
    }

    // What expectations ask: they can't take apart what can't be copied.

    var cells: UInt16 { scalable?.pointee.reader.cells ?? 0 }
    var offersCells: Bool { track.pointee.offersCells }
    var top: UInt8? { scalable?.pointee.reader.top }

    func needsKeyframe(from cell: UInt8, to other: UInt8) -> Bool? { scalable?.pointee.needsKeyframe(from: cell, to: other) }

    func position(of number: UInt64, in cell: UInt8) -> UInt64? { scalable?.pointee.position(of: number, in: cell) }

    /// Numbers of what was sent last.
    func numbers(in cell: UInt8) -> [UInt64?] { sent.suffix(5).map { scalable?.pointee.number(of: $0.position, in: cell) } }
}
