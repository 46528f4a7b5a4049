import SDP
import Streams
import Testing

@testable import Cascade

@Suite("Cascade: addresses, paths, pauses")
struct CascadePartsTests {
    @Test(
        "URLs that are taken",
        arguments: [
            ("http://node:7777/whep/a", "http://node:7777/whep/a"), ("https://n/whep/a?node=b", "https://n/whep/a?node=b"),
            ("whep://n/whep/a", "http://n/whep/a"), ("WHIP://n/whip/a", "http://n/whip/a"), ("wheps://n/x", "https://n/x"),
            ("http://[::1]:7777/whep/a", "http://[::1]:7777/whep/a"),
        ])
    func good(text: String, url: String) {
        #expect(CascadeAddress(text, token: nil)?.url == url)
    }

    @Test(
        "URLs that are not",
        arguments: [
            "", "/whep/a", "//n/whep/a", "ftp://n/a", "file:///etc/passwd", "http://", "http:///a", "http://:80/a", "http:n",
            "http://user:word@n/a", "http://n/a b", "http://n/\r\nX: y", "http://n/\u{0}", "http://n/a#b", "http://ñ/a",
            "http://n/" + String(repeating: "a", count: 5000), "gopher://n/a", "rtsp://n/a",
        ])
    func bad(text: String) {
        #expect(CascadeAddress(text, token: nil) == nil)
    }

    @Test(
        "logs show no query",
        arguments: [
            ("http://n:1/whip/a?token=s&b=/c?d", "http://n:1/whip/a?…"), ("http://n/a", "http://n/a"),
            ("http://n?k", "http://n?…"),
        ])
    func safe(text: String, shown: String) {
        #expect(CascadeAddress(text, token: "secret")?.safeURL == shown)
    }

    @Test(
        "a refusal's words do not repeat what they were answered to",
        arguments: ["{\"error\":\"no %\"}", "no %", String(repeating: "x", count: 290) + "%"])
    func repeated(words: String) throws {
        let address = try #require(CascadeAddress("http://n/whip/a?app=live&token=query-secret", token: "bearer-secret"))
        let secrets = address.secrets(at: "http://m/whip/a?grant=redirect-secret")
        for secret in ["query-secret", "bearer-secret", "redirect-secret", "bearer-secret query-secret"] {
            let body = Array(words.replacing("%", with: secret).utf8)
            let message = RemoteSession.message(body, hiding: secrets)
            #expect(message.contains("...") && !message.contains("secret"))
        }
        #expect(RemoteSession.message(Array("not live".utf8), hiding: secrets) == "not live")
    }

    @Test("what is hidden is also what a server makes of it, and nothing so short that it stands in other words")
    func read() throws {
        let address = try #require(CascadeAddress("http://n/whip/a?token=a%2Fb%3D+cd&app=live", token: "bearer"))
        let secrets = address.secrets(at: "http://m/whip/a?grant=no%zzescape")
        #expect(Set(secrets) == ["bearer", "a%2Fb%3D+cd", "a/b=+cd", "a/b= cd", "no%zzescape"])
        let message = RemoteSession.message(Array("no a/b=+cd here".utf8), hiding: secrets)
        #expect(!message.contains("a/b"))
    }

    @Test("a token becomes a bearer's, a whole value stays, what cannot stand in a header is refused")
    func tokens() {
        func value(_ token: String?) -> String?? { CascadeAddress("http://n/", token: token).map(\.authorization) }
        #expect(value("abc") == "Bearer abc")
        #expect(value("Bearer abc") == "Bearer abc")
        #expect(value("") == .some(nil) && value(nil) == .some(nil))
        #expect(value("a\r\nHost: b") == nil && value("\u{7F}") == nil && value(String(repeating: "a", count: 5000)) == nil)
    }

    @Test(
        "Location against the URL that answered (RFC 3986 section 5.2)",
        arguments: [
            ("/session/1", "http://n:1/session/1"), ("http://m/s", "http://m/s"), ("x", "http://n:1/whep/x"),
            ("//m/s", "http://m/s"), ("HTTPS://m/s", "HTTPS://m/s"),
        ])
    func locations(location: String, url: String) {
        #expect(CascadeAddress.resolve(location, against: "http://n:1/whep/a?b=/c") == url)
    }

    @Test("other schemes and nothing lead nowhere", arguments: ["", "ftp://n/", "javascript://n/x"])
    func nowhere(location: String) {
        #expect(CascadeAddress.resolve(location, against: "http://n:1/whep/a") == nil)
    }

    @Test("origins: scheme, host and port")
    func origins() {
        #expect(CascadeAddress.origin(of: "http://n:1/whep") == CascadeAddress.origin(of: "http://n:1?x"))
        #expect(CascadeAddress.origin(of: "http://n:1/") != CascadeAddress.origin(of: "http://n:12/"))
        #expect(CascadeAddress.origin(of: "http://n/") != CascadeAddress.origin(of: "https://n/"))
    }

    @Test("the path header: aliases with commas, blanks around them, nothing else")
    func paths() {
        func parse(_ text: String?) -> [String]? { CascadePath.parse(text) { !$0.isEmpty && !$0.contains("<") } }
        #expect(parse(nil) == [])
        #expect(parse("a") == ["a"] && parse("a,b") == ["a", "b"] && parse(" a ,\tb ") == ["a", "b"])
        #expect(parse("") == nil && parse("a,,b") == nil && parse("<a>") == nil && parse("a,") == nil)
        #expect(parse(Array(repeating: "a", count: 32).joined(separator: ","))?.count == 32)
        #expect(parse(Array(repeating: "a", count: 33).joined(separator: ",")) == nil)
        #expect(parse(String(repeating: "a", count: 100_000)) == nil)
        #expect(parse(CascadePath.text(["x", "y"])) == ["x", "y"])
    }

    @Test("pauses double, stay within a quarter, and stop growing")
    func pauses() {
        let backOff = BackOff(firstMs: 400, longestMs: 8000)
        for (number, whole) in [(1, 400), (2, 800), (3, 1600), (5, 6400), (6, 8000), (1000, 8000), (0, 400), (-5, 400)] {
            for _ in 0..<50 {
                let pause = backOff.pauseMs(before: number)
                #expect((whole * 3 / 4...whole * 5 / 4).contains(pause), "\(number)")
            }
        }
    }

    @Test("what may be asked again")
    func transience() {
        for status in [404, 409, 429, 500, 502, 503] { #expect(CascadeError.refused(status: status, message: "").isTransient) }
        for status in [400, 401, 403, 415, 422, 508, 302] {
            #expect(!CascadeError.refused(status: status, message: "").isTransient)
        }
        #expect(CascadeError.unreachable("x").isTransient && CascadeError.local(.publisherExists).isTransient)
        #expect(!CascadeError.local(.loop("x")).isTransient && !CascadeError.local(.badAnswer(.malformed("x"))).isTransient)
    }

    @Test("a refusal's words: our JSON's, or the text, printable and short")
    func messages() {
        #expect(RemoteSession.message(Array(#"{"error": "full"}"#.utf8)) == "full")
        #expect(RemoteSession.message(Array("no\r\n\u{1B}[31mway".utf8)) == "no   [31mway")
        #expect(RemoteSession.message([UInt8](repeating: 65, count: 5000)).count == 300)
        #expect(RemoteSession.message([0xFF, 0xFE, 0x00]).utf8.allSatisfy { (0x20...0x7E).contains($0) })
        #expect(RemoteSession.message([]).isEmpty)
    }
}
