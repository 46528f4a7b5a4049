import Testing

@testable import HTTP

@Suite("One body for many answers", .timeLimit(.minutes(5)))
struct SharedBodyTests {
    private static let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

    private func withBody(_ body: SharedBody, _ test: (HTTPServer, HTTPClient) async throws -> Void) async throws {
        let client = HTTPClient()
        try await withServer { router in
            router.get("/body", RouteDescription("body")) { _ in
                HTTPResponse(.ok, headers: ["ETag": "\"b\"", "Content-Type": "video/mp4"], body: .shared(body, owner: nil))
            }
        } _: { server in
            try await test(server, client)
        }
        await client.shutdown()
    }

    private func get(_ server: HTTPServer, _ client: HTTPClient, _ headers: HTTPHeaders = [:]) async throws -> HTTPClientResponse
    {
        try await client.send(HTTPClientRequest(.get, server.url + "/body", headers: headers))
    }

    @Test("answers that begin before, while and after it fills are whole")
    func filling() async throws {
        let body = SharedBody(count: Self.bytes.count)
        try await withBody(body) { server, client in
            var answers: [HTTPClientResponse] = []
            var rest = Self.bytes[...]
            while !rest.isEmpty {
                for _ in 0..<10 { answers.append(try await get(server, client)) }
                #expect(body.append(Array(rest.prefix(100_000))))
                rest = rest.dropFirst(100_000)
            }
            #expect(body.isComplete && !body.append([1]))
            answers.append(try await get(server, client))
            for answer in answers {
                #expect(answer.headers["Content-Length"] == "300000" && answer.headers["ETag"] == "\"b\"")
                #expect(try await answer.collect() == Self.bytes)
            }
        }
    }

    @Test("ranges and conditions, while it fills and afterwards", arguments: [true, false])
    func conditional(isComplete: Bool) async throws {
        let body = SharedBody(count: Self.bytes.count)
        body.append(Array(Self.bytes[..<100_000]))
        if isComplete { body.append(Array(Self.bytes[100_000...])) }
        try await withBody(body) { server, client in
            let parts = [("bytes=0-9", 0..<10), ("bytes=150000-150009", 150_000..<150_010), ("bytes=-5", 299_995..<300_000)]
            var answers: [(HTTPClientResponse, Range<Int>)] = []
            for (header, range) in parts { answers.append((try await get(server, client, ["Range": header]), range)) }
            if !isComplete { body.append(Array(Self.bytes[100_000...])) }
            for (answer, range) in answers {
                #expect(answer.status == .partialContent)
                #expect(answer.headers["Content-Range"] == "bytes \(range.lowerBound)-\(range.upperBound - 1)/300000")
                #expect(try await answer.collect() == Array(Self.bytes[range]))
            }
            #expect(try await get(server, client, ["Range": "bytes=300000-"]).status == .rangeNotSatisfiable)
            #expect(try await get(server, client, ["If-None-Match": "\"b\""]).status == .notModified)
            let head = try await client.send(HTTPClientRequest(.head, server.url + "/body"))
            #expect(head.headers["Content-Length"] == "300000")
        }
    }

    @Test("one that fails breaks the answers it is in, and a reader that does not read holds nobody back")
    func failing() async throws {
        let body = SharedBody(count: 8 << 20)
        try await withBody(body) { server, client in
            let slow = try await get(server, client)
            let quick = try await get(server, client)
            body.append([UInt8](repeating: 7, count: 4 << 20))
            var count = 0
            while count < 4 << 20, let chunk = try await quick.body.next() { count += chunk.count }
            #expect(count == 4 << 20)
            body.fail()
            await #expect(throws: HTTPClientError.self) { _ = try await quick.body.next() }
            await #expect(throws: HTTPClientError.self) { _ = try await slow.collect(limit: 16 << 20) }
        }
    }

    @Test("a server stops at once while an answer waits for more")
    func stopping() async throws {
        var settings = HTTPServerSettings()
        settings.stopSeconds = 0
        var router = Router()
        let body = SharedBody(count: 10)
        router.get("/body", RouteDescription("body")) { _ in HTTPResponse(.ok, body: .shared(body, owner: nil)) }
        let server = try HTTPServer(settings, router: router)
        try server.start()
        let client = HTTPClient()
        body.append([1])
        let answer = try await client.send(HTTPClientRequest(.get, server.url + "/body"))
        #expect(try await answer.body.next() == [1])
        await server.stop()
        await #expect(throws: HTTPClientError.self) { _ = try await answer.body.next() }
        body.append([2])
    }

    @Test("its owner is let go when the answer has been sent")
    func owner() async throws {
        final class Owner: Sendable {
            let end: @Sendable () -> Void
            init(_ end: @escaping @Sendable () -> Void) { self.end = end }
            deinit { end() }
        }
        let ended = Locked(0)
        let client = HTTPClient()
        try await withServer { router in
            router.get("/body", RouteDescription("body")) { _ in
                let owner = Owner { ended.withLock { $0 += 1 } }
                return HTTPResponse(.ok, headers: ["ETag": "\"b\""], body: .shared(SharedBody([1, 2]), owner: owner))
            }
        } _: { server in
            #expect(try await client.send(HTTPClientRequest(.get, server.url + "/body")).collect() == [1, 2])
            let known = HTTPClientRequest(.get, server.url + "/body", headers: ["If-None-Match": "\"b\""])
            #expect(try await client.send(known).status == .notModified)
            _ = try await client.send(HTTPClientRequest(.head, server.url + "/body"))
        }
        #expect(ended.withLock { $0 } == 3)
    }
}
