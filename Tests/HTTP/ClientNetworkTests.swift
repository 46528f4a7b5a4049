import Testing

@testable import HTTP

@Suite("Whose request it is")
struct ClientNetworkTests {
    @Test(
        "what stands for an address in counts",
        arguments: [
            ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:0:7::1", "2001:db8:0:7::/64"),
            ("2001:db8:0:7:ffff::2", "2001:db8:0:7::/64"), ("2001:db8:0:8::1", "2001:db8:0:8::/64"), ("unknown", nil), ("", nil),
            ("192.0.2.1:80", nil), ("::1::", nil),
        ] as [(String, String?)])
    func name(address: String, expected: String?) {
        #expect(ClientNetwork.name(of: address) == expected)
    }

    @Test(
        "behind proxies the client is the last one told that is none of them",
        arguments: [
            ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
            ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", ["1.1.1.1", "203.0.113.9 , 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", ["203.0.113.9, nobody"], nil), ("10.0.0.1", ["nobody, 10.0.0.2"], nil),
            ("10.0.0.1", ["1.2.3.4, :0"], nil), ("10.0.0.1", ["1.2.3.4, []:0"], nil),
            ("10.0.0.1", ["203.0.113.9:51234"], "203.0.113.9"), ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", [], "10.0.0.1"), ("10.0.0.1", [",, "], "10.0.0.1"),
        ] as [(String, [String], String?)])
    func chain(peer: String, told: [String], expected: String?) {
        #expect(ClientNetwork.client(behind: peer, told: told) { $0.hasPrefix("10.") } == expected)
    }

    @Test(
        "a server tells handlers the client's address, of proxies it trusts alone",
        arguments: [
            (true, "203.0.113.9", "203.0.113.9 203.0.113.9"), (true, "nobody", "127.0.0.1 127.0.0.1"),
            (false, "203.0.113.9", "127.0.0.1 none"),
        ])
    func server(isTrusted: Bool, told: String, expected: String) async throws {
        var settings = HTTPServerSettings()
        settings.isTrustedProxy = { _ in isTrusted }
        settings.countsAddress = { $0 != "127.0.0.1" }
        try await withServer(settings) { router in
            router.get("/who", RouteDescription("who")) { .text("\($0.remoteAddress) \($0.countedNetwork ?? "none")") }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send("GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: \(told)\r\n\r\n")
            #expect(await client.receiveAll().hasSuffix("\r\n\r\n" + expected))
        }
    }
}
