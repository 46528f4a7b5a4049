import HTTP
import Synchronization

@testable import Buckets

/// An HTTP server of a test's own that answers by a closure and remembers what it was asked.
final class FakeService: Sendable {
    struct Seen: Sendable {
        let method: HTTPMethod
        let path: String
        let query: String
        let headers: HTTPHeaders
        let body: [UInt8]
    }

    typealias Answer = @Sendable (Seen, _ number: Int) async throws -> HTTPResponse

    private final class Memory: Sendable {
        let seen = Mutex<[Seen]>([])
    }

    /// A running server must outlive its threads, and a test that fails does not get as far as stopping it.
    private static let kept = Mutex<[HTTPServer]>([])

    private let memory: Memory
    private let server: HTTPServer

    /// `number` counts requests from 0.
    init(_ answer: @escaping Answer) throws {
        let memory = Memory()
        var router = Router()
        router.use { request, _ in
            let one = Seen(
                method: request.method, path: request.rawPath, query: request.rawQuery, headers: request.headers,
                body: try await request.body.bytes(limit: 64 << 20))
            let number = memory.seen.withLock { seen in
                seen.append(one)
                return seen.count - 1
            }
            return try await answer(one, number)
        }
        self.memory = memory
        server = try HTTPServer(HTTPServerSettings(), router: router)
        try server.start()
        Self.kept.withLock { [server] in $0.append(server) }
    }

    var url: String { server.url }
    var seen: [Seen] { memory.seen.withLock { $0 } }
    func stop() async { await server.stop() }
}

/// A clock that stands still until someone sleeps on it.
final class StillClock: Sendable {
    private let state: Mutex<(nowUs: Int64, slept: [Int])>

    init(seconds: Int64 = 1_795_230_245) {
        state = Mutex((seconds * 1_000_000, []))
    }

    var slept: [Int] { state.withLock { $0.slept } }
    func advance(seconds: Int64) { state.withLock { $0.nowUs += seconds * 1_000_000 } }

    var clock: BucketClock {
        BucketClock(
            nowUs: { self.state.withLock { $0.nowUs } },
            sleep: { ms in
                self.state.withLock { state in
                    state.slept.append(ms)
                    state.nowUs += Int64(ms) * 1_000
                }
            })
    }
}

extension HTTPResponse {
    /// A store's refusal.
    static func refusal(_ status: HTTPStatus, _ code: String, headers: HTTPHeaders = [:]) -> HTTPResponse {
        .text(
            "<?xml version=\"1.0\"?>\n<Error><Code>\(code)</Code><Message>AKIDEXAMPLE SECRETWORD TOKENWORD</Message></Error>",
            status: status, contentType: "application/xml", headers: headers)
    }
}
