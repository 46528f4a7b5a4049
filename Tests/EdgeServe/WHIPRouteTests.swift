import HTTP
import SDP
import Testing

@testable import EdgeServe

@Suite("WHIP and WHEP over HTTP (RFC 9725 section 4)")
struct WHIPRouteTests {
    @Test("publish, watch, trickle, restart, end: statuses and headers")
    func wholeLife() async throws {
        try await TestNode.with { node in
            let local = TestOffer.local()
            let published = try await node.post("/whip/demo", sdp: TestOffer.publish([.opus, .h264], local))
            #expect(published.status == 201)
            #expect(published.headers["Content-Type"] == "application/sdp")
            #expect(published.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag")
            let location = try #require(published.headers["Location"])
            #expect(location.hasPrefix("/session/demo/") && !location.contains("?"))
            let etag = try #require(published.headers["ETag"])
            #expect(etag.hasPrefix("\"") && etag.hasSuffix("\""))
            #expect(try SessionDescription(parsing: published.body).media.map(\.port) == [9, 9])

            let watched = try await node.post("/whep/demo/", sdp: TestOffer.subscribe(), type: "Application/SDP; charset=utf-8")
            #expect(watched.status == 201)
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 409)

            let fragment = "a=ice-ufrag:\(local.ice.ufrag)\r\na=ice-pwd:\(local.ice.password)\r\n"
            let type = "application/trickle-ice-sdpfrag"
            for condition in [etag, "*"] {
                let trickled = try await node.send(
                    .patch, location, headers: ["Content-Type": type, "If-Match": condition], body: fragment)
                #expect(trickled.status == 204 && trickled.body.isEmpty && trickled.headers["ETag"] == nil)
            }
            let stale = try await node.send(
                .patch, location, headers: ["Content-Type": type, "If-Match": "\"old\""], body: fragment)
            #expect(stale.status == 412)
            #expect(
                try await node.send(.patch, location, headers: ["Content-Type": "application/sdp"], body: "v=0").status == 415)
            let other = "a=ice-ufrag:another1\r\na=ice-pwd:anotherPasswordOf22Chars\r\n"
            let restarted = try await node.send(.patch, location, headers: ["Content-Type": type, "If-Match": "*"], body: other)
            #expect(restarted.status == 200 && restarted.headers["ETag"] != etag)
            #expect(restarted.headers["Content-Type"] == type)

            #expect(try await node.send(.get, location).status == 204)
            #expect(try await node.send(.get, location + "/layer").status == 409)
            #expect(try await node.send(.delete, location).status == 200)
            #expect(try await node.send(.delete, location).status == 404)
            #expect(try await node.send(.patch, location, headers: ["Content-Type": type], body: fragment).status == 404)
        }
    }

    @Test("who was sent here by a coordinator is told the session's whole URL", arguments: ["via=1", "grant=x"])
    func sentHere(query: String) async throws {
        try await TestNode.with("[node]\nurl = \"http://edge.example:7777\"\n") { node in
            let published = try await node.post("/whip/demo?\(query)", sdp: TestOffer.publish())
            #expect(published.status == 201)
            #expect(published.headers["Location"]?.hasPrefix("http://edge.example:7777/session/demo/") == true)
        }
    }

    @Test("what is refused, and how")
    func refusals() async throws {
        try await TestNode.with("[http]\nmax_body = 65536\n") { node in
            let offer = TestOffer.publish()
            #expect(try await node.post("/whip/.hidden", sdp: offer).status == 400)
            #expect(try await node.post("/whip/a%2fb", sdp: offer).status == 400)
            #expect(try await node.post("/whip/a%00b", sdp: offer).status == 400)
            #expect(try await node.post("/whip/demo", sdp: "v=0 and so on").status == 400)
            #expect(try await node.post("/whip/demo", sdp: "").status == 400)
            #expect(try await node.post("/whip/demo", sdp: offer, type: "text/plain").status == 415)
            #expect(try await node.post("/whip/demo", sdp: String(repeating: "a", count: 65537)).status == 413)
            #expect(try await node.post("/whip/demo", sdp: TestOffer.subscribe()).status == 422)
            #expect(
                try await node.post("/whip/demo", sdp: TestOffer.publish([Codec(name: "H263", clockRate: 90000)])).status == 422)
            let unknown = try await node.post("/whep/none", sdp: TestOffer.subscribe())
            #expect(unknown.status == 404 && unknown.body == #"{"error":"no such stream"}"#)
            let put = try await node.send(.put, "/whip/demo")
            #expect(put.status == 405 && put.headers["Allow"]?.contains("POST") == true)
            #expect(try await node.send(.delete, "/session/demo/x").status == 404)
            #expect(try await node.send(.delete, "/session/demo/%2e%2e").status == 400)
        }
    }

    @Test("OPTIONS, HEAD and cross-origin headers")
    func options() async throws {
        try await TestNode.with("[http]\ncors = true\n") { node in
            let plain = try await node.send(.options, "/whip/demo")
            #expect(plain.status == 204 && plain.headers["Accept-Post"] == "application/sdp")
            #expect(plain.headers["Access-Control-Allow-Methods"]?.contains("PATCH") == true)
            let preflight = try await node.send(
                .options, "/whip/demo", headers: ["Origin": "https://example.org", "Access-Control-Request-Method": "POST"])
            #expect((200...204).contains(preflight.status) && preflight.headers["Access-Control-Allow-Origin"] == "*")
            #expect(preflight.headers["Access-Control-Allow-Headers"]?.contains("Authorization") == true)
            let refused = try await node.post("/whep/none", sdp: TestOffer.subscribe())
            #expect(refused.headers["Access-Control-Expose-Headers"]?.contains("Location") == true)
            let head = try await node.send(.head, "/whep/demo")
            #expect(head.status == 200 && head.headers["Content-Type"] == "application/sdp")
            #expect(try await node.send(.get, "/whip/demo").status == 204)
        }
    }

    @Test("with a list of origins, others' pages are told nothing")
    func origins() async throws {
        try await TestNode.with("[http]\ncors = [\"https://a.example\"]\n") { node in
            for (origin, allowed) in [("https://a.example", "https://a.example"), ("https://b.example", nil)] {
                let answer = try await node.send(.get, "/api/streams", headers: ["Origin": origin])
                #expect(answer.status == 200 && answer.headers["Vary"] == "Origin")
                #expect(answer.headers["Access-Control-Allow-Origin"] == allowed)
            }
        }
    }

    @Test("ICE servers are told in the exact form that players match")
    func links() async throws {
        let toml = """
            [[webrtc.ice_servers]]
            urls = ["stun:stun.example.org:3478"]
            [[webrtc.ice_servers]]
            urls = ["turn:turn.example.org:3478?transport=udp"]
            username = "u"
            credential = "p\\"w"
            [webrtc.coturn]
            urls = ["turn:coturn.example.org"]
            secret = "north"
            """
        try await TestNode.with(toml) { node in
            let links = try await node.post("/whip/demo", sdp: TestOffer.publish()).headers.all("Link")
            #expect(links.last?.hasPrefix(#"<turn:coturn.example.org>; rel="ice-server"; username=""#) == true)
            #expect(links.last?.contains(#":demo"; credential=""#) == true)
            #expect(
                links.dropLast() == [
                    #"<stun:stun.example.org:3478>; rel="ice-server""#,
                    #"<turn:turn.example.org:3478?transport=udp>; rel="ice-server"; username="u"; credential="p\"w"; credential-type="password""#,
                ])
        }
    }

    @Test("with credentials set: 401 with a challenge, 403, and the session's URL as the right to it")
    func authorization() async throws {
        let toml = """
            [auth]
            tokens = ["all"]
            room_tokens = { demo = "room", other = "elsewhere" }
            """
        try await TestNode.with(toml) { node in
            let missing = try await node.post("/whip/demo", sdp: TestOffer.publish())
            #expect(missing.status == 401 && missing.headers["WWW-Authenticate"] == "Bearer")
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish(), token: "wrong").status == 401)
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish(), token: "elsewhere").status == 403)
            #expect(try await node.post("/whip/demo", sdp: "not looked at", token: "wrong").status == 401)
            let first = try await node.post("/whip/demo", sdp: TestOffer.publish(), token: "room")
            #expect(first.status == 201)
            // The same credential comes back after a broken connection; another one has to wait.
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish(), token: "all").status == 409)
            let second = try await node.post("/whip/demo", sdp: TestOffer.publish(), token: "room")
            #expect(second.status == 201)
            let location = try #require(second.headers["Location"])
            #expect(try await node.send(.delete, location, headers: ["Authorization": "Bearer elsewhere"]).status == 403)
            #expect(try await node.send(.delete, location, headers: ["Authorization": "Bearer wrong"]).status == 401)
            #expect(try await node.send(.delete, location).status == 200)
            for path in ["/api/streams", "/api/sse/streams", "/api/streams/demo"] {
                #expect(try await node.send(.get, path).status == 401)
            }
            for path in ["/healthz", "/metrics"] { #expect(try await node.send(.get, path).status == 200) }
        }
    }

    @Test("a stream's own token does not show whose sessions there are: their ids are the right to end them")
    func sessionIDs() async throws {
        let toml = """
            [auth]
            tokens = ["all"]
            room_tokens = { demo = "room" }
            """
        try await TestNode.with(toml) { node in
            let location = try #require(
                try await node.post("/whip/demo", sdp: TestOffer.publish(), token: "all").headers["Location"])
            let id = try #require(location.split(separator: "/").last)
            let shown = try await node.send(.get, "/api/streams/demo", headers: ["Authorization": "Bearer room"])
            #expect(shown.status == 200 && !shown.body.contains(id) && shown.body.contains(id.prefix(8)))
            let whole = try await node.send(.get, "/api/streams/demo", headers: ["Authorization": "Bearer all"])
            #expect(whole.body.contains(id))
        }
    }

    @Test("an account logs in and the token it gets publishes; narrower tokens come from it")
    func login() async throws {
        let toml = """
            [auth]
            secret = "a secret of enough length for HS256"
            [[auth.accounts]]
            username = "anna"
            password = "correct horse"
            """
        try await TestNode.with(toml) { node in
            let json: HTTPHeaders = ["Content-Type": "application/json"]
            func token(_ answer: TestNode.Answer) -> String? {
                answer.body.firstMatch(of: /"access_token":"([^"]+)"/).map { String($0.output.1) }
            }
            let wrong = try await node.send(
                .post, "/api/login", headers: json, body: #"{"username":"anna","password":"x"}"#)
            #expect(wrong.status == 401)
            #expect(try await node.send(.post, "/api/login", headers: json, body: "{").status == 400)
            let right = try await node.send(
                .post, "/api/login", headers: json, body: #"{"username":"anna","password":"correct horse"}"#)
            let whole = try #require(token(right))
            let request = #"{"id":"demo","duration":60,"subscribe":true}"#
            #expect(try await node.send(.post, "/api/token", headers: json, body: request).status == 401)
            let minted = try await node.send(
                .post, "/api/token", headers: ["Content-Type": "application/json", "Authorization": "Bearer \(whole)"],
                body: request)
            let narrow = try #require(token(minted))
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish(), token: narrow).status == 403)
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish(), token: whole).status == 201)
            #expect(try await node.post("/whep/demo", sdp: TestOffer.subscribe(), token: narrow).status == 201)
        }
    }

    @Test(
        "a session outlives the token that opened it, and who showed that token keeps the right to change and end it",
        .timeLimit(.minutes(5)))
    func expiry() async throws {
        try await TestNode.with("[auth]\ntokens = [\"all\"]\nsecret = \"0123456789abcdef0123456789abcdef\"\n") { node in
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish(), token: "all").status == 201)
            // A token ends with a second of the wall clock, which may be at once.
            var (brief, opened): (String, TestNode.Answer)
            repeat {
                let minted = try await node.send(
                    .post, "/api/token", headers: ["Content-Type": "application/json", "Authorization": "Bearer all"],
                    body: #"{"id":"demo","duration":1,"subscribe":true}"#)
                brief = try #require(minted.body.firstMatch(of: /"access_token":"([^"]+)"/).map { String($0.output.1) })
                opened = try await node.post("/whep/demo", sdp: TestOffer.subscribe(), token: brief)
            } while opened.status == 401 && !Task.isCancelled
            #expect(opened.status == 201)
            let location = try #require(opened.headers["Location"])
            let shown: HTTPHeaders = ["Authorization": "Bearer \(brief)"]
            while try await node.send(.get, "/whep/demo", headers: shown).status == 204, !Task.isCancelled {}
            #expect(try await node.send(.get, "/whep/demo", headers: shown).status == 401)
            #expect(try await node.send(.get, location, headers: shown).status == 204)
            #expect(try await node.send(.delete, location, headers: shown).status == 200)
            #expect(try await node.send(.get, location, headers: shown).status == 404)
        }
    }

    @Test(
        "one client's sessions are capped with 429 and Retry-After, before the offer is read, whoever passes its requests on",
        arguments: [
            ("[http]\ntrusted_proxies = [\"127.0.0.1\"]\n", [:]),
            ("[auth]\ntokens = [\"all\"]\n", ["Authorization": "Bearer all"]),
        ] as [(String, HTTPHeaders)])
    func capped(toml: String, credentials: HTTPHeaders) async throws {
        try await TestNode.with(toml + "[limits]\nmax_sessions_per_address = 1\nmax_sessions_per_token = 4\n") { node in
            func post(_ stream: String, for address: String?, _ sdp: String = TestOffer.publish()) async throws -> TestNode.Answer
            {
                var headers = credentials
                headers["Content-Type"] = "application/sdp"
                headers["X-Forwarded-For"] = address
                return try await node.send(.post, "/whip/\(stream)", headers: headers, body: sdp)
            }
            #expect(try await post("one", for: "192.0.2.1").status == 201)
            let second = try await post("two", for: "192.0.2.1", "not SDP")
            #expect(second.status == 429 && Int(second.headers["Retry-After"] ?? "") ?? 0 > 0)
            #expect(try await post("two", for: "192.0.2.2").status == 201)
            // From this machine, for nobody else: not counted by address.
            #expect(try await post("three", for: nil).status == 201)
            #expect(try await post("four", for: nil).status == 201)
            let fifth = try await post("five", for: nil)
            #expect(fifth.status == (credentials.count > 0 ? 429 : 201))
        }
    }

    @Test("a list that is passed on is nobody's address, whatever it begins with: who passes it on is counted")
    func toldList() async throws {
        let toml = """
            [http]
            trusted_proxies = ["127.0.0.1"]
            [auth]
            tokens = ["all"]
            [limits]
            max_sessions_per_address = 1
            """
        try await TestNode.with(toml) { node in
            let headers: HTTPHeaders = [
                "Content-Type": "application/sdp", "Authorization": "Bearer all", "X-Forwarded-For": "127.0.0.1, 203.0.113.9",
            ]
            for (stream, status) in [("one", 201), ("two", 429)] {
                let answer = try await node.send(.post, "/whip/\(stream)", headers: headers, body: TestOffer.publish())
                #expect(answer.status == status)
            }
        }
    }

    @Test("limits of the configuration answer 503 with Retry-After and 403")
    func limits() async throws {
        try await TestNode.with("[node]\npub_max = 1\n[limits]\nmax_subs_per_stream = 1\n") { node in
            #expect(try await node.post("/whip/one", sdp: TestOffer.publish()).status == 201)
            let full = try await node.post("/whip/two", sdp: TestOffer.publish())
            #expect(full.status == 503 && Int(full.headers["Retry-After"] ?? "") ?? 0 > 0)
            #expect(try await node.post("/whep/one", sdp: TestOffer.subscribe()).status == 201)
            #expect(try await node.post("/whep/one", sdp: TestOffer.subscribe()).status == 403)
        }
    }

    @Test("too many requests of one address get 429, health excepted")
    func rate() async throws {
        try await TestNode.with("[limits]\nrate_rps = 0.001\nrate_burst = 2\n") { node in
            let statuses = [
                try await node.send(.get, "/api/info").status, try await node.send(.get, "/api/info").status,
                try await node.send(.get, "/api/info").status,
            ]
            #expect(statuses == [200, 200, 429])
            #expect(try await node.send(.get, "/healthz").status == 200)
        }
    }
}
