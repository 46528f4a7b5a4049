import Testing

@testable import SDP

@Suite("SDP text (RFC 8866)")
struct SessionDescriptionTests {
    private static let samples = OfferCorpus.publishers + OfferCorpus.players

    @Test("what was parsed is written and parsed again to the same value", arguments: samples)
    func roundTrip(_ sample: ClientOfferSample) throws {
        let first = try sample.description
        #expect(try SessionDescription(parsing: first.serialized()) == first)
        #expect(first.serialized() == sample.text)
    }

    @Test("LF alone, a byte order mark, empty lines and a missing last line end are tolerated", arguments: samples)
    func lineEnds(_ sample: ClientOfferSample) throws {
        let expected = try sample.description
        let lines = sample.text.split(separator: "\r\n").map(String.init)
        #expect(try SessionDescription(parsing: lines.joined(separator: "\n")) == expected)
        #expect(try SessionDescription(parsing: "\u{FEFF}" + sample.text) == expected)
        #expect(try SessionDescription(parsing: lines.joined(separator: "\r\n\r\n")) == expected)
    }

    @Test("other lines are read over")
    func otherLines() throws {
        let text =
            "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\ni=x\nu=x\nc=IN IP4 0.0.0.0\nb=AS:1\nt=0 0\nt=1 1\nm=audio 9/2 RTP/AVP 0\nb=AS:64\nk=x\n"
        let description = try SessionDescription(parsing: text)
        #expect(description.timing == "0 0")
        #expect(description.media == [MediaDescription(media: "audio", port: 9, transportProtocol: "RTP/AVP", formats: ["0"])])
    }

    private static let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"

    @Test(
        "what is not SDP",
        arguments: [
            "", "v=1\r\n", "o=- 1 1 IN IP4 0\r\n", "v=0\r\n", "v=0\r\ns=-\r\nt=0 0\r\n", "v=0\r\no=- 1 1 IN IP4 0\r\nt=0 0\r\n",
            "v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\n", "v=0\r\no=x\r\ns=-\r\nt=0 0\r\n", head + "v=0\r\n",
            head + "o=- 1 1 IN IP4 0\r\n",
            head + "nonsense\r\n", head + "A=b\r\n", head + "a=x\u{0}y\r\n", head + "a=x\ry\r\n", head + "m=audio 9 RTP/AVP\r\n",
            head + "m=audio -1 RTP/AVP 0\r\n", head + "m=audio +1 RTP/AVP 0\r\n", head + "m=audio 65536 RTP/AVP 0\r\n",
            head + "m=audio 99999999999999999999999 RTP/AVP 0\r\n", head + "m=au\"dio 9 RTP/AVP 0\r\n",
            head + "m=audio 9 / 0\r\n", head + "m=audio 9 RTP/AVP " + String(repeating: "x", count: 65) + "\r\n",
            head + "m=audio 9 RTP/AVP" + String(repeating: " 1", count: 129) + "\r\n",
            head + String(repeating: "m=audio 9 RTP/AVP 0\r\n", count: 65), head + String(repeating: "a=x\r\n", count: 2000),
            head + String(repeating: "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", count: 101),
        ])
    func malformed(_ text: String) {
        do {
            _ = try SessionDescription(parsing: text)
            Issue.record("accepted")
        } catch {
            guard case .malformed = error else {
                Issue.record("\(error)")
                return
            }
        }
    }

    @Test("bytes that are not UTF-8 are refused")
    func utf8() {
        #expect(throws: SDPError.self) { try SessionDescription(parsing: Array((Self.head + "a=").utf8) + [0xC3, 0x28, 0x0A]) }
    }

    @Test("128 KiB are read, one byte more is not")
    func size() throws {
        let fill = String(repeating: "x", count: SDPLimits.bytes - Self.head.utf8.count - 4)
        let largest = Self.head + "a=" + fill + "\r\n"
        #expect(largest.utf8.count == SDPLimits.bytes)
        #expect(try SessionDescription(parsing: largest).attributes.count == 1)
        #expect(throws: SDPError.tooLarge(bytes: SDPLimits.bytes + 1, limit: SDPLimits.bytes)) {
            try SessionDescription(parsing: largest + "\n")
        }
    }

    @Test("each byte is visited at most twice, whatever the shape", arguments: [1, 2, 7, 60, 130, 4000])
    func linear(_ lineLength: Int) throws {
        let line = "a=" + String(repeating: ":", count: lineLength) + "\n"
        let count = min(1900, (SDPLimits.bytes - 200) / line.utf8.count)
        let bytes = Array((Self.head + String(repeating: line, count: count)).utf8)
        var visited = 0
        _ = try SessionDescription(parsing: bytes, visited: &visited)
        #expect(visited <= 2 * bytes.count)
    }
}

@Suite("Transport values (RFC 8839, RFC 8122)")
struct TransportValueTests {
    @Test(
        "numeric candidates of component 1 are read",
        arguments: [
            ("1 1 udp 2130706431 192.0.2.1 4000 typ host", true),
            ("1 1 UDP 1 2001:db8::1 4000 typ srflx raddr 0.0.0.0 rport 9", true),
            ("1 1 tcp 1 192.0.2.1 9 typ host tcptype active", true), ("1 2 udp 1 192.0.2.1 4000 typ host", false),
            ("1 1 udp 1 192.0.2.1 0 typ host", false), ("1 1 udp 1 host.example 4000 typ host", false),
            ("1 1 udp 1 0.0.0.0 4000 typ host", false), ("1 1 udp 1 300.0.2.1 4000 typ host", false),
            ("1 1 udp 1 192.0.2.1 70000 typ host", false), ("1 1 udp 4294967296 192.0.2.1 4000 typ host", false),
            ("1 1 udp 1 192.0.2.1 4000 host", false), ("", false), ("1 1 udp", false),
        ])
    func candidates(_ value: String, _ isRead: Bool) {
        #expect((Candidate(attribute: value) != nil) == isRead)
    }

    @Test("priorities fall and stay those of host candidates")
    func priorities() {
        let lines = Candidate.attributeValues(of: (1...3).map { Candidate(address: "192.0.2.\($0)", port: 5000) })
        let priorities = lines.compactMap { UInt32($0.split(separator: " ")[3]) }
        #expect(priorities == [2_130_706_431, 2_130_706_175, 2_130_705_919])
    }

    @Test("fingerprints keep their form both ways")
    func fingerprints() throws {
        let read = try #require(Fingerprint(attribute: "SHA-256 " + OfferCorpus.fingerprint.lowercased()))
        #expect(read.algorithm == "sha-256" && read.bytes.count == 32)
        #expect(read.attributeValue == "sha-256 " + OfferCorpus.fingerprint)
        for bad in ["sha-256 00:11", "sha-256", "sha-256 zz", "sha-256 +1:00", "sha-256 " + OfferCorpus.fingerprint + ":"] {
            #expect(Fingerprint(attribute: bad) == nil)
        }
    }

    @Test("minted credentials are legal, plain and differ")
    func credentials() {
        let minted = (0..<100).map { _ in ICECredentials.random() }
        #expect(minted.allSatisfy { $0.isValid && $0.ufrag.utf8.count == 8 && $0.password.utf8.count == 24 })
        #expect(Set(minted).count == 100)
    }

    @Test("fmtp parameters: spaces, case, missing values, doubled keys")
    func parameters() {
        let codec = Codec(
            name: "H264", clockRate: 90000, fmtp: " Profile-Level-Id = 42e01f ;; packetization-mode=1;flag;packetization-mode=0")
        #expect(codec.parameter("profile-level-id") == "42e01f")
        #expect(codec.parameter("packetization-mode") == "1")
        #expect(codec.parameter("flag") == "")
        #expect(codec.parameter("none") == nil)
        #expect(FormatParameters(codec.fmtp).text(keeping: ["packetization-mode"]) == "packetization-mode=1")
    }
}
