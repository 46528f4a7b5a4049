import Testing

@testable import HTTP

@Suite("HTTP client and server together (RFC 9110)", .timeLimit(.minutes(5)))
struct ClientTests {
    private let client = HTTPClient()

    private func withEcho(_ settings: HTTPServerSettings = HTTPServerSettings(), _ body: (HTTPServer) async throws -> Void)
        async throws
    {
        try await withServer(settings) { router in
            let echo: Router.Handler = { request in
                .bytes(
                    try await request.body.bytes(limit: 4 << 20), contentType: "application/octet-stream",
                    headers: ["X-Method": request.method.rawValue, "X-Type": request.headers["Content-Type"] ?? "none"])
            }
            for method in [HTTPMethod.get, .post, .put, .patch, .delete] {
                router.on(method, "/echo", RouteDescription("echo"), echo)
            }
            router.get("/error", RouteDescription("error")) { _ in throw HTTPError(.conflict, "taken") }
            router.get("/away", RouteDescription("redirect")) { _ in .redirect(to: "/echo") }
            router.get("/address", RouteDescription("address")) { .text($0.remoteAddress) }
        } _: {
            try await body($0)
        }
    }

    @Test("every method, with and without a body", arguments: [HTTPMethod.get, .post, .put, .patch, .delete, .head])
    func methods(method: HTTPMethod) async throws {
        try await withEcho { server in
            let empty = try await client.send(HTTPClientRequest(method, server.url + "/echo"))
            #expect(empty.status == .ok && empty.headers["x-method"] == method.rawValue && empty.headers["X-Type"] == "none")
            #expect(try await empty.collect() == [])
            guard method != .head, method != .get else { return }
            let full = try await client.send(
                HTTPClientRequest(
                    method, server.url + "/echo", headers: ["Content-Type": "a/b"], body: .bytes(Array("hello".utf8))))
            #expect(full.headers["X-Type"] == "a/b")
            #expect(try await full.collect() == Array("hello".utf8))
        }
    }

    @Test("statuses are answers, redirects are followed only when asked")
    func statuses() async throws {
        try await withEcho { server in
            let error = try await client.send(HTTPClientRequest(.get, server.url + "/error"))
            #expect(error.status == .conflict)
            #expect(try await error.json([String: String].self) == ["error": "taken"])
            var request = HTTPClientRequest(.get, server.url + "/away")
            #expect(try await client.send(request).status == .temporaryRedirect)
            request.redirects = 1
            #expect(try await client.send(request).status == .ok)
            #expect(try await client.send(HTTPClientRequest(.get, server.url + "/address")).collect() == Array("127.0.0.1".utf8))
        }
    }

    @Test("1,000 requests in a row")
    func sequential() async throws {
        try await withEcho { server in
            for index in 0..<1000 {
                let body = Array("\(index)".utf8)
                let response = try await client.send(HTTPClientRequest(.post, server.url + "/echo", body: .bytes(body)))
                #expect(try await response.collect() == body)
            }
        }
    }

    @Test("200 requests at once")
    func concurrent() async throws {
        try await withEcho { server in
            let total = try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 0..<200 {
                    group.addTask {
                        let body = [UInt8](repeating: UInt8(index), count: 1000 + index * 100)
                        let response = try await client.send(HTTPClientRequest(.put, server.url + "/echo", body: .bytes(body)))
                        return try await response.collect() == body ? 1 : 0
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(total == 200)
        }
    }

    @Test("a bad URL, a closed port, a name without address")
    func failures() async throws {
        for url in ["", "ftp://127.0.0.1/", "file:///etc/passwd", "http://127.0.0.1/a\r\nX: y", "no"] {
            await #expect(throws: HTTPClientError.badURL, "\(url)") { try await client.send(HTTPClientRequest(.get, url)) }
        }
        let server = try HTTPServer(HTTPServerSettings(), router: Router())
        let url = server.url
        await server.stop()
        await #expect { try await client.send(HTTPClientRequest(.get, url)) } throws: { error in
            if case .cannotConnect = error as? HTTPClientError { true } else { false }
        }
        await #expect(throws: HTTPClientError.badURL) {
            try await client.send(HTTPClientRequest(.get, url, headers: ["A": "b\r\nC: d"]))
        }
    }

    @Test("the total time limit passes")
    func timeout() async throws {
        try await withServer { router in
            router.get("/slow", RouteDescription("slow")) { _ in
                try await Task.sleep(for: .seconds(60))
                return .text("late")
            }
        } _: { server in
            var request = HTTPClientRequest(.get, server.url + "/slow")
            request.totalMs = 200
            await #expect(throws: HTTPClientError.timedOut) { try await client.send(request) }
            request.totalMs = nil
            request.idleSeconds = 1
            await #expect(throws: HTTPClientError.timedOut) { try await client.send(request) }
        }
    }

    @Test("cancelling the task gives the transfer up, before and after it started", arguments: [false, true])
    func cancellation(isStarted: Bool) async throws {
        let started = AsyncStream<Void>.makeStream()
        try await withServer { router in
            router.get("/never", RouteDescription("never")) { _ in
                started.continuation.yield()
                try await Task.sleep(for: .seconds(600))
                return .text("late")
            }
        } _: { server in
            let task = Task { () -> HTTPClientError? in
                do throws(HTTPClientError) {
                    _ = try await client.send(HTTPClientRequest(.get, server.url + "/never"))
                    return nil
                } catch {
                    return error
                }
            }
            if isStarted {
                var iterator = started.stream.makeAsyncIterator()
                await iterator.next()
            }
            task.cancel()
            #expect(await task.value == .cancelled)
        }
    }

    @Test("a shut down client refuses, running transfers end")
    func shutdown() async throws {
        try await withEcho { server in
            let client = HTTPClient()
            _ = try await client.send(HTTPClientRequest(.get, server.url + "/echo"))
            await client.shutdown()
            await client.shutdown()
            await #expect(throws: HTTPClientError.cancelled) {
                try await client.send(HTTPClientRequest(.get, server.url + "/echo"))
            }
        }
    }
}
