import Testing

@testable import HTTP

@Suite("What one request leaves to the next", .timeLimit(.minutes(5)))
struct ClientReuseTests {
    private let client = HTTPClient()

    /// Answers with what the server saw.
    private func withMirror(_ body: (HTTPServer) async throws -> Void) async throws {
        try await withServer { router in
            let mirror: Router.Handler = { request in
                let body = try await request.body.bytes()
                let names = ["X-Own", "Range", "Content-Type", "Expect"].filter { request.headers[$0] != nil }
                return .text("\(request.method.rawValue) \(request.path) \(names.joined(separator: ",")) \(body.count)")
            }
            for method in [HTTPMethod.get, .post, .delete] { router.on(method, "/{name}", RouteDescription("mirror"), mirror) }
        } _: {
            try await body($0)
        }
    }

    private func check(_ request: HTTPClientRequest, _ text: String) async throws {
        let bytes = try await client.send(request).collect()
        #expect(String(decoding: bytes, as: UTF8.self) == text)
    }

    @Test("neither fields, nor methods, nor bodies, nor limits go from one to another")
    func nothing() async throws {
        try await withMirror { server in
            for round in 0..<5 {
                var first = HTTPClientRequest(.get, server.url + "/a\(round)", headers: ["X-Own": "1", "Range": "bytes=0-"])
                first.slow = .init(bytesPerSecond: 1, seconds: 100)
                try await check(first, "GET /a\(round) X-Own,Range 0")
                try await check(HTTPClientRequest(.get, server.url + "/b"), "GET /b  0")
                let post = HTTPClientRequest(.post, server.url + "/c", headers: ["Content-Type": "a/b"], body: .bytes([1, 2, 3]))
                try await check(post, "POST /c Content-Type 3")
                try await check(HTTPClientRequest(.get, server.url + "/d"), "GET /d  0")
                try await check(HTTPClientRequest(.head, server.url + "/e"), "")
                try await check(HTTPClientRequest(.get, server.url + "/f"), "GET /f  0")
                try await check(HTTPClientRequest(.delete, server.url + "/g"), "DELETE /g  0")
                await #expect(throws: HTTPClientError.badURL) {
                    try await client.send(HTTPClientRequest(.get, "ftp://127.0.0.1/h"))
                }
                await #expect(throws: HTTPClientError.badURL) {
                    try await client.send(HTTPClientRequest(.get, server.url + "/i", headers: ["X-Own": "a\r\nb"]))
                }
                try await check(HTTPClientRequest(.get, server.url + "/j"), "GET /j  0")
            }
        }
    }

    @Test("a handler that starts in place and asks another server answers right, many at once")
    func inPlace() async throws {
        try await withMirror { origin in
            let inner = HTTPClient()
            try await withServer { router in
                router.get("/ask/{name}", RouteDescription("ask", startsInPlace: true)) { request in
                    let name = request.parameter("name")
                    let first = try await inner.send(HTTPClientRequest(.get, origin.url + "/" + name)).collect()
                    let second = try await inner.send(HTTPClientRequest(.get, origin.url + "/x" + name)).collect()
                    return .text(String(decoding: first + second, as: UTF8.self))
                }
            } _: { server in
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<200 {
                        group.addTask {
                            let answer = try await client.send(HTTPClientRequest(.get, server.url + "/ask/\(number)"))
                            return try await answer.collect() == Array("GET /\(number)  0GET /x\(number)  0".utf8)
                        }
                    }
                    for try await isRight in group { #expect(isRight) }
                }
            }
            await inner.shutdown()
        }
    }

    @Test("lines of a head: blanks around values, a carriage return inside becomes a space, lines without a colon are nothing")
    func heads() async throws {
        let transfer = TransferLoop(HTTPClient.Settings()).makeTransfer(
            HTTPClientRequest(.get, "http://127.0.0.1/"), owner: client)
        async let answer: HTTPClientResponse = withCheckedThrowingContinuation { continuation in
            #expect(transfer.begin(continuation))
            for line in ["HTTP/1.1 299 Odd", "X-A:  b c\t", "X-B: d\re", "nonsense", "X-C:", ""] {
                line.utf8CString.withUnsafeBytes { bytes in
                    transfer.receiveHeader(UnsafeRawBufferPointer(rebasing: bytes.dropLast())[...])
                }
            }
        }
        let head = try await answer
        #expect(head.status.rawValue == 299 && head.headers.count == 3)
        #expect(head.headers["x-a"] == "b c" && head.headers["X-B"] == "d e" && head.headers["X-C"] == "")
        transfer.finish(nil)
    }
}
