import Foundation
import HTTP
import Program
import Store
import Testing

@Suite("Objects of a store without local files (RFC 9110 sections 13 and 14)")
struct StoredObjectTests {
    private let store: FileStore
    private let key: ObjectKey
    private let etag: String
    private let modified: String

    init() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("stored-\(UUID().uuidString)").path
        store = try FileStore(root: folder)
        key = try ObjectKey("demo/seg_0001.m4s")
        let info = try await store.put(key, Array("0123456789".utf8), condition: .none)
        etag = info.etag
        modified = HTTPDate.format(info.modifiedUs / 1_000_000)
    }

    private func answer(_ headers: HTTPHeaders, method: HTTPMethod = .get) async throws -> HTTPResponse {
        var headers = headers
        for (name, value) in [("ETAG", etag), ("DATE", modified)] {
            for field in ["If-Match", "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"] {
                headers[field] = headers[field]?.replacing(name, with: value)
            }
        }
        let request = try HTTPRequest(method: method, target: "/x", headers: headers)
        return try await StoredObject.response(
            to: request, key, in: store, contentType: "video/mp4", headers: ["Cache-Control": "no-cache"])
    }

    @Test(arguments: [
        ([:], 200), (["If-None-Match": "ETAG"], 304), (["If-None-Match": "W/ETAG"], 304), (["If-None-Match": "*"], 304),
        (["If-None-Match": "\"other\""], 200), (["If-None-Match": "\"other\", ETAG"], 304),
        (["If-Match": "ETAG"], 200), (["If-Match": "W/ETAG"], 412), (["If-Match": "\"other\""], 412),
        (["If-Modified-Since": "DATE"], 304), (["If-Modified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"], 200),
        (["If-Unmodified-Since": "DATE"], 200), (["If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"], 412),
        (["If-None-Match": "\"other\"", "If-Modified-Since": "DATE"], 200),
        (["Range": "bytes=2-4"], 206), (["Range": "bytes=2-4", "If-Range": "ETAG"], 206),
        (["Range": "bytes=2-4", "If-Range": "DATE"], 206),
        (["Range": "bytes=2-4", "If-Range": "\"other\""], 200), (["Range": "bytes=2-4", "If-None-Match": "ETAG"], 304),
        (["Range": "bytes=-3"], 206), (["Range": "nonsense"], 200),
    ])
    func conditions(headers: [String: String], status: Int) async throws {
        var fields: HTTPHeaders = [:]
        for (name, value) in headers { fields[name] = value }
        for method in [HTTPMethod.get, .head] where method == .get || headers["Range"] == nil {
            let answer = try await answer(fields, method: method)
            #expect(answer.status.rawValue == status, "\(method)")
            guard status != 412 else { continue }
            #expect(answer.headers["ETag"] == etag)
            #expect(answer.headers["Last-Modified"] == modified)
            #expect(answer.headers["Cache-Control"] == "no-cache")
        }
    }
}
