import Testing

@testable import HTTP

@Suite("Hostile clients (RFC 9112 section 11)", .serialized, .timeLimit(.minutes(5)))
struct HostileTests {
    private func echoServer(
        _ settings: HTTPServerSettings = HTTPServerSettings(), _ body: (HTTPServer) async throws -> Void
    ) async throws {
        try await withServer(settings) { router in
            router.get("/ok", RouteDescription("ok")) { _ in .text("fine") }
            router.get("/object/{path*}", RouteDescription("object")) { .text($0.parameter("path")) }
            router.post("/echo", RouteDescription("echo")) { request in
                .bytes(try await request.body.bytes(), contentType: "application/octet-stream")
            }
        } _: { server in
            try await body(server)
            // Whatever was sent, the server still answers.
            let client = try RawClient(server.port)
            await client.send("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(await client.receiveAll().hasSuffix("fine"))
        }
    }

    static let refused: [(String, String)] = [
        ("two lengths", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        (
            "length and chunked",
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        ("signed length", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc"),
        ("no host", "GET /ok HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET /ok HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("NUL in the target", "GET /ok\0.mp4 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("bad chunk size", "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"),
        ("encoded dots", "GET /object/%2e%2e%2fetc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("plain dots", "GET /object/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute path", "GET /object//etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("encoded NUL", "GET /object/a%00b HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("not UTF-8", "GET /object/%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("cut escape", "GET /object/a%2 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("bad query", "GET /ok?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]

    @Test("is refused with 400", arguments: refused.map(\.0))
    func badRequest(name: String) async throws {
        let bytes = try #require(Self.refused.first { $0.0 == name }).1
        try await echoServer { server in
            let client = try RawClient(server.port)
            await client.send(bytes)
            client.closeWriting()
            #expect(await client.receiveAll().hasPrefix("HTTP/1.1 400"), "\(name)")
        }
    }

    @Test("an unknown transfer coding is 501")
    func coding() async throws {
        try await echoServer { server in
            let client = try RawClient(server.port)
            await client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
            #expect(await client.receiveAll().hasPrefix("HTTP/1.1 501"))
        }
    }

    @Test("a header over the limit is 431, a target over it 414")
    func hugeHeader() async throws {
        try await echoServer { server in
            let client = try RawClient(server.port)
            await client.send("GET /ok HTTP/1.1\r\nHost: x\r\nA: " + String(repeating: "a", count: 100_000) + "\r\n\r\n")
            #expect(await client.receiveAll().hasPrefix("HTTP/1.1 431"))
            let second = try RawClient(server.port)
            await second.send("GET /" + String(repeating: "a", count: 100_000) + " HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await second.receiveAll().hasPrefix("HTTP/1.1 414"))
        }
    }

    @Test(
        "what a page of another origin can make too long is refused where it can read it",
        arguments: [CORS.any, .origins(["https://a.example"])], ["header", "target"])
    func readableRefusal(cors: CORS, what: String) async throws {
        var settings = HTTPServerSettings()
        settings.cors = cors
        let long = String(repeating: "a", count: 22_500)
        try await echoServer(settings) { server in
            let client = try RawClient(server.port)
            let (target, field) = what == "target" ? ("/\(long)", "A: b") : ("/ok", "Authorization: \(long)")
            await client.send("GET \(target) HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\(field)\r\n\r\n")
            let answer = await client.receiveAll()
            let allowed = cors == .any ? "*" : "https://a.example"
            #expect(answer.hasPrefix("HTTP/1.1 \(what == "target" ? 414 : 431)") && answer.contains("{\"error\":"))
            #expect(answer.contains("Access-Control-Allow-Origin: \(allowed)\r\n"))
        }
    }

    @Test(
        "a header is waited for as long on a connection that was used before, from its first byte on",
        arguments: ["G", "GET /ok HTTP/1.1\r\nHost: x\r\nA: "])
    func slowSecondHeader(start: String) async throws {
        var settings = HTTPServerSettings()
        settings.headerSeconds = 1
        try await echoServer(settings) { server in
            let client = try RawClient(server.port)
            await client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await client.receive(until: "fine").hasSuffix("fine"))
            await client.send(start)
            let trickle = Task {
                while await client.send("a") { try await Task.sleep(for: .milliseconds(100)) }
            }
            // The idle limit alone would be 60 s, longer than the client waits.
            #expect(await client.receiveAll() == "" && !client.hasTimedOut)
            trickle.cancel()
        }
    }

    @Test("between two requests a client may be silent for longer than a header may take")
    func idle() async throws {
        var settings = HTTPServerSettings()
        settings.headerSeconds = 1
        try await echoServer(settings) { server in
            let client = try RawClient(server.port)
            for _ in 0..<2 {
                await client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(await client.receive(until: "fine").hasSuffix("fine"))
                try await Task.sleep(for: .milliseconds(1_700))
            }
        }
    }

    @Test("a body one byte over the limit is 413, whether its length was told or not", arguments: [true, false])
    func tooLong(isDeclared: Bool) async throws {
        try await echoServer { server in
            let client = try RawClient(server.port)
            let count = (1 << 20) + 1
            let body = [UInt8](repeating: 7, count: count)
            if isDeclared {
                // The whole body is sent before anything is read: the answer must survive that.
                await client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: \(count)\r\n\r\n")
                await client.send(body)
            } else {
                await client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
                await client.send(Array("\(String(count, radix: 16))\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8))
            }
            let answer = await client.receiveAll()
            #expect(answer.hasPrefix("HTTP/1.1 413") && answer.contains("{\"error\":"))
        }
    }

    @Test("413 comes before the body, and without 100 Continue")
    func earlyRefusal() async throws {
        try await echoServer { server in
            let client = try RawClient(server.port)
            await client.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
            #expect(await client.receiveAll().hasPrefix("HTTP/1.1 413"))
        }
    }

    @Test("100 Continue comes when the handler reads")
    func expectation() async throws {
        try await echoServer { server in
            let client = try RawClient(server.port)
            await client.send(
                "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 3\r\n\r\n")
            #expect(await client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100"))
            await client.send("abc")
            let answer = await client.receiveAll()
            #expect(answer.hasPrefix("HTTP/1.1 200") && answer.hasSuffix("abc"))
        }
    }

    @Test("pipelined requests are answered in order")
    func pipelining() async throws {
        try await echoServer { server in
            let client = try RawClient(server.port)
            var requests = ""
            for index in 0..<20 { requests += "GET /object/n\(index) HTTP/1.1\r\nHost: x\r\n\r\n" }
            requests +=
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nlastGET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            await client.send(requests)
            let answer = await client.receiveAll()
            let bodies = answer.split(separator: "HTTP/1.1 200 OK").map { $0.split(separator: "\r\n\r\n").last ?? "" }
            #expect(bodies == (0..<20).map { "n\($0)" } + ["last", "fine"])
        }
    }

    @Test("a header that trickles in is cut off")
    func slowHeader() async throws {
        var settings = HTTPServerSettings()
        settings.headerSeconds = 1
        try await echoServer(settings) { server in
            let client = try RawClient(server.port)
            await client.send("GET /ok HTTP/1.1\r\nHost: x\r\nA: ")
            // A byte now and then keeps the library's own idle time-out from passing; the end of the stream proves ours did.
            let trickle = Task {
                while await client.send("a") { try await Task.sleep(for: .milliseconds(100)) }
            }
            #expect(await client.receiveAll() == "")
            trickle.cancel()
        }
    }

    @Test("the start of a request behind a half-closed connection is not waited for")
    func halfClosed() async throws {
        try await echoServer { server in
            let client = try RawClient(server.port)
            await client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\nGET /o")
            client.closeWriting()
            #expect(await client.receiveAll().hasSuffix("fine"))
            // The end must come from the server, before its idle limit of 60 s and the client's own of 50 s.
            #expect(!client.hasTimedOut)
        }
    }

    @Test("a body that trickles in is cut off")
    func slowBody() async throws {
        var settings = HTTPServerSettings()
        settings.bodySeconds = 1
        try await echoServer(settings) { server in
            let client = try RawClient(server.port)
            await client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            let trickle = Task {
                while await client.send("a") { try await Task.sleep(for: .milliseconds(100)) }
            }
            #expect(await client.receiveAll() == "")
            trickle.cancel()
        }
    }

    @Test("a client that vanishes in its body ends the handler")
    func vanishing() async throws {
        let (began, failed) = (AsyncStream<Void>.makeStream(), AsyncStream<Bool>.makeStream())
        try await withServer { router in
            router.post("/sink", RouteDescription("sink")) { request in
                began.continuation.yield()
                do {
                    for try await _ in request.body.chunks {}
                    failed.continuation.yield(false)
                } catch {
                    failed.continuation.yield(true)
                }
                return HTTPResponse(.noContent)
            }
        } _: { server in
            do {
                let client = try RawClient(server.port)
                await client.send("POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc")
                // A reset that overtakes the request would destroy it before the server sees it.
                var iterator = began.stream.makeAsyncIterator()
                await iterator.next()
                client.reset()
            }
            var outcomes = failed.stream.makeAsyncIterator()
            #expect(await outcomes.next() == true)
        }
    }

    @Test("random damage to requests never stops the server", arguments: 0..<8)
    func fuzz(seed: Int) async throws {
        let samples =
            Self.refused.map(\.1) + [
                "GET /ok HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ]
        var random = Mutator(seed: UInt64(seed))
        try await echoServer { server in
            for _ in 0..<40 {
                let bytes = random.mutate(Array(samples[random.next(below: samples.count)].utf8))
                let client = try RawClient(server.port)
                await client.send(bytes)
                client.closeWriting()
                _ = await client.receiveAll()
                #expect(!client.hasTimedOut, "\(bytes)")
            }
        }
    }
}
