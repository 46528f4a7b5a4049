import HTTP
import Media
import MediaFixtures
import SDP
import Testing

@Suite("Texts from clients under damage", .serialized)
struct TextFuzz {
    private static let local = LocalTransport(
        ice: ICECredentials(ufrag: "abcdefgh", password: "abcdefghijklmnopqrstuvwx"),
        fingerprint: Fingerprint(algorithm: "sha-256", bytes: [UInt8](repeating: 7, count: 32)),
        candidates: [Candidate(address: "192.0.2.1", port: 7000), Candidate(address: "192.0.2.1", port: 7001, isTCP: true)])
    private static let codecs: [Codec] = [.opus, .h264]

    @Test("offers, and the answers to them")
    func offers() async {
        let seeds = [
            PublishOffer(codecs: Self.codecs) { 7 }.sdp(local: Self.local),
            SubscribeOffer(codecs: Self.codecs).sdp(local: Self.local),
            SubscribeOffer(codecs: Self.codecs).sdp(local: Self.local)
                + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n",
        ]
        let stream = [SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus)]
        await Fuzzing("sdp", seeds: seeds.map { Array($0.utf8) }).run { input in
            guard let offer = try? SessionDescription(parsing: input) else { return }
            #expect((try? SessionDescription(parsing: Array(offer.serialized().utf8))) == offer)
            let answers = [
                (try? PublishAnswer(offer: offer, supported: .all, dataMessageBytes: 65_536))?.sdp(local: Self.local),
                (try? SubscribeAnswer(offer: offer, stream: stream, dataMessageBytes: 65_536) { 9 })?.sdp(local: Self.local),
            ]
            for case let answer? in answers { #expect((try? SessionDescription(parsing: Array(answer.utf8))) != nil) }
        }
    }

    @Test("trickled fragments")
    func fragments() async {
        let seed =
            "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
            + "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n"
        await Fuzzing("sdpfrag", seeds: [Array(seed.utf8)]).run { input in
            guard let fragment = try? SDPFragment(parsing: input) else { return }
            #expect(fragment.ice?.isValid != false)
        }
    }

    @Test("requests: target, header fields, ranges and conditions")
    func requests() async {
        var router = Router()
        router.cors = .any
        router.get("/files/{rest*}", RouteDescription("A file", tag: "fuzz")) { request in
            .bytes(
                [UInt8](repeating: 1, count: 1000), contentType: "video/mp4",
                headers: ["ETag": "\"\(request.parameter("rest").utf8.count)\""])
        }
        router.post("/whip/{stream}", RouteDescription("An offer", tag: "fuzz")) { request in
            .text(request.headers.mediaType ?? "none", status: .created, contentType: "text/plain")
        }
        let seeds = [
            "GET\n/files/a/b%20c?from=1&to=%7E\nRange: bytes=0-9, 20-\nIf-None-Match: \"3\", W/\"x\"\nAccept-Encoding: gzip;q=0.5",
            "POST\n/whip/demo/\nContent-Type: application/sdp; charset=\"utf-8\"\nOrigin: https://a.example\nIf-Match: *",
            "OPTIONS\n/whip/demo\nOrigin: null\nAccess-Control-Request-Method: PATCH",
            "HEAD\nhttp://edge/files/x\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\nIf-Range: \"1\"\nRange: bytes=-5",
        ].map { Array($0.utf8) }
        await Fuzzing("http", seeds: seeds).run { input in
            let lines = String(decoding: input, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map(
                String.init)
            guard lines.count >= 2 else { return }
            var headers: HTTPHeaders = [:]
            for line in lines.dropFirst(2) {
                let halves = line.split(separator: ":", maxSplits: 1).map(String.init)
                if halves.count == 2 { headers.add(halves[0], halves[1]) }
            }
            guard let request = try? HTTPRequest(method: HTTPMethod(rawValue: lines[0]), target: lines[1], headers: headers)
            else { return }
            let response = await router.respond(to: request)
            #expect((200..<500).contains(response.status.rawValue))
        }
    }
}

@Suite("Payloads from publishers under damage", .serialized)
struct DepacketizerFuzz {
    private static func feed(_ depacketizer: consuming any Depacketizer, _ input: [UInt8]) -> [AccessUnit] {
        var depacketizer = depacketizer
        var units: [AccessUnit] = []
        for (index, packet) in PacketTape.packets(input).enumerated() {
            depacketizer.push(
                packet.payload, timestamp: Int64(index / 3) * 3000, marker: packet.marker, afterLoss: packet.afterLoss,
                into: &units)
        }
        return units
    }

    @Test("video", arguments: FixtureCodec.allCases)
    func video(_ codec: FixtureCodec) async throws {
        var packetizer = FixturePacketizer(extendedSequence: 0, payloadMax: 250, codec: codec)
        let packets = try SyntheticMedia.pictures(codec, frames: 4, gop: 2).enumerated().flatMap {
            packetizer.picture($0.element, timestamp: UInt32($0.offset * 3000), unit: $0.offset)
        }
        let tapes = stride(from: 0, to: max(1, packets.count - 12), by: 6).map {
            PacketTape.tape(packets[$0..<min(packets.count, $0 + 12)])
        }
        await Fuzzing(codec.rawValue, seeds: tapes).run { input in
            for unit in Self.feed(codec.depacketizer, input) {
                #expect(!unit.data.isEmpty && (unit.format != nil) == unit.isSync)
            }
        }
    }

    @Test("sound")
    func sound() async throws {
        let fmtp = "streamtype=5; mode=AAC-hbr; config=1210; SizeLength=13; IndexLength=3; IndexDeltaLength=3"
        let aac = try #require(AACDepacketizer(fmtp: fmtp, clockRate: 44_100))
        let unit: [UInt8] = [0, 16, 0, 32, 0x21, 0x10, 4, 0x60]
        await Fuzzing("aac", seeds: [[1, UInt8(unit.count)] + unit, [1, 6, 0, 32, 0, 8, 0, 8, 0, 3, 1, 2, 3]]).run {
            _ = Self.feed(aac, $0)
        }
        await Fuzzing("opus", seeds: [[1, 4, 0xFC, 1, 2, 3], [1, 2, 0x7B, 0x81, 0, 1, 9]]).run {
            _ = Self.feed(OpusDepacketizer(), $0)
        }
    }
}
