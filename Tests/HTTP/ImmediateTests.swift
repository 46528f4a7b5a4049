import Testing

@testable import HTTP

#if canImport(Glibc)
    import Glibc
#endif

@Suite("Answers made on the server's thread (RFC 9110)", .timeLimit(.minutes(5)))
struct ImmediateTests {
    private static let text = String(repeating: "<Period id=\"1\"/>\n", count: 300)

    /// The same answers twice: made without waiting, and by a handler.
    private static func routes(_ router: inout Router, file path: String) {
        let file: Router.ImmediateHandler = { _ in .file(try HTTPFile(path: path), contentType: "video/mp4") }
        let text: Router.ImmediateHandler = { _ in .text(Self.text, headers: ["ETag": "\"t\""]) }
        let refused: Router.ImmediateHandler = { _ in
            throw HTTPError(.unauthorized, "who?", headers: ["WWW-Authenticate": "Bearer"])
        }
        let missing: Router.ImmediateHandler = { _ in .file(try HTTPFile(path: path + "-"), contentType: "video/mp4") }
        let streamed: Router.ImmediateHandler = { _ in
            .stream(contentType: "a/b") { writer in for number in 0..<9 { try await writer.write([UInt8(48 + number)]) } }
        }
        let rest: Router.ImmediateHandler = { .text($0.parameter("rest")) }
        for (name, answer) in [("file", file), ("text", text), ("refused", refused), ("missing", missing), ("stream", streamed)] {
            router.get("/now/\(name)", RouteDescription(name), immediate: answer) { _ in .text("not asked") }
            router.get("/later/\(name)", RouteDescription(name), immediate: { _ in nil }) { try answer($0) ?? .text("none") }
        }
        router.get("/now/rest/{rest*}", RouteDescription("rest"), immediate: rest) { _ in .text("not asked") }
        router.get("/later/rest/{rest*}", RouteDescription("rest")) { try rest($0) ?? .text("none") }
    }

    private func with(_ settings: HTTPServerSettings, bytes: Int, _ body: (HTTPServer, String) async throws -> Void) async throws
    {
        let path = "/tmp/tributary-immediate-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try write(path, (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        defer { unlink(path) }
        try await withServer(settings, { Self.routes(&$0, file: path) }, { try await body($0, path) })
    }

    private func write(_ path: String, _ bytes: [UInt8]) throws {
        let file = try #require(fopen(path, "r+") ?? fopen(path, "w"))
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }

    /// The whole answer but its date and the places where its chunks end, which depend on who was faster.
    private func get(_ server: HTTPServer, _ path: String, _ fields: String = "", method: String = "GET") async throws -> [UInt8]
    {
        let client = try RawClient(server.port)
        await client.send("\(method) \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\(fields)\r\n")
        let all = await client.receiveBytes()
        guard let start = all.firstRange(of: Array("Date: ".utf8))?.lowerBound else { return all }
        let undated = Array(all[..<start] + all[start...].drop { $0 != 10 })
        guard undated.firstRange(of: Array("\r\nTransfer-Encoding: chunked\r\n".utf8)) != nil else { return undated }
        return joined(chunksOf: undated)
    }

    /// An answer with its body's chunks (RFC 9112 §7.1) joined; what isn't well formed stays as it is.
    private func joined(chunksOf answer: [UInt8]) -> [UInt8] {
        let lineEnd: [UInt8] = [13, 10]
        guard let head = answer.firstRange(of: lineEnd + lineEnd)?.upperBound else { return answer }
        var whole = Array(answer[..<head])
        var rest = answer[head...]
        while let line = rest.firstRange(of: lineEnd),
            let count = Int(String(decoding: rest[..<line.lowerBound], as: UTF8.self), radix: 16),
            count > 0, rest.endIndex - line.upperBound >= count + 2
        {
            whole += rest[line.upperBound..<(line.upperBound + count)]
            rest = rest[(line.upperBound + count + 2)...]
        }
        return whole + rest
    }

    @Test(
        "are what the handler would have answered", arguments: [0, 32 << 20],
        [
            ("file", ""), ("file", "Range: bytes=1000-1999\r\n"), ("file", "Range: bytes=-7\r\n"),
            ("file", "Range: bytes=99999999-\r\n"), ("file", "If-None-Match: *\r\n"), ("file", "If-Match: \"other\"\r\n"),
            ("file", "If-None-Match: \"other\"\r\n"), ("file", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
            ("file", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            ("file", "If-Range: \"x\"\r\nRange: bytes=0-1\r\n"),
            ("text", ""), ("text", "Accept-Encoding: gzip\r\n"), ("text", "Range: bytes=3-5\r\n"),
            ("text", "If-None-Match: \"t\"\r\n"),
            ("refused", ""), ("missing", ""), ("stream", ""), ("rest/a/b%20c", ""), ("rest/a/../b", ""), ("rest/%2e%2e/b", ""),
            ("rest/a%00", ""), ("rest/a//b", ""), ("rest/", ""), ("none", ""), ("text", "Origin: https://a\r\n"),
        ])
    func same(memory: Int, request: (path: String, fields: String)) async throws {
        var settings = HTTPServerSettings()
        settings.fileMemoryBytes = memory
        settings.cors = .any
        try await with(settings, bytes: 100_000) { server, _ in
            for method in ["GET", "HEAD", "POST"] {
                let now = try await get(server, "/now/" + request.path, request.fields, method: method)
                let later = try await get(server, "/later/" + request.path, request.fields, method: method)
                #expect(now == later && now.starts(with: Array("HTTP/1.1 ".utf8)))
            }
        }
    }

    @Test(
        "files of every size come whole, from memory or not",
        arguments: [0, 1, 3_400, 300_000, 512 << 10, (512 << 10) + 1, 2 << 20])
    func sizes(bytes: Int) async throws {
        try await with(HTTPServerSettings(), bytes: bytes) { server, _ in
            for _ in 0..<3 {
                let answer = try await get(server, "/now/file")
                #expect(answer.suffix(bytes) == (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 7) }[...])
            }
        }
    }

    @Test("what is kept in memory goes with it")
    func released() throws {
        let file = try HTTPFile(path: #filePath)
        // Nothing is fetched from a disk for it.
        var bytes = [UInt8](repeating: 0, count: Int(file.count))
        #expect(pread(file.descriptor, &bytes, bytes.count, 0) == bytes.count)
        var memory: FileMemory? = FileMemory(capacity: 4 << 20)
        let block = try #require(memory?.block(file, 0..<file.count)?.block)
        #expect(memory?.block(file, 0..<10)?.block === block, "kept, as the file is not new")
        let left = { [weak memory] in memory }
        memory = nil
        #expect(left() == nil && block.count == Int(file.count))
    }

    @Test("a file that changes is sent as it is now, also when only its bytes change")
    func changes() async throws {
        try await with(HTTPServerSettings(), bytes: 5_000) { server, path in
            for round in 0..<5 {
                let bytes = [UInt8](repeating: UInt8(65 + round), count: 5_000)
                try write(path, bytes)
                for _ in 0..<2 { #expect(try await get(server, "/now/file").suffix(5_000) == bytes[...]) }
            }
        }
    }

    @Test("many requests on one connection, some ahead of their answers")
    func pipelined() async throws {
        try await with(HTTPServerSettings(), bytes: 300_000) { server, _ in
            let client = try RawClient(server.port)
            let paths = ["/now/file", "/later/file", "/now/text", "/now/stream", "/now/missing", "/now/file"]
            for path in paths { await client.send("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n") }
            await client.send("GET /now/rest/end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let all = await client.receiveBytes()
            #expect(all.count > 900_000 + Self.text.utf8.count && all.ends(with: "\r\n\r\nend"))
        }
    }

    @Test("layers see them; a middleware makes all go to the handler")
    func layers() async throws {
        let metrics = RequestMetrics()
        var router = Router()
        router.use(metrics)
        router.use(RateLimiter(perSecond: 0.001, burst: 2))
        router.get("/a/{b}", RouteDescription("a"), immediate: { .text("now " + $0.parameter("b")) }) { _ in .text("later") }
        let request = try HTTPRequest(method: .get, target: "/a/1")
        #expect(await router.respond(to: request).headers["Content-Type"] == "text/plain; charset=utf-8")
        var behind = router
        behind.use { request, next in await next(request) }
        guard case .bytes(let bytes) = await behind.respond(to: request).body else { return #expect(Bool(false)) }
        #expect(bytes == Array("later".utf8))
        #expect(await router.respond(to: request).status == .tooManyRequests)
        let text = metrics.prometheus(prefix: "e")
        #expect(text.contains("count{method=\"GET\",route=\"/a/{b}\",status=\"200\"} 2\n") && text.contains("running 0\n"))
        #expect(text.contains("count{method=\"GET\",route=\"/a/{b}\",status=\"429\"} 1\n"))
    }
}

extension [UInt8] {
    fileprivate func ends(with text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
