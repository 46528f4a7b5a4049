import Testing

@testable import HTTP

@Suite("Another server's answer that breaks off and is taken up again", .timeLimit(.minutes(5)))
struct RelayResumeTests {
    private static let bytes = (0..<600_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8)) }
    private struct Lost: Error {}

    /// What an origin does with its n-th request.
    private struct Origin {
        /// After so many bytes the n-th answer breaks off; later ones are whole.
        var cuts: [Int]
        var size = bytes.count
        /// It sends everything, whatever range was asked for.
        var ignoresRanges = false
    }

    /// From which positions the origin was asked.
    private final class Asked: Sendable {
        private let all = Locked<[Int64]>([])
        var positions: [Int64] { all.withLock { $0 } }
        func add(_ position: Int64) { all.withLock { $0.append(position) } }
    }

    private let asked = Asked()
    private let client = HTTPClient()

    /// An origin and a server that passes its answers on; `body` gets the latter.
    private func withRelay(_ plan: Origin, _ body: (HTTPServer) async throws -> Void) async throws {
        let (bytes, inner) = (Array(Self.bytes[..<plan.size]), HTTPClient())
        let count = Locked(0)
        try await withServer { router in
            router.get("/object", RouteDescription("object")) { request in
                let number = count.withLock { count in
                    defer { count += 1 }
                    return count
                }
                let first = plan.ignoresRanges ? 0 : request.headers["Range"].flatMap { Int($0.dropFirst(6).dropLast()) } ?? 0
                return .stream(contentType: "a/b", length: Int64(bytes.count - first)) { writer in
                    guard number < plan.cuts.count else { return try await writer.write(Array(bytes[first...])) }
                    try await writer.write(Array(bytes[first...].prefix(plan.cuts[number])))
                    throw Lost()
                }
            }
        } _: { origin in
            let open: RelayedBody.Reopen = { position in
                asked.add(position)
                let range: HTTPHeaders = ["Range": "bytes=\(position)-"]
                let answer = try await inner.send(HTTPClientRequest(.get, origin.url + "/object", headers: range))
                return RelayedBody.Rest(answer.body, skip: plan.ignoresRanges ? position : 0)
            }
            try await withServer { router in
                router.get("/relay", RouteDescription("relay")) { _ in
                    let body = RelayedBody(try await open(0), length: Int64(bytes.count), reopen: open)
                    return HTTPResponse(body: try await body.passed())
                }
            } _: {
                try await body($0)
            }
        }
        await inner.shutdown()
    }

    @Test("the client sees every byte once, in order", arguments: [false, true])
    func whole(ignoresRanges: Bool) async throws {
        try await withRelay(Origin(cuts: [250_000, 120_000], ignoresRanges: ignoresRanges)) { server in
            let answer = try await client.send(HTTPClientRequest(.get, server.url + "/relay"))
            #expect(answer.headers["Content-Length"] == "\(Self.bytes.count)")
            #expect(try await answer.collect() == Self.bytes)
            let positions = asked.positions
            #expect(positions.first == 0 && positions.count == 3 && positions == positions.sorted())
        }
    }

    @Test("a small one is taken up again before its answer begins")
    func small() async throws {
        try await withRelay(Origin(cuts: [500], size: 3_400)) { server in
            let answer = try await client.send(HTTPClientRequest(.get, server.url + "/relay"))
            #expect(try await answer.collect() == Array(Self.bytes[..<3_400]))
            #expect(asked.positions.count == 2)
        }
    }

    @Test("one that brings nothing any more breaks the answer, after a few attempts")
    func hopeless() async throws {
        try await withRelay(Origin(cuts: [200_000] + [Int](repeating: 0, count: 100))) { server in
            let answer = try await client.send(HTTPClientRequest(.get, server.url + "/relay"))
            await #expect(throws: HTTPClientError.self) { try await answer.collect() }
            #expect((2...5).contains(asked.positions.count))
        }
    }

    @Test("read by a task it goes on as well, and stops where it should")
    func inTask() async throws {
        let again = Locked(0)
        try await withServer { router in
            router.get("/half", RouteDescription("half")) { _ in
                .stream(contentType: "a/b", length: 1_000) { writer in
                    try await writer.write(Array(Self.bytes[..<600]))
                    throw Lost()
                }
            }
            router.get("/all", RouteDescription("all")) { _ in .bytes(Array(Self.bytes[..<1_000]), contentType: "a/b") }
        } _: { server in
            let first = try await client.send(HTTPClientRequest(.get, server.url + "/half"))
            // It wants less than the second answer has.
            let body = RelayedBody(RelayedBody.Rest(first.body), length: 900) { position in
                again.withLock { $0 += 1 }
                let rest = try await client.send(HTTPClientRequest(.get, server.url + "/all"))
                return RelayedBody.Rest(rest.body, skip: position, hasMore: true)
            }
            var all: [UInt8] = []
            while let piece = try await body.next() { all += piece }
            #expect(all == Array(Self.bytes[..<900]) && again.withLock { $0 } == 1)
        }
    }

    @Test("a client that leaves meanwhile ends the attempt to go on")
    func left() async throws {
        let events = AsyncStream<String>.makeStream()
        try await withServer { router in
            router.get("/half", RouteDescription("half")) { _ in
                .stream(contentType: "a/b", length: 1 << 20) { writer in
                    try await writer.write(Array(Self.bytes[..<100_000]))
                    throw Lost()
                }
            }
        } _: { origin in
            let inner = HTTPClient()
            try await withServer { router in
                router.get("/relay", RouteDescription("relay")) { _ in
                    let answer = try await inner.send(HTTPClientRequest(.get, origin.url + "/half"))
                    let body = RelayedBody(RelayedBody.Rest(answer.body), length: 1 << 20) { _ in
                        events.continuation.yield("asked")
                        defer { events.continuation.yield("ended") }
                        try await Task.sleep(for: .seconds(3_600))
                        throw Lost()
                    }
                    return HTTPResponse(body: try await body.passed())
                }
            } _: { server in
                var seen = events.stream.makeAsyncIterator()
                do {
                    let player = try RawClient(server.port)
                    #expect(await player.send("GET /relay HTTP/1.1\r\nHost: a\r\n\r\n"))
                    #expect(await player.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200"))
                    #expect(await seen.next() == "asked")
                    // And its end closes it, which is what tells the server.
                    player.reset()
                }
                #expect(await seen.next() == "ended")
            }
            await inner.shutdown()
        }
    }
}
