import EdgeFixtures
import HTTP
import Testing

@testable import CoordinatorServe

@Suite("Extra ICE servers through the coordinator (RFC 9725 section 4.6)", .timeLimit(.minutes(5)))
struct ExtraICETests {
    private static let extra = """
        [[extra_ice.ice_servers]]
        urls = ["turn:turn.example.net:3478"]
        username = "u"
        credential = "p"
        [extra_ice.coturn]
        urls = ["turn:coturn.example.net"]
        secret = "north sea"
        ttl = 600

        """

    /// What clients are told on publishing, on watching a named node, and before either.
    private func links(_ settings: String) async throws -> [[String]] {
        let edge = try TestEdge("edge-1")
        var told: [[String]] = []
        try await Bench.run([edge], extra: settings) { bench in
            told = [
                try await bench.offer("/whip/demo").headers.all("Link"),
                try await bench.offer("/api/whep/edge-1/demo").headers.all("Link"),
                try await bench.send(.options, "/whip/demo").headers.all("Link"),
            ]
        }
        return told
    }

    @Test("they are told beside the node's, before and in the answer; coturn's with credentials of their own")
    func merged() async throws {
        let told = try await links(Self.extra)
        for links in told.prefix(2) {
            #expect(links.first == #"<stun:stun.example.net>; rel="ice-server""#)
            #expect(links.contains { $0.contains("/layer>") })
        }
        for links in told {
            #expect(
                links.contains(
                    #"<turn:turn.example.net:3478>; rel="ice-server"; username="u"; credential="p"; credential-type="password""#))
            #expect(links.last?.hasPrefix("<turn:coturn.example.net>; rel=\"ice-server\"; username=\"") == true)
            #expect(links.last?.contains(":demo\"; credential=\"") == true)
        }
    }

    @Test("overriding, the node's are left out, and its other links stay")
    func overriding() async throws {
        let told = try await links("[extra_ice]\noverride_upstream_ice_servers = true\n" + Self.extra)
        for links in told.prefix(2) {
            #expect(!links.contains { $0.contains("stun.example.net") })
            #expect(links.contains { $0.contains("/layer>") })
            #expect(links.count == 3)
        }
    }

    @Test("one that the node names, too, is told once")
    func same() async throws {
        let told = try await links("[[extra_ice.ice_servers]]\nurls = [\"stun:stun.example.net\"]")
        #expect(told.map { $0.count { $0.contains("stun.example.net") } } == [1, 1, 1])
    }
}
