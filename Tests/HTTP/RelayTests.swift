import Foundation
import Testing

@testable import HTTP

@Suite("Another server's answer passed on", .timeLimit(.minutes(5)))
struct RelayTests {
    private static let chunk = (0..<(40 << 10)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    private let client = HTTPClient()

    /// A server, and one that passes its answers on; `body` gets the latter.
    private func withRelay(
        _ write: @escaping @Sendable (HTTPBodyWriter) async throws -> Void, length: Int64? = nil, saysLength: Bool = true,
        _ body: (HTTPServer) async throws -> Void
    ) async throws {
        let client = HTTPClient()
        try await withServer { router in
            router.get("/origin", RouteDescription("origin")) { _ in .stream(contentType: "a/b", length: length, write) }
        } _: { origin in
            try await withServer { router in
                router.get("/relay", RouteDescription("relay")) { _ in
                    let answer = try await client.send(HTTPClientRequest(.get, origin.url + "/origin"))
                    return HTTPResponse(
                        headers: ["Content-Type": "a/b"],
                        body: .relay(RelayedBody(answer.body, length: saysLength ? length : nil)))
                }
            } _: {
                try await body($0)
            }
        }
        await client.shutdown()
    }

    @Test("all bytes in order, whether the length is known or not", arguments: [true, false], [0, 1, 500])
    func whole(isKnown: Bool, chunks: Int) async throws {
        let length = Int64(chunks * Self.chunk.count)
        try await withRelay(
            { writer in for _ in 0..<chunks { try await writer.write(Self.chunk) } }, length: length, saysLength: isKnown
        ) { server in
            for _ in 0..<2 {
                let answer = try await client.send(HTTPClientRequest(.get, server.url + "/relay"))
                #expect(answer.status == .ok && answer.headers["Content-Length"] == (isKnown ? "\(length)" : nil))
                let bytes = try await answer.collect(limit: 32 << 20)
                #expect(bytes.count == Int(length))
                let isRight = stride(from: 0, to: bytes.count, by: Self.chunk.count).allSatisfy {
                    // As Data, whose comparison takes no time without optimization either.
                    Data(bytes[$0..<($0 + Self.chunk.count)]) == Data(Self.chunk)
                }
                #expect(isRight)
            }
        }
    }

    @Test("an answer that breaks off breaks off here")
    func broken() async throws {
        struct Lost: Error {}
        try await withRelay(
            { writer in
                for _ in 0..<20 { try await writer.write(Self.chunk) }
                throw Lost()
            }, length: 100 << 20
        ) { server in
            let answer = try await client.send(HTTPClientRequest(.get, server.url + "/relay"))
            #expect(answer.status == .ok)
            await #expect(throws: HTTPClientError.self) { try await answer.collect(limit: 200 << 20) }
        }
    }

    @Test("a reader that stops holds the origin back, and one that leaves ends its stream")
    func slowReader() async throws {
        let written = Locked(0)
        let ended = AsyncStream<Bool>.makeStream()
        try await withRelay { writer in
            defer { ended.continuation.yield(true) }
            while true {
                try await writer.write(Self.chunk)
                written.withLock { $0 += Self.chunk.count }
            }
        } _: { server in
            do {
                let answer = try await client.send(HTTPClientRequest(.get, server.url + "/relay"))
                #expect(try await answer.body.next()?.isEmpty == false)
                var (last, rounds) = (-1, 0)
                while written.withLock({ $0 }) != last, rounds < 100 {
                    last = written.withLock { $0 }
                    rounds += 1
                    try await Task.sleep(for: .milliseconds(100))
                }
                #expect(rounds < 100 && last < 64 << 20)
            }
            var iterator = ended.stream.makeAsyncIterator()
            #expect(await iterator.next() == true)
        }
    }

    @Test("a small answer is given with its last byte, a larger one with its header", arguments: [1, 2])
    func wholeOnly(chunks: Int) async throws {
        let goOn = AsyncStream<Void>.makeStream()
        try await withServer { router in
            router.get("/late", RouteDescription("late")) { _ in
                .stream(contentType: "a/b", length: Int64(chunks * Self.chunk.count)) { writer in
                    for _ in 0..<(chunks - 1) { try await writer.write(Self.chunk) }
                    try await writer.write(Array(Self.chunk[..<100]))
                    if chunks > 1 { for await _ in goOn.stream { break } }
                    try await writer.write(Array(Self.chunk[100...]))
                }
            }
        } _: { server in
            var request = HTTPClientRequest(.get, server.url + "/late")
            request.wholeBytesMax = Self.chunk.count
            let answer = try await client.send(request)
            #expect(answer.body.pipe.isOver == (chunks == 1))
            goOn.continuation.yield()
            #expect(try await answer.collect().count == chunks * Self.chunk.count)
        }
    }

    @Test("a small answer that breaks off is none")
    func wholeOrNothing() async throws {
        struct Lost: Error {}
        try await withServer { router in
            router.get("/half", RouteDescription("half")) { _ in
                .stream(contentType: "a/b", length: 1_000) { writer in
                    try await writer.write(Array(Self.chunk[..<100]))
                    throw Lost()
                }
            }
        } _: { server in
            var request = HTTPClientRequest(.get, server.url + "/half")
            request.wholeBytesMax = 1_000
            let asked = request
            await #expect(throws: HTTPClientError.self) { try await client.send(asked) }
        }
    }
}
