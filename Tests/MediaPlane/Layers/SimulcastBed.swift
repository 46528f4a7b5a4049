import CLinux
import Testing

@testable import MediaPlane

/// A publisher of one picture in several layers, whose encoders number and stamp each their own way.
struct LayeredEncoder {
    struct Layer {
        let rid: String
        let ssrc: UInt32
        var sequence: UInt16
        /// The RTP timestamp at time 0 of the picture's clock.
        let timestampBase: UInt32
        let packets: Int
        var pictureID: UInt16
        var baseLayerIndex: UInt8
    }

    static let mid: UInt8 = 4
    static let rid: UInt8 = 5
    static let repairedRid: UInt8 = 6
    static let descriptor: UInt8 = 7

    var layers: [Layer]
    let codec: CodecID
    /// The picture's clock at 90 kHz: a 30th of a second for each picture, and no less than time does.
    private(set) var clock: UInt32 = 0
    private var beganNs: UInt64?
    /// The layer's payloads in the order of sending, with their timestamps on the picture's clock.
    private(set) var sent: [String: [(clock: UInt32, payload: [UInt8])]] = [:]

    init(codec: CodecID = .h264) {
        self.codec = codec
        layers = [
            Layer(rid: "q", ssrc: 0x1000, sequence: 100, timestampBase: 7, packets: 1, pictureID: 0x7FFE, baseLayerIndex: 254),
            Layer(
                rid: "h", ssrc: 0x2000, sequence: 40_000, timestampBase: 0xFFFF_F000, packets: 2, pictureID: 5, baseLayerIndex: 9),
            Layer(
                rid: "f", ssrc: 0x3000, sequence: 30_000, timestampBase: 0x8000_0000, packets: 4, pictureID: 900,
                baseLayerIndex: 70),
        ]
    }

    var tracks: [IncomingTrackSpec] {
        var ids = ExtensionIDs()
        ids.mid = Self.mid
        ids.rid = Self.rid
        ids.repairedRid = Self.repairedRid
        ids.dependencyDescriptor = Self.descriptor
        return layers.map { layer in
            IncomingTrackSpec(
                kind: .video, codec: codec, clockRate: 90000, payloadType: 96, rtxPayloadType: 97, mid: "1", rid: layer.rid,
                extensions: ids, feedback: FeedbackFlags(nack: true, pli: true))
        }
    }

    static let viewerDescriptor: UInt8 = 11

    static func outgoing(_ codec: CodecID) -> [OutgoingTrackSpec] {
        var ids = ExtensionIDs()
        ids.dependencyDescriptor = viewerDescriptor
        return [
            OutgoingTrackSpec(
                kind: .video, codec: codec, payloadType: 102, ssrc: LoopBed.viewerVideo, clockRate: 90000, cname: "c",
                extensions: ids)
        ]
    }

    /// One picture in the layers named, then a 30th of a second passes.
    mutating func picture(_ peer: TestPeer, _ rids: [String] = ["q", "h", "f"], keyOf: Set<String> = [], named: Bool = true) {
        let now = tributary_monotonic_ns()
        let began = beganNs ?? now
        beganNs = began
        clock = max(clock, UInt32(truncatingIfNeeded: (now - began) / 100_000 * 9))
        for index in layers.indices where rids.contains(layers[index].rid) {
            for packet in 0..<layers[index].packets { send(peer, index, packet, keyOf, named) }
            layers[index].pictureID = (layers[index].pictureID &+ 1) & (codec == .vp8 ? 0x7FFF : 0xFFFF)
            layers[index].baseLayerIndex &+= 1
        }
        clock &+= 3000
    }

    private mutating func send(_ peer: TestPeer, _ index: Int, _ packet: Int, _ keyOf: Set<String>, _ named: Bool) {
        let layer = layers[index]
        let payload = self.payload(layer, packet, isKey: keyOf.contains(layer.rid))
        sent[layer.rid, default: []].append((clock, payload))
        peer.sendMedia(
            payloadType: 96, sequence: layer.sequence, timestamp: layer.timestampBase &+ clock, ssrc: layer.ssrc,
            marker: packet == layer.packets - 1,
            extensions: extensions(layer, packet, isNamed: named), payload: payload)
        layers[index].sequence &+= 1
    }

    private func payload(_ layer: Layer, _ packet: Int, isKey: Bool) -> [UInt8] {
        let number = [UInt8(layer.sequence >> 8), UInt8(layer.sequence & 0xFF)]
        let body = Array(layer.rid.utf8) + number + [UInt8](repeating: 0, count: 500)
        switch codec {
        case .vp8:
            let id = layer.pictureID | 0x8000
            let head: [UInt8] = [0x80 | (packet == 0 ? 0x10 : 0), 0xC0, UInt8(id >> 8), UInt8(id & 0xFF), layer.baseLayerIndex]
            return head + [isKey ? 0 : 1] + body
        case .av1: return [(packet == 0 ? 0 : 0x80) | (isKey && packet == 0 ? 0x08 : 0), 0x30] + body
        default: return [0x7C, (packet == 0 ? 0x80 : 0) | (isKey ? 5 : 1)] + body
        }
    }

    private func extensions(_ layer: Layer, _ packet: Int, isNamed: Bool) -> [(UInt8, [UInt8])] {
        var elements: [(UInt8, [UInt8])] = isNamed ? [(Self.mid, [0x31]), (Self.rid, Array(layer.rid.utf8))] : []
        if codec == .av1 {
            let start: UInt8 = packet == 0 ? 0x80 : 0
            elements.append(
                (Self.descriptor, [start | 3, UInt8(layer.pictureID >> 8), UInt8(layer.pictureID & 0xFF), 0xEE, 0xFF]))
        }
        return elements
    }

    /// Reports that tie each layer's timestamps to one clock.
    func report(_ peer: TestPeer) {
        for layer in layers {
            let ntp = 1000 << 32 | UInt64(clock) << 32 / 90_000
            peer.sendReports {
                $0.senderReport(
                    SenderReport(ssrc: layer.ssrc, ntp: ntp, timestamp: layer.timestampBase &+ clock, packets: 1, octets: 1))
            }
        }
    }
}

extension LoopBed {
    func layeredPublisher(_ encoder: LayeredEncoder, loop: Int? = nil) async throws -> (TestPeer, SessionHandle) {
        try await publisher(loop: loop, tracks: encoder.tracks)
    }

    func layeredViewer(_ codec: CodecID = .h264, loop: Int? = nil) async throws -> (TestPeer, SessionHandle) {
        let peer = try TestPeer()
        let handle = try await plane.addViewer(
            ViewerSpec(
                stream: Self.stream, session: "v", transport: peer.spec, tracks: LayeredEncoder.outgoing(codec), loop: loop))
        try peer.connect(to: plane, handle)
        return (peer, handle)
    }
}

extension ViewedPacket {
    /// Which layer the packet was sent of.
    func rid(_ codec: CodecID) -> String {
        let place = codec == .vp8 ? 6 : 2
        return payload.count > place ? String(decoding: [payload[place]], as: UTF8.self) : ""
    }
}

extension PictureNumbers {
    /// Spans can't be arguments of expectations.
    static func read(_ codec: CodecID, _ payload: [UInt8]) -> PictureNumbers? { PictureNumbers(codec, payload.span) }
}

extension PictureSize {
    static func read(_ codec: CodecID, _ payload: [UInt8]) -> PictureSize? { PictureSize(codec, keyframe: payload.span) }
}

extension HeaderExtensionElement {
    /// All elements of a packet.
    static func all(_ packet: [UInt8]) throws -> [HeaderExtensionElement] {
        var reader = HeaderExtensionReader(try RTPHeader(parsing: packet.span))
        var found: [HeaderExtensionElement] = []
        while let element = reader.next(in: packet.span) { found.append(element) }
        return found
    }
}
