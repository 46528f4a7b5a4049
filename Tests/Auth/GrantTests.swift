import Auth
import Testing

@Suite("Grants: one session, once")
struct GrantTests {
    private let edge = Authorizer(AuthSettings(tokens: ["other-token", "node-token"], secret: "node-token-2"))
    private static let now: Int64 = 1_800_000_000

    private static func grant(
        node: String = "edge-a", startedAtMs: Int64 = 5, stream: String = "demo", action: Grant.Action = .publish,
        expires: Int64 = now + Grant.lifetimeSeconds
    ) -> Grant {
        Grant(
            node: node, startedAtMs: startedAtMs, stream: stream, action: action, fingerprint: "who", expires: expires)
    }

    private func redeem(
        _ text: String?, for access: Access = .publish(stream: "demo"), now: Int64 = now
    ) -> Result<Principal, AuthFailure> {
        Result { () throws(AuthFailure) in
            try edge.redeem(text ?? "", for: access, node: "edge-a", startedAtMs: 5, now: now)
        }
    }

    @Test("opens the session it is for, for whom it was given, and nothing more", arguments: [Grant.Action.publish, .subscribe])
    func opens(action: Grant.Action) throws {
        let access = action == .publish ? Access.publish(stream: "demo") : .subscribe(stream: "demo")
        let principal = try redeem(Self.grant(action: action).signed(with: "node-token"), for: access).get()
        #expect(principal.fingerprint == "who" && principal.id == "demo")
        #expect(principal.allows(access))
        #expect(!principal.allows(.administrate(stream: "demo")) && !principal.allows(.publish(stream: "other")))
    }

    @Test("a second time it is worth nothing, and another one is")
    func once() {
        let text = Self.grant().signed(with: "node-token")
        #expect((try? redeem(text).get()) != nil)
        #expect(redeem(text) == .failure(.unauthorized))
        #expect((try? redeem(Self.grant().signed(with: "node-token")).get()) != nil)
    }

    @Test("what it is not for does not use it up")
    func otherUse() {
        let text = Self.grant().signed(with: "node-token")
        for access in [Access.subscribe(stream: "demo"), .publish(stream: "other"), .administrate(stream: "demo"), .cluster] {
            #expect(redeem(text, for: access) == .failure(.forbidden))
        }
        #expect((try? redeem(text).get()) != nil)
    }

    @Test("another node's, another start's, a late one, one that lives long, one that nobody we know has signed")
    func refused() {
        let wrong: [Grant] = [
            Self.grant(node: "edge-b"), Self.grant(startedAtMs: 6), Self.grant(expires: Self.now),
            Self.grant(expires: Self.now + 3600),
        ]
        for grant in wrong { #expect(redeem(grant.signed(with: "node-token")) == .failure(.unauthorized)) }
        // The secret for JWTs is no node's token, so no client's token becomes a grant.
        for key in ["unknown", "node-token-2"] { #expect(redeem(Self.grant().signed(with: key)) == .failure(.unauthorized)) }
        #expect(Self.grant().signed(with: "") == nil)
    }

    @Test("a grant is no token, and a token no grant")
    func kinds() throws {
        let both = Authorizer(AuthSettings(tokens: ["key"], secret: "key"))
        let grant = try #require(Self.grant().signed(with: "key"))
        #expect(throws: AuthFailure.unauthorized) {
            try both.authorize(Credentials(authorization: "Bearer \(grant)"), for: .publish(stream: "demo"), now: Self.now)
        }
        let token = try both.mint(
            TokenRequest(id: "demo", duration: 20, subscribe: true, publish: true, admin: false), now: Self.now)
        #expect(throws: AuthFailure.unauthorized) {
            try both.redeem(token.accessToken, for: .publish(stream: "demo"), node: "edge-a", startedAtMs: 5, now: Self.now)
        }
    }

    @Test("changed anywhere it is refused")
    func mutated() throws {
        let text = Array(try #require(Self.grant().signed(with: "node-token")).utf8)
        // The last character of a base64url text may carry bits that say nothing.
        for index in text.indices.dropLast() {
            var changed = text
            changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(redeem(String(decoding: changed, as: UTF8.self)) == .failure(.unauthorized), "\(index)")
        }
        for length in [0, 1, 10, text.count - 1] {
            #expect(redeem(String(decoding: text.prefix(length), as: UTF8.self)) == .failure(.unauthorized))
        }
    }
}
