import Testing

@testable import HTTP

@Suite("HTTP/1.1 server (RFC 9112)", .timeLimit(.minutes(5)))
struct ServerTests {
    @Test("answers on a kept connection, with JSON errors")
    func basic() async throws {
        try await withServer { router in
            router.get("/hello/{name}", RouteDescription("greet")) { .text("hi \($0.parameter("name"))") }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send("GET /hello/a%20b?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            let first = await client.receive(until: "hi a b")
            #expect(first.hasPrefix("HTTP/1.1 200 OK\r\n") && first.contains("Content-Length: 6\r\n"))
            await client.send("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let second = await client.receiveAll()
            #expect(second.hasPrefix("HTTP/1.1 404") && second.hasSuffix("{\"error\":\"no such path\"}"))
        }
    }

    @Test("a body arrives whole", arguments: [0, 1, 1000, 300_000, 1_000_000])
    func echo(count: Int) async throws {
        try await withServer { router in
            router.post("/echo", RouteDescription("echo")) { request in
                .bytes(try await request.body.bytes(), contentType: "application/octet-stream")
            }
        } _: { server in
            let client = try RawClient(server.port)
            let body = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            await client.send("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(count)\r\n\r\n")
            await client.send(body)
            let answer = await client.receiveBytes()
            #expect(answer.count >= count && answer.suffix(count).elementsEqual(body))
        }
    }

    @Test("HTTP/1.0 gets a stream without chunks, ended by the close")
    func oldVersion() async throws {
        try await withServer { router in
            router.get("/stream", RouteDescription("stream")) { _ in .stream(contentType: "a/b") { try await $0.write("bytes") } }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send("GET /stream HTTP/1.0\r\n\r\n")
            let answer = await client.receiveAll()
            #expect(answer.hasSuffix("\r\n\r\nbytes") && !answer.contains("chunked"))
        }
    }

    @Test("a target in absolute form is its path")
    func absoluteForm() async throws {
        try await withServer { router in
            router.get("/a/{b}", RouteDescription("a")) { .text($0.parameter("b") + ($0.query.first("c") ?? "")) }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send("GET http://other.example/a/x?c=y HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n")
            #expect(await client.receiveAll().hasSuffix("\r\n\r\nxy"))
        }
    }

    @Test("a response field can't forge another")
    func fieldForgery() async throws {
        try await withServer { router in
            router.get("/forge", RouteDescription("forge")) { _ in
                .text("ok", headers: ["X-Bad": "a\r\nX-Forged: b", "X-Good": "c", "Content-Length": "999"])
            }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send("GET /forge HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let answer = await client.receiveAll()
            #expect(!answer.contains("X-Forged") && answer.contains("X-Good: c") && answer.contains("Content-Length: 2\r\n"))
        }
    }

    @Test("a body that the handler ignores doesn't spoil the connection")
    func ignoredBody() async throws {
        try await withServer { router in
            router.post("/ignore", RouteDescription("ignore")) { _ in .text("one") }
            router.get("/ok", RouteDescription("ok")) { _ in .text("two") }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send("POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            await client.send([UInt8](repeating: 65, count: 100_000))
            await client.send("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(await client.receive(until: "one").hasSuffix("one"))
            #expect(await client.receiveAll().hasSuffix("two"))
        }
    }

    @Test(
        "an empty host listens on all interfaces, a name on its address", arguments: [":0", "localhost:0", "[::]:0", "0.0.0.0:0"])
    func listening(listen: String) async throws {
        try await withServer(HTTPServerSettings(listen: listen)) { router in
            router.get("/address", RouteDescription("address")) { .text($0.remoteAddress) }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send("GET /address HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(await client.receiveAll().hasSuffix("\r\n\r\n127.0.0.1"))
        }
    }
}
