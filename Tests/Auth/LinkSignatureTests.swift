import Auth
import Testing

@Suite("Signatures of addresses: one address, one stream, a minute")
struct LinkSignatureTests {
    private static let now: Int64 = 1_800_000_000
    private static let expires = now + LinkSignature.lifetimeSeconds
    private static let address = "/api/playback/demo/export.mp4?start=1&expires=1800000060"

    private static func principal(
        _ authorizer: Authorizer, _ signature: String, for address: String = address, stream: String = "demo",
        expires: Int64 = expires, now: Int64 = now
    ) -> Principal? {
        authorizer.principal(of: signature, for: address, stream: stream, expires: expires, now: now)
    }

    /// `printf 'link\ndemo\n/api/…' | openssl dgst -sha256 -hmac secret -binary | base64`
    @Test("is HMAC-SHA256 of the stream and the address in base64url")
    func vector() {
        let signature = Authorizer(AuthSettings(secret: "secret")).signature(of: Self.address, stream: "demo")
        #expect(signature == "nr6swT3n25n-EonBs8dsh74U9mFM68kLBcpnRqaVEbo")
    }

    @Test(
        "lets in to play the stream, whatever credential there is, for this address and time",
        arguments: [
            AuthSettings(secret: "s"), AuthSettings(tokens: ["", "a"]), AuthSettings(roomTokens: ["demo": "r", "other": "q"]),
            AuthSettings(tokens: ["a"], secret: "s", roomTokens: ["demo": "r"], accounts: ["anna": "p"]),
        ])
    func admits(settings: AuthSettings) throws {
        let authorizer = Authorizer(settings)
        let signature = try #require(authorizer.signature(of: Self.address, stream: "demo"))
        #expect(Self.principal(authorizer, signature) == Principal(id: "demo", rights: .subscribe))
        #expect(Self.principal(authorizer, signature, now: Self.expires - 1) != nil)
        #expect(Self.principal(authorizer, signature, now: Self.expires) == nil)
        // However it came to be, none is good for long.
        #expect(Self.principal(authorizer, signature, expires: Self.now + 3600) == nil)
        #expect(Self.principal(authorizer, signature, for: Self.address + "0") == nil)
        #expect(Self.principal(authorizer, "") == nil)
    }

    @Test("another program of the same credentials takes it, one of others does not")
    func programs() throws {
        let signature = try #require(
            Authorizer(AuthSettings(tokens: ["a", "b"])).signature(of: Self.address, stream: "demo"))
        #expect(Self.principal(Authorizer(AuthSettings(tokens: ["b", "a"])), signature) != nil)
        #expect(Self.principal(Authorizer(AuthSettings(tokens: ["b"], secret: "c")), signature) == nil)
        #expect(Self.principal(Authorizer(AuthSettings()), signature) == nil)
    }

    @Test("whoever knows one stream's token signs nothing of another stream")
    func rooms() throws {
        let rooms = Authorizer(AuthSettings(roomTokens: ["demo": "r", "other": "q"]))
        let signature = try #require(
            Authorizer(AuthSettings(secret: "q")).signature(of: Self.address, stream: "other"))
        #expect(Self.principal(rooms, signature) == nil)
        #expect(Self.principal(rooms, signature, stream: "other") != nil)
        #expect(rooms.signature(of: Self.address, stream: "third") == nil)
    }

    @Test("where nothing is set there is nothing to sign with")
    func open() {
        #expect(Authorizer(AuthSettings()).signature(of: Self.address, stream: "demo") == nil)
    }

    @Test("changed anywhere it is refused, and a token is none")
    func mutated() throws {
        let authorizer = Authorizer(AuthSettings(secret: "s"))
        let text = Array(try #require(authorizer.signature(of: Self.address, stream: "demo")).utf8)
        for index in text.indices {
            var changed = text
            changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(Self.principal(authorizer, String(decoding: changed, as: UTF8.self)) == nil, "\(index)")
        }
        let token = try authorizer.mint(TokenRequest(id: "demo", duration: 20, subscribe: true), now: Self.now)
        #expect(Self.principal(authorizer, token.accessToken) == nil)
        #expect(Self.principal(authorizer, String(token.accessToken.split(separator: ".")[2])) == nil)
    }
}
