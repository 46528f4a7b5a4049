import Testing

@testable import MediaPlane

@Suite("What is kept for every parser")
struct CorpusTests {
    static let targets = [
        "stun", "dtls-records", "rtp", "layers", "rtcp", "frames", "sdp", "sdpfrag", "http", "h264", "h265", "vp8", "vp9", "av1",
        "aac",
        "opus",
    ]

    @Test("each target finds its inputs", arguments: targets)
    func inputs(target: String) {
        let inputs = Fuzzing.kept(target)
        #expect(inputs.count >= 6 && inputs.contains { $0.count > 1 })
        #expect(inputs.reduce(0) { $0 + $1.count } < 16_384)
    }
}

@Suite("Datagrams and what is in them under damage", .serialized)
struct MediaPlaneFuzz {
    private static func stun(_ body: (inout STUNWriter) -> Void, _ type: STUNType = .request) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 400)
        let count = bytes.withUnsafeMutableBytes { place in
            var writer = STUNWriter(place, type: type, transaction: STUNTransaction(high: 1, low: 2))
            body(&writer)
            writer.messageIntegrity(HMACSHA1(key: "password"))
            return writer.finish()
        }
        return Array(bytes.prefix(count))
    }

    @Test("STUN")
    func stun() async {
        let request = Self.stun { writer in
            writer.username("local", "remote")
            writer.u32(STUNAttribute.priority, 7)
            writer.u64(STUNAttribute.iceControlling, 9)
            writer.flag(STUNAttribute.useCandidate)
        }
        let answer = Self.stun({ $0.xorMappedAddress(SocketAddress(ipv4: 0x0A00_0001, port: 9)) }, .success)
        let failure = Self.stun({ $0.errorCode(487) }, .failure)
        let key = HMACSHA1(key: "password")
        await Fuzzing("stun", seeds: [request, answer, failure, Array(request.dropLast(8))]).run { input in
            // A right length and cookie let more of the damage reach the attributes.
            var framed = input
            if framed.count >= 20, framed.count % 4 == 0 {
                framed.replaceSubrange(
                    2..<8, with: [UInt8(framed.count - 20 >> 8), UInt8((framed.count - 20) & 0xFF), 0x21, 0x12, 0xA4, 0x42])
            }
            for bytes in [input, framed] {
                bytes.withUnsafeBytes { datagram in
                    guard let message = try? STUNMessage(parsing: datagram) else { return }
                    _ = message.isAuthentic(datagram, key: key)
                    if let name = message.localUfrag(in: datagram) { #expect(name.upperBound <= datagram.count) }
                }
            }
        }
    }

    @Test("the gate before DTLS")
    func records() async {
        let hello: [UInt8] =
            [22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9]
        let alert: [UInt8] = [21, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40]
        await Fuzzing("dtls-records", seeds: [hello, hello + hello, alert + hello]).run { input in
            input.withUnsafeBytes { datagram in
                let isWhole = DTLSRecord.refusal(datagram, role: .server) == nil
                let run = DTLSRecord.runBytes(datagram, limit: 1200)
                #expect(run <= datagram.count && (!isWhole || run > 0))
                _ = DTLSRecord.refusal(datagram, role: .client)
            }
        }
    }

    @Test("RTP, header extensions, and what a payload begins with")
    func rtp() async {
        let plain: [UInt8] = [0x80, 0xE0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x7C, 0x85, 1, 2, 3]
        let oneByte: [UInt8] = [
            0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 2, 0x10, 0x30, 0x31, 0, 1, 0x42, 1, 2, 0x18, 0, 2, 0x67, 0x42,
        ]
        let twoByte: [UInt8] = [
            0xB1, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 9, 0x10, 0, 0, 1, 1, 2, 0x30, 0x31, 0x90, 0x90, 0x80, 5, 0, 0, 2,
        ]
        var ids = ExtensionIDs()
        (ids.mid, ids.rid, ids.transportCC, ids.audioLevel, ids.playoutDelay, ids.videoOrientation) = (1, 2, 3, 4, 20, 6)
        await Fuzzing("rtp", seeds: [plain, oneByte, twoByte]).run { input in
            guard let header = try? RTPHeader(parsing: input.span) else { return }
            #expect(header.payloadOffset + header.payloadCount + header.paddingCount == input.count)
            let received = ReceivedExtensions(header, in: input.span, ids: ids)
            #expect(received.midOffset + received.midCount <= input.count)
            let payload = Array(input[header.payloadOffset..<(header.payloadOffset + header.payloadCount)])
            for codec in CodecID.allCases { _ = KeyframeDetector.marks(codec, payload.span) }
            _ = KeyframeDetector.h264ProfileLevel(payload.span)
        }
    }

    @Test("layers within a source: dependency descriptors, VP9's own")
    func layers() async {
        let structure: [UInt8] = [
            0x80, 0x12, 0x34, 0x80, 0x01, 0x1E, 0xA8, 0x51, 0x41, 0x01, 0x0C, 0x09, 0xFC, 0x05, 0x9C,
        ]
        let vp9: [UInt8] = [0xAB, 0x81, 0x02, 0x12, 0x05, 0x38, 1, 0x40, 0, 0xB4, 2, 0x80, 1, 0x68, 9, 9]
        await Fuzzing("layers", seeds: [structure, [0xC2, 0x12, 0x35], vp9, structure + vp9]).run { input in
            var reader = LayerReader()
            input.withUnsafeBytes { bytes in
                // A whole structure first, so that damage reaches what refers to it.
                structure.withUnsafeBytes {
                    _ = reader.read(.av1, input.span, descriptor: $0, at: 1, isKeyframe: true, isNewest: true)
                }
                let descriptor = reader.read(.av1, input.span, descriptor: bytes, at: 2, isKeyframe: false, isNewest: true)
                let none = UnsafeRawBufferPointer(start: nil, count: 0)
                let own = reader.read(.vp9, input.span, descriptor: none, at: 3, isKeyframe: false, isNewest: true)
                #expect((descriptor.targets | own.targets | own.ends) & ~LayerGrid.all == 0 && own.spatial < 3)
            }
            _ = VP9Layer.beginsLayers(input.span)
        }
    }

    @Test("RTCP")
    func rtcp() async {
        let report: [UInt8] = [0x81, 201, 0, 7, 0, 0, 0, 1] + [UInt8](repeating: 5, count: 24)
        let sender: [UInt8] = [0x80, 200, 0, 6, 0, 0, 0, 1] + [UInt8](repeating: 6, count: 20)
        let nack: [UInt8] = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 9, 0xFF, 0xFF]
        let estimate: [UInt8] = [
            0x8F, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0x52, 0x45, 0x4D, 0x42, 1, 0xFF, 0xFF, 0xFF, 0, 0, 0, 3,
        ]
        let names: [UInt8] = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 1, 0x61, 0]
        await Fuzzing("rtcp", seeds: [report + names, sender + nack, estimate, nack + estimate + report]).run { input in
            var reader = RTCPReader()
            while let part = reader.next(in: input.span) {
                #expect(part.bodyOffset + part.bodyCount <= input.count)
                _ = SenderReport(part, in: input.span)
                for index in 0..<32 { _ = ReportBlock(index, of: part, in: input.span) }
                guard let feedback = FeedbackHeader(part, in: input.span) else { continue }
                for index in 0..<64 {
                    _ = feedback.nackItem(index, in: input.span)
                    _ = feedback.fullIntraItem(index, in: input.span)
                }
                _ = feedback.estimatedBitrate(in: input.span)
            }
        }
    }

    @Test("packets framed in a TCP stream")
    func frames() async {
        let seed: [UInt8] = [0, 3, 1, 2, 3, 0, 0, 0, 1, 9, 8, 0] + [UInt8](repeating: 1, count: 2048) + [0, 2, 5, 5]
        await Fuzzing("frames", seeds: [seed, Array(seed.prefix(12))]).run { input in
            var reader = FrameReader()
            let room = reader.room()
            let count = min(room.count, input.count)
            room.copyBytes(from: input.prefix(count))
            reader.commit(count)
            var taken = 0
            while case .frame(let frame) = reader.next() { taken += frame.count + FrameReader.headerBytes }
            #expect(taken <= count)
        }
    }
}
