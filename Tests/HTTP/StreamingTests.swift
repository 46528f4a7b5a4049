import Testing

@testable import HTTP

@Suite("Streamed bodies with back-pressure", .timeLimit(.minutes(5)))
struct StreamingTests {
    private static let total = 100 << 20
    private static let chunk = [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
        for index in 0..<(64 << 10) { buffer.initializeElement(at: index, to: UInt8(truncatingIfNeeded: index &* 13)) }
        count = 64 << 10
    }

    private func checksum(_ bytes: [UInt8], _ sum: inout UInt64) {
        for byte in bytes { sum = sum &* 31 &+ UInt64(byte) }
    }

    /// What is buffered on one side: the pipe's capacity and one chunk.
    private static let bound = HTTPServerSettings().bodyBufferBytes + (64 << 10)

    @Test("100 MB down, known length or chunked", arguments: [true, false])
    func download(isKnown: Bool) async throws {
        let client = HTTPClient()
        let peak = Locked(0)
        try await withServer { router in
            router.get("/big", RouteDescription("big")) { _ in
                .stream(contentType: "application/octet-stream", length: isKnown ? Int64(Self.total) : nil) { writer in
                    for _ in 0..<(Self.total / Self.chunk.count) { try await writer.write(Self.chunk) }
                    peak.withLock { $0 = writer.pipe.peakCount }
                }
            }
        } _: { server in
            let response = try await client.send(HTTPClientRequest(.get, server.url + "/big"))
            #expect(response.headers["Content-Length"] == (isKnown ? "\(Self.total)" : nil))
            var count = 0
            for try await chunk in response.body { count += chunk.count }
            #expect(count == Self.total)
            #expect(peak.withLock { $0 } <= Self.bound && response.body.pipe.peakCount <= Self.bound)
        }
    }

    @Test("100 MB up, known length or chunked", arguments: [true, false])
    func upload(isKnown: Bool) async throws {
        let client = HTTPClient()
        let peaks = Locked((server: 0, client: 0))
        try await withServer { router in
            router.post("/sink", RouteDescription("sink")) { request in
                var count = 0
                for try await chunk in request.body.chunks { count += chunk.count }
                if case .pipe(let pipe, _) = request.body.source { peaks.withLock { $0.server = pipe.peakCount } }
                return .text("\(count)")
            }
        } _: { server in
            let body = HTTPClientRequest.Body.stream(length: isKnown ? Int64(Self.total) : nil) { writer in
                for _ in 0..<(Self.total / Self.chunk.count) { try await writer.write(Self.chunk) }
                peaks.withLock { $0.client = writer.pipe.peakCount }
            }
            let response = try await client.send(HTTPClientRequest(.post, server.url + "/sink", body: body))
            #expect(try await response.collect() == Array("\(Self.total)".utf8))
            let (serverPeak, clientPeak) = peaks.withLock { $0 }
            #expect(serverPeak <= Self.bound && serverPeak > 0 && clientPeak <= Self.bound)
        }
    }

    @Test("the bytes stay in order through both pipes")
    func order() async throws {
        let client = HTTPClient()
        try await withServer { router in
            router.post("/through", RouteDescription("through")) { request in
                .stream(contentType: "a/b") { writer in
                    for try await chunk in request.body.chunks { try await writer.write(chunk) }
                }
            }
        } _: { server in
            // The whole body must be taken before the answer begins, so it has to fit the buffer.
            let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 / 3) }
            let response = try await client.send(HTTPClientRequest(.post, server.url + "/through", body: .bytes(bytes)))
            #expect(try await response.collect() == bytes)
        }
    }

    @Test("a reader that stops holds the writer back")
    func slowReader() async throws {
        let client = HTTPClient()
        let written = Locked(0)
        try await withServer { router in
            router.get("/endless", RouteDescription("endless")) { _ in
                .stream(contentType: "a/b") { writer in
                    while true {
                        try await writer.write(Self.chunk)
                        written.withLock { $0 += Self.chunk.count }
                    }
                }
            }
        } _: { server in
            let response = try await client.send(HTTPClientRequest(.get, server.url + "/endless"))
            #expect(try await response.body.next()?.isEmpty == false)
            // Nothing is read now: what was written settles at what buffers and sockets hold.
            var last = -1
            var rounds = 0
            while written.withLock({ $0 }) != last, rounds < 100 {
                last = written.withLock { $0 }
                rounds += 1
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(rounds < 100 && last < 32 << 20)
        }
    }

    @Test("letting go of the body ends the handler's stream")
    func abandoned() async throws {
        let ended = AsyncStream<Bool>.makeStream()
        let client = HTTPClient()
        try await withServer { router in
            router.get("/endless", RouteDescription("endless")) { _ in
                .stream(contentType: "a/b") { writer in
                    defer { ended.continuation.yield(true) }
                    while true { try await writer.write(Self.chunk) }
                }
            }
        } _: { server in
            do {
                let response = try await client.send(HTTPClientRequest(.get, server.url + "/endless"))
                _ = try await response.body.next()
            }
            var iterator = ended.stream.makeAsyncIterator()
            #expect(await iterator.next() == true)
        }
    }

    @Test("a stream that fails, or is shorter than told, breaks the connection", arguments: [true, false])
    func broken(isShort: Bool) async throws {
        struct Lost: Error {}
        let client = HTTPClient()
        try await withServer { router in
            router.get("/cut", RouteDescription("cut")) { _ in
                .stream(contentType: "a/b", length: isShort ? 100 : nil) { writer in
                    try await writer.write("some")
                    if !isShort { throw Lost() }
                }
            }
        } _: { server in
            await #expect { try await client.send(HTTPClientRequest(.get, server.url + "/cut")).collect() } throws: { error in
                if case .broken = error as? HTTPClientError { true } else { false }
            }
        }
    }

    @Test("a refusal arrives while the body is still being sent")
    func refusedUpload() async throws {
        let client = HTTPClient()
        try await withServer { router in
            router.post("/sink", RouteDescription("sink")) { .bytes(try await $0.body.bytes(limit: 10), contentType: "a/b") }
        } _: { server in
            let body = HTTPClientRequest.Body.stream(length: Int64(Self.total)) { writer in
                for _ in 0..<(Self.total / Self.chunk.count) { try await writer.write(Self.chunk) }
            }
            for _ in 0..<10 {
                let response = try await client.send(HTTPClientRequest(.post, server.url + "/sink", body: body))
                #expect(response.status == .contentTooLarge)
                #expect(try await response.json([String: String].self)["error"]?.isEmpty == false)
            }
        }
    }

    @Test("a streamed answer that leaves the body unread still goes out", arguments: [0, 1, 300])
    func unreadBody(chunks: Int) async throws {
        let client = HTTPClient()
        try await withServer { router in
            router.post("/half", RouteDescription("half")) { request in
                var iterator = request.body.chunks.makeAsyncIterator()
                for _ in 0..<chunks { _ = try await iterator.next() }
                return .stream(contentType: "a/b") { try await $0.write("enough") }
            }
        } _: { server in
            let bytes = [UInt8](repeating: 1, count: 3 << 20)
            for _ in 0..<10 {
                let answer = try await client.send(HTTPClientRequest(.post, server.url + "/half", body: .bytes(bytes)))
                #expect(try await answer.collect() == Array("enough".utf8))
            }
        }
    }

    @Test("a proxy streams both ways")
    func proxy() async throws {
        let client = HTTPClient()
        let total = 3 << 20
        try await withServer { router in
            router.post("/upper", RouteDescription("upper")) { request in
                let bytes = try await request.body.bytes(limit: 8 << 20)
                return .stream(contentType: "a/b", length: Int64(bytes.count)) { try await $0.write(bytes.map { $0 &+ 1 }) }
            }
        } _: { upstream in
            try await withServer { router in
                router.post("/{path*}", RouteDescription("proxy")) { request in
                    let body = HTTPClientRequest.Body.stream(length: request.body.declaredLength.map(Int64.init)) { writer in
                        for try await chunk in request.body.chunks { try await writer.write(chunk) }
                    }
                    let answer = try await client.send(HTTPClientRequest(.post, upstream.url + request.path, body: body))
                    return .stream(status: answer.status, contentType: answer.headers["Content-Type"] ?? "") { writer in
                        for try await chunk in answer.body { try await writer.write(chunk) }
                    }
                }
            } _: { server in
                let bytes = (0..<total).map { UInt8(truncatingIfNeeded: $0 / 5) }
                let answer = try await client.send(HTTPClientRequest(.post, server.url + "/upper", body: .bytes(bytes)))
                #expect(try await answer.collect() == bytes.map { $0 &+ 1 })
                let missing = try await client.send(HTTPClientRequest(.post, server.url + "/none", body: .bytes(bytes)))
                #expect(missing.status == .notFound)
            }
        }
    }

    @Test("a request body that fails aborts the request")
    func failedUpload() async throws {
        struct Lost: Error {}
        let client = HTTPClient()
        try await withServer { router in
            router.post("/sink", RouteDescription("sink")) { .bytes(try await $0.body.bytes(), contentType: "a/b") }
        } _: { server in
            let body = HTTPClientRequest.Body.stream(length: nil) { writer in
                try await writer.write("some")
                throw Lost()
            }
            await #expect { try await client.send(HTTPClientRequest(.post, server.url + "/sink", body: body)) } throws: { error in
                if case .bodyFailed = error as? HTTPClientError { true } else { false }
            }
        }
    }
}
