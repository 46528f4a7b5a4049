import Testing

@testable import HTTP

@Suite("Server-sent events (WHATWG HTML section 9.2)", .timeLimit(.minutes(5)))
struct EventTests {
    static let vectors: [(String, [ServerSentEvent])] = [
        ("data: a\n\n", [ServerSentEvent(data: "a")]),
        ("data:a\ndata: b\ndata\n\n", [ServerSentEvent(data: "a\nb\n")]),
        ("\u{FEFF}event: node\r\ndata: {}\r\n\r\n", [ServerSentEvent(event: "node", data: "{}")]),
        ("data: a\r\rdata: b\r\r", [ServerSentEvent(data: "a"), ServerSentEvent(data: "b")]),
        (": comment\n\nevent: only\n\ndata: x\n\n", [ServerSentEvent(data: "x")]),
        ("id: 7\ndata: a\n\ndata: b\n\n", [ServerSentEvent(data: "a", id: "7"), ServerSentEvent(data: "b", id: "7")]),
        ("id: 7\nid: \0\ndata: a\n\n", [ServerSentEvent(data: "a", id: "7")]),
        ("data:  two\nunknown: z\n\n", [ServerSentEvent(data: " two")]),
        ("data: cut", []), ("data\n\n", [ServerSentEvent(data: "")]), ("", []),
    ]

    @Test("vectors, whole and one byte at a time", arguments: 0..<11)
    func parse(index: Int) throws {
        let (text, expected) = Self.vectors[index]
        var whole = ServerSentEventParser()
        #expect(try whole.push(text.utf8) == expected)
        var drip = ServerSentEventParser()
        let dripped = try text.utf8.flatMap { try drip.push([$0]) }
        #expect(dripped == expected)
    }

    @Test("what is encoded is read back", arguments: ["a", "", "a\nb", "\n", "x\r\ny", " lead", "üñí", "data: a"])
    func roundTrip(data: String) throws {
        var parser = ServerSentEventParser()
        let event = ServerSentEvent(event: "k", data: data, id: "1")
        let expected = ServerSentEvent(event: "k", data: data.replacing("\r\n", with: "\n"), id: "1")
        #expect(try parser.push(event.encoded) == [expected])
    }

    @Test("an event name can't forge a field")
    func forgery() throws {
        var parser = ServerSentEventParser()
        let events = try parser.push(ServerSentEvent(event: "a\ndata: forged", data: "b").encoded)
        #expect(events == [ServerSentEvent(event: "adata: forged", data: "b")])
    }

    @Test("retry is read, a line that never ends is refused")
    func limits() throws {
        var parser = ServerSentEventParser(limit: 10)
        _ = try parser.push("retry: 15\n".utf8)
        #expect(parser.retryMs == 15)
        #expect(throws: ServerSentEventParser.TooLong(limit: 10)) { try parser.push("data: 0123456789".utf8) }
        var many = ServerSentEventParser(limit: 10)
        #expect(throws: ServerSentEventParser.TooLong(limit: 10)) {
            try many.push("data:01\ndata:23\ndata:45\ndata:67\ndata:89\n".utf8)
        }
    }

    @Test("any bytes give events or an error", arguments: 0..<20)
    func fuzz(seed: Int) {
        var random = Mutator(seed: UInt64(seed))
        for _ in 0..<200 {
            var parser = ServerSentEventParser(limit: 64)
            let bytes = random.mutate(Array(Self.vectors[random.next(below: Self.vectors.count)].0.utf8))
            do throws(ServerSentEventParser.TooLong) {
                for event in try parser.push(bytes) { #expect(event.data.utf8.count <= 3 * 64) }
            } catch {
                #expect(error.limit == 64)
            }
        }
    }

    @Test("events arrive as they are sent; the client's going ends the handler")
    func live() async throws {
        let client = HTTPClient()
        let (steps, ended) = (AsyncStream<Int>.makeStream(), AsyncStream<Bool>.makeStream())
        try await withServer { router in
            router.get("/events", RouteDescription("events")) { _ in
                .serverSentEvents { sink in
                    defer { ended.continuation.yield(Task.isCancelled) }
                    try await sink.send(event: "hello", data: "0")
                    for await step in steps.stream { try await sink.send(data: "\(step)") }
                }
            }
        } _: { server in
            let reader = Task {
                var got: [String] = []
                for try await event in client.events(server.url + "/events") {
                    got.append(event.data)
                    // The next is only sent when this one has come: nothing waits in a buffer.
                    steps.continuation.yield(got.count)
                    if got.count == 5 { break }
                }
                return got
            }
            let got = try await reader.value
            #expect(got == ["0", "1", "2", "3", "4"])
            var iterator = ended.stream.makeAsyncIterator()
            #expect(await iterator.next() == true)
        }
    }

    @Test("a comment keeps an idle stream alive")
    func keepAlive() async throws {
        try await withServer { router in
            router.get("/events", RouteDescription("events")) { _ in
                .serverSentEvents(keepAliveSeconds: 1) { _ in try await Task.sleep(for: .seconds(600)) }
            }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            let text = await client.receive(until: ": \n\n")
            #expect(text.contains("text/event-stream") && text.contains(": \n\n"))
        }
    }

    @Test("an answer that is no event stream is an error")
    func wrongAnswer() async throws {
        let client = HTTPClient()
        try await withServer { router in
            router.get("/text", RouteDescription("text")) { _ in .text("hi") }
        } _: { server in
            for (path, expected) in [
                ("/text", HTTPClientError.broken("the answer is no event stream")), ("/none", .status(.notFound)),
            ] {
                await #expect(throws: expected) { for try await _ in client.events(server.url + path) {} }
            }
        }
    }

    @Test("a silent stream times out")
    func silence() async throws {
        let client = HTTPClient()
        try await withServer { router in
            router.get("/events", RouteDescription("events")) { _ in
                .serverSentEvents { _ in try await Task.sleep(for: .seconds(600)) }
            }
        } _: { server in
            await #expect(throws: HTTPClientError.timedOut) {
                for try await _ in client.events(server.url + "/events", idleSeconds: 1) {}
            }
        }
    }
}
