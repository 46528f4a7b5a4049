import Testing

@testable import HTTP

@Suite("Compressed texts (RFC 9110 section 8.4)", .timeLimit(.minutes(5)))
struct ContentCodingTests {
    private static let manifest = String(repeating: "<S t=\"12\" d=\"180000\"/>", count: 1000)

    private func answer(
        _ accepted: String?, type: String = "application/dash+xml", text: String = manifest, method: HTTPMethod = .get,
        range: String? = nil
    ) throws -> HTTPResponse {
        var headers = HTTPHeaders()
        headers["Accept-Encoding"] = accepted
        headers["Range"] = range
        let request = try HTTPRequest(method: method, target: "/a", headers: headers)
        let plain = HTTPResponse.text(text, contentType: type, headers: ["ETag": "\"1\""])
        return ContentCoding.apply(request, Conditional.apply(request, plain))
    }

    private func count(_ response: HTTPResponse) -> Int {
        if case .bytes(let bytes) = response.body { bytes.count } else { -1 }
    }

    @Test(
        "what a client accepts",
        arguments: [
            ("gzip", true), ("gzip, deflate, br", true), ("br;q=1.0, gzip;q=0.8", true), ("*", true), ("GZIP", true),
            ("deflate", false), ("gzip;q=0", false), ("*, gzip;q=0", false), ("identity", false), ("", false), (nil, false),
            ("gzip;q=x", true), (";;,=", false),
        ] as [(String?, Bool)])
    func accepts(field: String?, expected: Bool) throws {
        let response = try answer(field)
        #expect((response.headers["Content-Encoding"] == "gzip") == expected)
        #expect(response.headers.list("Vary") == ["Accept-Encoding"])
        #expect((count(response) < 1000) == expected)
        #expect(response.headers["ETag"] == (expected ? "W/\"1\"" : "\"1\""))
    }

    @Test("the same for HEAD; no parts, no media, nothing short, nothing twice")
    func exceptions() throws {
        #expect(try answer("gzip", method: .head).headers["Content-Encoding"] == "gzip")
        #expect(try answer("gzip", range: "bytes=0-99").headers["Content-Encoding"] == nil)
        #expect(try answer("gzip", type: "video/mp4").headers["Content-Encoding"] == nil)
        #expect(try answer("gzip", type: "text/event-stream").headers["Content-Encoding"] == nil)
        #expect(try answer("gzip", text: "short").headers["Content-Encoding"] == nil)
        #expect(try answer("gzip", type: "Text/HTML; charset=utf-8").headers["Content-Encoding"] == "gzip")
        let once = try answer("gzip")
        let request = try HTTPRequest(method: .get, target: "/a", headers: ["Accept-Encoding": "gzip"])
        #expect(count(ContentCoding.apply(request, once)) == count(once))
    }

    @Test("the tag that came with compressed bytes still says that nothing has changed")
    func unchanged() throws {
        let request = try HTTPRequest(
            method: .get, target: "/a", headers: ["Accept-Encoding": "gzip", "If-None-Match": "W/\"1\""])
        let plain = HTTPResponse.text(Self.manifest, contentType: "application/dash+xml", headers: ["ETag": "\"1\""])
        let response = ContentCoding.apply(request, Conditional.apply(request, plain))
        #expect(response.status == .notModified && response.headers["Content-Encoding"] == nil)
    }

    @Test("a large text is packed with its length and checksum behind (RFC 1952)", arguments: [0, 1, 5000, 1 << 20])
    func packed(count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 3) }
        let packed = try #require(ContentCoding.gzip(bytes))
        #expect(packed.prefix(3) == [0x1F, 0x8B, 8])
        let length = packed.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        #expect(length == count)
    }
}
