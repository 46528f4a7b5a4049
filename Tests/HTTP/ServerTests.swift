import Testing

@testable import HTTP

@Suite("HTTP/1.1 server (RFC 9112)", .timeLimit(.minutes(2)))
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
}
