import Testing

@testable import SDP

@Suite("Trickle fragments (RFC 8840 section 4.4 and 9, RFC 9725 section 4.3)")
struct SDPFragmentTests {
    @Test("credentials and candidates of the first section")
    func trickle() throws {
        let fragment = try SDPFragment(
            parsing: """
                a=group:BUNDLE 0 1\r
                m=audio 9 UDP/TLS/RTP/SAVPF 0\r
                a=mid:0\r
                a=ice-ufrag:EsAw\r
                a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r
                a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r
                a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host\r
                a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r
                a=candidate:4 1 udp 1 aaaa-bbbb.local 61765 typ host\r
                a=candidate:5 2 udp 1 192.0.2.1 61766 typ host\r
                a=candidate:6 1 sctp 1 192.0.2.1 61766 typ host\r
                a=end-of-candidates\r
                m=video 9 UDP/TLS/RTP/SAVPF 0\r
                a=candidate:7 1 udp 1 192.0.2.99 61766 typ host\r

                """)
        #expect(fragment.ice == ICECredentials(ufrag: "EsAw", password: "P2uYro0UCOQ4zxjKXaWCBui1"))
        #expect(fragment.candidates.map(\.address) == ["192.0.2.1", "198.51.100.2", "192.0.2.1"])
        #expect(fragment.candidates.map(\.isTCP) == [false, false, true])
        #expect(fragment.endOfCandidates)
    }

    @Test("a restart request has no media line; an empty fragment is fine")
    func short() throws {
        let restart = try SDPFragment(parsing: "a=ice-ufrag:ysXw\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\n")
        #expect(restart.ice?.ufrag == "ysXw" && restart.candidates.isEmpty && !restart.endOfCandidates)
        let empty = try SDPFragment(parsing: "")
        #expect(empty.ice == nil && empty.ufrag == nil)
        #expect(try SDPFragment(parsing: "a=ice-ufrag:abcd\n").ufrag == "abcd")
    }

    @Test(
        "what is not a fragment",
        arguments: [
            "hello", "a", "=x", "a=ice-ufrag:x\r\na=ice-pwd:y\r\n", "m=audio\r\n", "a=candidate:1\u{0}\r\n", "A=b\r\n",
            String(repeating: "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", count: 101),
            String(repeating: "a=x\r\n", count: 2001),
        ])
    func malformed(_ text: String) {
        #expect(throws: SDPError.self) { try SDPFragment(parsing: text) }
    }

    @Test("the answer to a restart reads back")
    func restartAnswer() throws {
        let text = SDPFragment.restartAnswer(local: OfferCorpus.local, kind: .video, mid: "1")
        #expect(text.hasPrefix("a=ice-lite\r\n") && text.contains("a=mid:1\r\n"))
        let read = try SDPFragment(parsing: text)
        #expect(read.ice == OfferCorpus.local.ice && read.candidates.count == 3 && read.endOfCandidates)
    }
}
