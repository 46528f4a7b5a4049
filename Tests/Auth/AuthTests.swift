import COpenSSL
import Foundation
import Testing

@testable import Auth

/// Signs a JWT of any shape, independently of the code under test (RFC 7515).
func sign(_ header: String, _ payload: String, key: String, digest: OpaquePointer = EVP_sha256()) -> String {
    sign(header, payload, key: Array(key.utf8), digest: digest)
}

func sign(_ header: String, _ payload: String, key: [UInt8], digest: OpaquePointer = EVP_sha256()) -> String {
    let input = "\(base64url(Array(header.utf8))).\(base64url(Array(payload.utf8)))"
    var mac = [UInt8](repeating: 0, count: 64)
    var count: UInt32 = 0
    _ = HMAC(digest, key, Int32(key.count), Array(input.utf8), input.utf8.count, &mac, &count)
    return "\(input).\(base64url(Array(mac.prefix(Int(count)))))"
}

func base64url(_ bytes: [UInt8]) -> String {
    Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

let hs256 = #"{"alg":"HS256","typ":"JWT"}"#
let secret = "a secret of more than thirty-two bytes"
let now: Int64 = 1_800_000_000

func bearer(_ token: String) -> Credentials { Credentials(authorization: "Bearer \(token)") }

func outcome(_ authorizer: Authorizer, _ credentials: Credentials, _ access: Access) -> Int {
    do {
        _ = try authorizer.authorize(credentials, for: access, now: now)
        return 200
    } catch {
        return error.status
    }
}

@Suite("JWT (RFC 7515, 7519, 8725)")
struct TokenTests {
    @Test("the signer of these tests writes the example of RFC 7515 appendix A.1")
    func vector() throws {
        let header = "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}"
        let payload = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
        #expect(
            sign(header, payload, key: [UInt8](try #require(Data(base64Encoded: key))))
                == "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                + "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
                + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    }

    static let payload = #"{"id":"demo","exp":\#(now + 10),"mode":6}"#

    @Test(
        "accepted",
        arguments: [
            sign(hs256, payload, key: secret),
            sign(#"{"alg":"HS256"}"#, payload, key: secret),
            sign(hs256, #"{"id":"demo","exp":\#(now + 10).5,"mode":6,"more":[1,{"a":null}]}"#, key: secret),
            sign(hs256, #"{"id":"demo","exp":\#(now + 10),"nbf":\#(now + 60),"mode":6}"#, key: secret),
        ])
    func accepted(token: String) throws {
        let codec = try #require(TokenCodec(secret: secret))
        let claims = try #require(codec.claims(of: token, now: now))
        #expect(claims.id == "demo")
        #expect(claims.mode == 6)
    }

    @Test(
        "refused",
        arguments: [
            ("another key", sign(hs256, payload, key: secret + "x")),
            ("the empty key", sign(hs256, payload, key: "")),
            ("alg none", sign(#"{"alg":"none"}"#, payload, key: secret)),
            ("alg none, no signature", "\(base64url(Array(#"{"alg":"none"}"#.utf8))).\(base64url(Array(payload.utf8)))."),
            ("alg None", "\(base64url(Array(#"{"alg":"None"}"#.utf8))).\(base64url(Array(payload.utf8)))."),
            ("HS512", sign(#"{"alg":"HS512"}"#, payload, key: secret, digest: EVP_sha512())),
            ("RS256 signed with the secret", sign(#"{"alg":"RS256"}"#, payload, key: secret)),
            ("no alg", sign("{}", payload, key: secret)),
            ("expired this second", sign(hs256, #"{"id":"demo","exp":\#(now),"mode":6}"#, key: secret)),
            ("expired long ago", sign(hs256, #"{"id":"demo","exp":1,"mode":6}"#, key: secret)),
            ("no exp", sign(hs256, #"{"id":"demo","mode":6}"#, key: secret)),
            ("exp as text", sign(hs256, #"{"id":"demo","exp":"\#(now + 10)","mode":6}"#, key: secret)),
            ("not yet", sign(hs256, #"{"id":"demo","exp":\#(now + 900),"nbf":\#(now + 61),"mode":6}"#, key: secret)),
            ("no id", sign(hs256, #"{"exp":\#(now + 10),"mode":6}"#, key: secret)),
            ("mode as text", sign(hs256, #"{"id":"demo","exp":\#(now + 10),"mode":"6"}"#, key: secret)),
            ("claims that are no object", sign(hs256, "[1]", key: secret)),
            ("no JSON", sign(hs256, "x", key: secret)),
            ("empty", ""), ("dots", ".."), ("two parts", "a.b"), ("four parts", "a.b.c.d"), ("a NUL", "a.b\u{0}.c"),
            ("a space", "a. b.c"),
            ("long", sign(hs256, #"{"id":"\#(String(repeating: "x", count: 5_000))","exp":\#(now + 10),"mode":6}"#, key: secret)),
            ("deep", sign(hs256, String(repeating: "[", count: 1_000), key: secret)),
        ])
    func refused(name: String, token: String) throws {
        let codec = try #require(TokenCodec(secret: secret))
        #expect(codec.claims(of: token, now: now) == nil)
    }

    @Test("an empty secret makes no codec")
    func emptySecret() {
        #expect(TokenCodec(secret: "") == nil)
    }

    @Test("a bit changed anywhere makes it void", arguments: 0..<8)
    func tampered(bit: Int) throws {
        let codec = try #require(TokenCodec(secret: secret))
        let token = Array(sign(hs256, Self.payload, key: secret).utf8)
        for at in token.indices {
            var bytes = token
            bytes[at] ^= UInt8(1 << bit)
            let text = String(decoding: bytes, as: UTF8.self)
            guard let claims = codec.claims(of: text, now: now) else { continue }
            // The last character of a part holds bits that no byte is made of (RFC 4648 section 3.5).
            #expect(claims == codec.claims(of: String(decoding: token, as: UTF8.self), now: now))
            #expect(at + 1 == token.count || token[at + 1] == UInt8(ascii: "."))
        }
    }

    @Test("what we sign we accept, and only until its end")
    func roundTrip() throws {
        let codec = try #require(TokenCodec(secret: secret))
        let token = try #require(codec.token(id: "demo", rights: [.publish], now: now, lifetime: 60))
        #expect(codec.claims(of: token, now: now + 59)?.mode == 2)
        #expect(codec.claims(of: token, now: now + 60) == nil)
        #expect(TokenCodec(secret: "other")?.claims(of: token, now: now) == nil)
    }
}

@Suite("Who may do what")
struct AuthorizerTests {
    static let every: [Access] = [
        .publish(stream: "demo"), .subscribe(stream: "demo"), .administrate(stream: "demo"), .observe(stream: "demo"),
        .session(stream: "demo"), .browse, .cluster,
    ]

    static func jwt(_ id: String, _ mode: Int) -> String {
        sign(hs256, #"{"id":"\#(id)","exp":\#(now + 10),"mode":\#(mode)}"#, key: secret)
    }

    let closed = Authorizer(
        AuthSettings(tokens: ["master"], secret: secret, roomTokens: ["demo": "room", "other": "other-room"]))

    @Test("nothing set: open")
    func open() {
        let authorizer = Authorizer(AuthSettings())
        for access in Self.every { #expect(outcome(authorizer, Credentials(), access) == 200) }
        #expect(authorizer.isOpen)
    }

    @Test("where no credential is wanted, what players without a key send is nobody's", arguments: ["undefined", "null", ""])
    func nobodys(token: String) throws {
        let authorizer = Authorizer(AuthSettings())
        func fingerprint(_ credentials: Credentials) throws -> String {
            try authorizer.authorize(credentials, for: .publish(stream: "demo"), now: now).fingerprint
        }
        let own = try fingerprint(bearer("own"))
        #expect(!own.isEmpty)
        #expect(try fingerprint(bearer(token)).isEmpty)
        #expect(try fingerprint(Credentials(authToken: token)).isEmpty)
        #expect(try fingerprint(Credentials(authorization: "Bearer \(token)", authToken: "own")) == own)
    }

    @Test(
        "anything set: closed for those without a credential, but for session URLs",
        arguments: [
            AuthSettings(tokens: ["t"]), AuthSettings(secret: "s"), AuthSettings(roomTokens: ["demo": "t"]),
            AuthSettings(accounts: ["u": "p"]),
        ])
    func closedWithout(settings: AuthSettings) {
        let authorizer = Authorizer(settings)
        for access in Self.every {
            #expect(outcome(authorizer, Credentials(), access) == (access == .session(stream: "demo") ? 200 : 401))
            #expect(outcome(authorizer, bearer("wrong"), access) == 401)
            #expect(outcome(authorizer, bearer(""), access) == 401)
            #expect(outcome(authorizer, Credentials(authorization: "Basic dTpw"), access) == 401)
            #expect(outcome(authorizer, Credentials(authToken: ""), access) == 401)
        }
    }

    @Test(
        "credential × access",
        arguments: [
            //                publish, subscribe, administrate, observe, session, browse, cluster
            ("master", [200, 200, 200, 200, 200, 200, 200]),
            ("room", [200, 200, 403, 200, 200, 403, 403]),
            ("other-room", [403, 403, 403, 403, 403, 403, 403]),
            (jwt("*", 7), [200, 200, 200, 200, 200, 200, 200]),
            (jwt("*", 4), [403, 200, 403, 200, 200, 200, 403]),
            (jwt("*", 0), [403, 403, 403, 403, 403, 403, 403]),
            (jwt("demo", 2), [200, 403, 403, 200, 200, 403, 403]),
            (jwt("demo", 4), [403, 200, 403, 200, 200, 403, 403]),
            (jwt("demo", 1), [403, 403, 200, 200, 200, 403, 403]),
            (jwt("demo", 7), [200, 200, 200, 200, 200, 403, 403]),
            (jwt("other", 7), [403, 403, 403, 403, 403, 403, 403]),
            (jwt("demo", -1), [200, 200, 200, 200, 200, 403, 403]),
            ("Master", [401, 401, 401, 401, 401, 401, 401]),
            ("maste", [401, 401, 401, 401, 401, 401, 401]),
            ("mastermaster", [401, 401, 401, 401, 401, 401, 401]),
        ])
    func matrix(token: String, statuses: [Int]) {
        #expect(Self.every.map { outcome(closed, bearer(token), $0) } == statuses)
        #expect(Self.every.map { outcome(closed, Credentials(authToken: token), $0) } == statuses)
    }

    @Test("either carrier may hold the valid one; the scheme's case doesn't matter")
    func carriers() {
        let access = Access.publish(stream: "demo")
        #expect(outcome(closed, Credentials(authorization: "bEARER master"), access) == 200)
        #expect(outcome(closed, Credentials(authorization: "Bearer  master"), access) == 200)
        #expect(outcome(closed, Credentials(authorization: "Bearer wrong", authToken: "room"), access) == 200)
        #expect(outcome(closed, Credentials(authorization: "Bearer other-room", authToken: "wrong"), access) == 403)
        #expect(outcome(closed, Credentials(authorization: "master"), access) == 401)
    }

    @Test("JWTs without a secret set are refused, those signed with the empty key too")
    func noSecret() {
        let authorizer = Authorizer(AuthSettings(tokens: ["t"]))
        for key in ["", "t", secret] {
            #expect(
                outcome(authorizer, bearer(sign(hs256, #"{"id":"*","exp":\#(now + 10),"mode":7}"#, key: key)), .cluster) == 401)
        }
    }

    @Test("an empty token in the settings opens nothing")
    func emptyToken() {
        let authorizer = Authorizer(AuthSettings(tokens: [""], roomTokens: ["demo": ""]))
        #expect(outcome(authorizer, bearer(""), .cluster) == 401)
        #expect(outcome(authorizer, Credentials(authToken: ""), .publish(stream: "demo")) == 401)
    }

    @Test("the same credential is told from others, without showing it")
    func fingerprints() throws {
        let access = Access.publish(stream: "demo")
        let first = try closed.authorize(bearer("room"), for: access, now: now)
        let again = try closed.authorize(Credentials(authToken: "room"), for: access, now: now)
        let other = try closed.authorize(bearer("master"), for: access, now: now)
        #expect(first.fingerprint == again.fingerprint && first.fingerprint != other.fingerprint)
        #expect(first.fingerprint.utf8.count == 43 && !first.fingerprint.contains("room"))
        #expect(try Authorizer(AuthSettings()).authorize(Credentials(), for: access, now: now).fingerprint.isEmpty)
        #expect(try !Authorizer(AuthSettings()).authorize(bearer("any"), for: access, now: now).fingerprint.isEmpty)
    }

    @Test("a coordinator may tell whose request it passes on, a publisher may not")
    func forwarded() throws {
        let access = Access.publish(stream: "demo")
        var credentials = bearer("master")
        credentials.forwardedFingerprint = "client"
        #expect(try closed.authorize(credentials, for: access, now: now).fingerprint == "client")
        credentials = bearer("room")
        credentials.forwardedFingerprint = "client"
        #expect(try closed.authorize(credentials, for: access, now: now).fingerprint != "client")
    }

    @Test(arguments: [
        ("", "", false), ("a", "", false), ("", "a", false), ("a", "a", true), ("aa", "a", false), ("a", "aa", false),
        ("ä", "ä", true),
    ])
    func comparing(shown: String, known: String, isEqual: Bool) {
        #expect(isSame(shown: shown, secret: known) == isEqual)
    }
}

@Suite("Giving out tokens")
struct LoginTests {
    let authorizer = Authorizer(AuthSettings(secret: secret, accounts: ["admin": "right", "other": "password"]))

    func login(_ name: String, _ password: String, _ time: Int64 = now, _ address: String = "1.2.3.4") -> Int {
        do {
            _ = try authorizer.login(LoginRequest(username: name, password: password), address: address, now: time)
            return 200
        } catch {
            return error.status
        }
    }

    @Test func password() throws {
        let answer = try authorizer.login(LoginRequest(username: "admin", password: "right"), address: "", now: now)
        #expect(answer.tokenType == "Bearer")
        #expect(try authorizer.authorize(bearer(answer.accessToken), for: .cluster, now: now + 86_399).id == "*")
        #expect(throws: AuthFailure.unauthorized) {
            try authorizer.authorize(bearer(answer.accessToken), for: .cluster, now: now + 86_400)
        }
    }

    @Test(arguments: [
        ("admin", "wrong", 401), ("nobody", "right", 401), ("admin", "password", 401), ("other", "password", 200),
        ("", "right", 400),
        ("admin", "", 400),
    ])
    func passwords(name: String, password: String, status: Int) {
        #expect(login(name, password) == status)
    }

    @Test("ten wrong ones in a minute and the address waits; others don't")
    func throttle() {
        for _ in 0..<10 { #expect(login("admin", "wrong") == 401) }
        #expect(login("admin", "right") == 429)
        #expect(login("admin", "right", now, "5.6.7.8") == 200)
        #expect(login("admin", "right", now + 59) == 429)
        #expect(login("admin", "right", now + 60) == 200)
    }

    @Test("a right one clears the count")
    func clears() {
        for _ in 0..<9 { #expect(login("admin", "wrong") == 401) }
        #expect(login("admin", "right") == 200)
        for _ in 0..<9 { #expect(login("admin", "wrong") == 401) }
        #expect(login("admin", "right") == 200)
    }

    @Test("the count of addresses is bounded")
    func bounded() {
        var limit = AttemptLimit()
        for number in 0..<10_000 { limit.fail("address \(number)", now: now) }
        for _ in 0..<9 { limit.fail("address 1", now: now) }
        #expect(limit.wait("address 1", now: now) == 60)
        #expect(limit.wait("address 9999", now: now) == nil)
    }

    @Test("without a secret there is nothing to give out")
    func noSecret() {
        let authorizer = Authorizer(AuthSettings(tokens: ["t"], accounts: ["a": "b"]))
        #expect(throws: AuthFailure.noSecret) {
            try authorizer.login(LoginRequest(username: "a", password: "b"), address: "", now: now)
        }
        #expect(throws: AuthFailure.noSecret) { try authorizer.mint(TokenRequest(id: "*", duration: 1, admin: true), now: now) }
    }

    @Test("a token as asked for")
    func mint() throws {
        let answer = try authorizer.mint(TokenRequest(id: "demo", duration: 60, publish: true), now: now)
        #expect(outcome(authorizer, bearer(answer.accessToken), .publish(stream: "demo")) == 200)
        #expect(outcome(authorizer, bearer(answer.accessToken), .subscribe(stream: "demo")) == 403)
        #expect(outcome(authorizer, bearer(answer.accessToken), .publish(stream: "other")) == 403)
        let json = String(decoding: try JSONEncoder().encode(answer), as: UTF8.self)
        #expect(json.contains("\"access_token\"") && json.contains("\"token_type\":\"Bearer\""))
    }

    @Test(arguments: [
        TokenRequest(id: "demo", duration: 0, publish: true), TokenRequest(id: "demo", duration: -5, publish: true),
        TokenRequest(id: "demo", duration: .max, publish: true), TokenRequest(id: "", duration: 5, publish: true),
        TokenRequest(id: "demo", duration: 5),
    ])
    func badRequests(request: TokenRequest) {
        #expect { try authorizer.mint(request, now: now) } throws: { ($0 as? AuthFailure)?.status == 400 }
    }

    @Test("a request of live777")
    func requestJSON() throws {
        let json = #"{"id":"s","duration":5,"subscribe":true,"publish":false,"admin":false}"#
        let request = try JSONDecoder().decode(TokenRequest.self, from: Data(json.utf8))
        #expect(request.rights == .subscribe)
    }
}
