import Testing

@testable import HTTP

#if canImport(Glibc)
    import Glibc
#endif

@Suite("Range requests (RFC 9110 section 14)", .timeLimit(.minutes(5)))
struct ByteRangeTests {
    @Test(
        "header and size give the part",
        arguments: [
            (nil, .whole), ("bytes=0-0", .part(0..<1)), ("bytes=0-", .part(0..<10)), ("bytes=3-5", .part(3..<6)),
            ("bytes=3-99", .part(3..<10)),
            ("bytes=-3", .part(7..<10)), ("bytes=-99", .part(0..<10)), ("bytes=-0", .unsatisfiable),
            ("bytes=10-", .unsatisfiable),
            ("bytes=99999999999999999999-", .unsatisfiable), ("bytes=5-3", .whole), ("bytes=0-1,3-4", .whole),
            ("items=0-1", .whole),
            ("bytes=", .whole), ("bytes=a-b", .whole), ("bytes=+1-2", .whole), ("bytes=--1", .whole), ("BYTES=1-2", .part(1..<3)),
        ] as [(String?, ByteRange)])
    func parse(header: String?, expected: ByteRange) {
        #expect(ByteRange(header, size: 10) == expected)
    }

    @Test("an empty body has no satisfiable range")
    func empty() {
        #expect(ByteRange("bytes=0-", size: 0) == .unsatisfiable)
        #expect(ByteRange("bytes=-1", size: 0) == .unsatisfiable)
    }

    @Test("any text gives a part inside of the body", arguments: 0..<20)
    func fuzz(seed: Int) {
        var random = Mutator(seed: UInt64(seed))
        for _ in 0..<500 {
            let text = String(decoding: random.mutate(Array("bytes=12-345".utf8)), as: UTF8.self)
            let size = Int64(random.next(below: 400))
            if case .part(let range) = ByteRange(text, size: size) {
                #expect(range.lowerBound >= 0 && range.upperBound <= size && !range.isEmpty)
            }
        }
    }
}

@Suite("Dates (RFC 9110 section 5.6.7)", .timeLimit(.minutes(5)))
struct HTTPDateTests {
    @Test(
        "format and parse",
        arguments: [(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT")] as [(Int64, String)])
    func both(seconds: Int64, text: String) {
        #expect(HTTPDate.format(seconds) == text)
        #expect(HTTPDate.parse(text) == seconds)
    }

    @Test(
        "anything else is no date",
        arguments: [
            "", "Sun, 06 Nov 1994", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Xxx 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
        ])
    func wrong(text: String) { #expect(HTTPDate.parse(text) == nil) }
}

@Suite("Files (RFC 9110 sections 13 and 14)", .timeLimit(.minutes(5)))
struct FileTests {
    private func withFile(_ body: (HTTPServer, [UInt8]) async throws -> Void) async throws {
        let path = "/tmp/tributary-http-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let file = try #require(fopen(path, "w"))
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
        defer { unlink(path) }
        try await withServer { router in
            router.get("/file", RouteDescription("a file")) { _ in .file(try HTTPFile(path: path), contentType: "video/mp4") }
            router.get("/missing", RouteDescription("no file")) { _ in
                .file(try HTTPFile(path: path + "-"), contentType: "video/mp4")
            }
            router.get("/text", RouteDescription("tagged bytes")) { _ in .text("0123456789", headers: ["ETag": "\"t\""]) }
        } _: {
            try await body($0, bytes)
        }
    }

    private func get(_ server: HTTPServer, _ path: String, _ fields: String, method: String = "GET") async throws -> (
        head: String, body: [UInt8]
    ) {
        let client = try RawClient(server.port)
        await client.send("\(method) \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\(fields)\r\n")
        let all = await client.receiveBytes()
        let end = (0..<max(0, all.count - 3)).first { all[$0..<($0 + 4)].elementsEqual([13, 10, 13, 10]) } ?? all.count
        return (String(decoding: all[..<end], as: UTF8.self), Array(all.dropFirst(end + 4)))
    }

    private func field(_ name: String, _ head: String) -> String? {
        head.split(separator: "\r\n").first { $0.hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) }
    }

    @Test("whole, part, none")
    func ranges() async throws {
        try await withFile { server, bytes in
            let whole = try await get(server, "/file", "")
            #expect(whole.head.hasPrefix("HTTP/1.1 200") && whole.body == bytes && field("Accept-Ranges", whole.head) == "bytes")
            let part = try await get(server, "/file", "Range: bytes=1000-1999\r\n")
            #expect(part.head.hasPrefix("HTTP/1.1 206") && part.body.elementsEqual(bytes[1000..<2000]))
            #expect(field("Content-Range", part.head) == "bytes 1000-1999/100000" && field("Content-Length", part.head) == "1000")
            let beyond = try await get(server, "/file", "Range: bytes=100000-\r\n")
            #expect(beyond.head.hasPrefix("HTTP/1.1 416") && field("Content-Range", beyond.head) == "bytes */100000")
            let many = try await get(server, "/file", "Range: bytes=0-1,5-6\r\n")
            #expect(many.head.hasPrefix("HTTP/1.1 200") && many.body == bytes)
            let text = try await get(server, "/text", "Range: bytes=-3\r\n")
            #expect(text.head.hasPrefix("HTTP/1.1 206") && text.body == Array("789".utf8))
            #expect(try await get(server, "/missing", "").head.hasPrefix("HTTP/1.1 404"))
        }
    }

    @Test("conditions")
    func conditions() async throws {
        try await withFile { server, bytes in
            let whole = try await get(server, "/file", "")
            let etag = try #require(field("ETag", whole.head))
            let modified = try #require(field("Last-Modified", whole.head))
            for condition in [
                "If-None-Match: \(etag)", "If-None-Match: \"a\", W/\(etag)", "If-None-Match: *", "If-Modified-Since: \(modified)",
            ] {
                let same = try await get(server, "/file", condition + "\r\n")
                #expect(
                    same.head.hasPrefix("HTTP/1.1 304") && same.body.isEmpty && field("ETag", same.head) == etag, "\(condition)")
            }
            #expect(try await get(server, "/file", "If-None-Match: \"x\"\r\n").body == bytes)
            #expect(try await get(server, "/file", "If-Match: \"x\"\r\n").head.hasPrefix("HTTP/1.1 412"))
            #expect(try await get(server, "/file", "If-Match: \(etag)\r\n").head.hasPrefix("HTTP/1.1 200"))
            for (condition, status) in [
                (etag, 206), (modified, 206), ("\"x\"", 200), ("W/\(etag)", 200), ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
            ] {
                let answer = try await get(server, "/file", "Range: bytes=0-9\r\nIf-Range: \(condition)\r\n")
                #expect(answer.head.hasPrefix("HTTP/1.1 \(status)"), "\(condition)")
            }
        }
    }

    @Test("HEAD has the headers of GET", arguments: ["/file", "/text", "/missing"])
    func head(path: String) async throws {
        try await withFile { server, _ in
            let get = try await get(server, path, "")
            let head = try await self.get(server, path, "", method: "HEAD")
            let lines = { (text: String) in text.split(separator: "\r\n").filter { !$0.hasPrefix("Date:") } }
            #expect(lines(get.head) == lines(head.head) && head.body.isEmpty)
        }
    }
}
