import SDP
import Testing

@testable import EdgeBench
@testable import SampleMedia

/// Multiplicative steps from a fixed seed.
private struct Steps: RandomNumberGenerator {
    private var state: UInt64 = 41

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }
}

@Suite("edge-bench: packets it makes and counts (RFC 6184, RFC 3550, RFC 4585)")
struct PacketTests {
    private static func unit(_ type: UInt8, _ count: Int) -> [UInt8] {
        [0x60 | type] + (0..<max(0, count - 1)).map { UInt8(truncatingIfNeeded: $0) }
    }

    /// Puts payloads together again, written from the RFC and not from the packetiser.
    private static func units(_ payloads: [[UInt8]]) -> [[UInt8]] {
        var units: [[UInt8]] = []
        for payload in payloads {
            switch payload[0] & 0x1F {
            case 24:
                var offset = 1
                while offset + 2 < payload.count {
                    let size = Int(payload[offset]) << 8 | Int(payload[offset + 1])
                    units.append(Array(payload[(offset + 2)..<(offset + 2 + size)]))
                    offset += 2 + size
                }
            case 28:
                if payload[1] & 0x80 != 0 { units.append([payload[0] & 0x60 | payload[1] & 0x1F]) }
                units[units.count - 1] += payload[2...]
            default: units.append(payload)
            }
        }
        return units
    }

    @Test(
        "access units survive packetisation, no payload over the limit",
        arguments: [
            [9], [30, 8, 500], [30, 8, 5000], [1159, 1160, 1161, 2320, 2321], [1, 2, 3, 4, 5, 100_000], [600, 600, 600],
        ])
    func packetizer(sizes: [Int]) {
        let all = sizes.map { Self.unit(5, $0) }
        let payloads = H264Packetizer.payloads(all, limit: 1160)
        #expect(payloads.allSatisfy { $0.count <= 1160 && !$0.isEmpty })
        #expect(Self.units(payloads) == all)
    }

    @Test("parameter sets go before a key frame without them, delimiters are left out")
    func parameterSets() {
        let sets = [Self.unit(7, 10), Self.unit(8, 4)]
        let frame = [0, 0, 0, 1] + Self.unit(9, 2) + [0, 0, 1] + Self.unit(5, 50)
        #expect(H264Input.units(frame, lengthBytes: 0, parameterSets: sets) == sets + [Self.unit(5, 50)])
        let prefixed: [UInt8] = [0, 0, 0, 3] + Self.unit(1, 3) + [0, 0, 0, 99, 1]
        #expect(H264Input.units(prefixed, lengthBytes: 4, parameterSets: sets) == [Self.unit(1, 3)])
        #expect(H264Input.codec([[0x67, 0x42, 0xC0, 0x1F]]).fmtp.hasSuffix("profile-level-id=42c01f"))
    }

    @Test("avcC is read, anything shorter is not")
    func configuration() throws {
        let record: [UInt8] = [1, 66, 0, 31, 0xFF, 0xE1, 0, 3, 0x67, 1, 2, 1, 0, 2, 0x68, 9]
        let read = try #require(H264Input.configuration(record))
        #expect(read.sets == [[0x67, 1, 2], [0x68, 9]] && read.lengthBytes == 4)
        for count in 0..<record.count { #expect(H264Input.configuration(Array(record.prefix(count))) == nil) }
    }

    @Test(
        "a NACK names each missing number once",
        arguments: [
            [5], [1, 2, 3, 17, 18, 400], [65530, 65535, 0, 3, 9], Array(100..<200),
        ])
    func nack(missing: [UInt16]) {
        var named: [UInt16] = []
        let packet = ControlPackets.nack(from: 1, of: 7, missing: missing)
        #expect(packet.count % 4 == 0 && Int(packet[3]) + 1 == packet.count / 4)
        packet.withUnsafeBytes { bytes in
            ControlPackets.parse(bytes) { if case .nack(7, let numbers) = $0 { named += numbers } }
        }
        #expect(named == missing)
    }

    @Test("reports are whole 32-bit words for every name length", arguments: 0..<9)
    func reports(length: Int) {
        let cname = String(repeating: "c", count: length)
        var kinds = 0
        let packet =
            ControlPackets.senderReport(ssrc: 1, cname: cname, ntp: 0x1234_5678_9ABC_DEF0, timestamp: 3, packets: 4, octets: 5)
            + ControlPackets.receiverReport(
                ssrc: 2, cname: cname,
                reports: [.init(ssrc: 1, fractionLost: 3, lost: 9, highest: 7, lastSenderReport: 0, delay: 0)])
        packet.withUnsafeBytes { bytes in
            ControlPackets.parse(bytes) { part in
                kinds += 1
                if case .senderReport(let ssrc, let middle) = part { #expect(ssrc == 1 && middle == 0x5678_9ABC) }
            }
        }
        #expect(kinds == 4 && packet.count % 4 == 0)
    }

    @Test("a damaged compound packet is walked without a trap")
    func damaged() {
        var random = Steps()
        let packet = ControlPackets.nack(from: 1, of: 7, missing: [1, 2, 40]) + ControlPackets.bye(4)
        for cut in 0...packet.count {
            for _ in 0..<50 {
                var bytes = Array(packet.prefix(cut))
                if cut > 0 { bytes[Int.random(in: 0..<cut, using: &random)] = UInt8.random(in: .min ... .max, using: &random) }
                bytes.withUnsafeBytes { ControlPackets.parse($0) { _ in } }
            }
        }
    }

    @Test(
        "loss, late arrivals, duplicates and the wrap are counted", arguments: [UInt16(0), 1, 32767, 32768, 65000, 65534, 65535])
    func counting(start: UInt16) {
        var stream = IncomingStream(ssrc: 1, isVideo: true, sequence: start)
        let key: [UInt8] = [0x7C, 0x85, 1, 2]
        func take(_ offset: UInt16, _ now: UInt64) {
            key.withUnsafeBytes { stream.take(start &+ offset, timestamp: 9, payload: $0, now: now) }
        }
        for offset in [UInt16(0), 1, 2, 5, 5, 4] { take(offset, 1) }
        #expect(stream.received == 5 && stream.duplicates == 1 && stream.lost == 1 && stream.keyframes == 1)
        #expect(stream.due(now: 5).isEmpty)
        #expect(stream.due(now: 20_000_000) == [start &+ 3])
        take(3, 30_000_000)
        #expect(stream.lost == 0 && stream.recovered == 1)
        for offset in UInt16(6)..<3000 { take(offset, 40_000_000) }
        #expect(stream.lost == 0 && stream.expected == 3000)
    }
}
