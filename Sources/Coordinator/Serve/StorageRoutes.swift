import Auth
import Config
import Foundation
import HTTP
import Program
import Store

/// What can be said of the objects' storage. Storage on files knows no signed addresses, and says so.
struct StorageRoutes: Sendable {
    let store: (any ObjectStore)?

    private struct PresignRequest: Decodable {
        let method: String
        let path: String
        let ttlSeconds: Int?

        enum CodingKeys: String, CodingKey {
            case method, path
            case ttlSeconds = "ttl_seconds"
        }
    }

    func add(to router: inout GuardedRouter) {
        router.on(
            .post, "/api/storage/presign",
            RouteDescription(
                "An address that needs no token, for a while", tag: "storage", requestType: "application/json",
                responses: [
                    RouteResponse(400, "Not a method or path"), RouteResponse(501, "The storage has no such addresses"),
                    RouteResponse(503, "There is no shared storage"),
                ]), needs: { _ in .cluster }, presign)
        router.on(
            .get, "/api/storage/ping",
            RouteDescription(
                "Whether objects can be written and read", tag: "storage",
                responses: [RouteResponse(200, "ok", contentType: "text/plain"), RouteResponse(503, "Why not")]),
            needs: { _ in .cluster }
        ) { _ in
            guard let store else { throw Self.none }
            try await Self.probe(store)
            return .text("ok")
        }
    }

    private static let none = HTTPError(
        .serviceUnavailable, "no shared storage is configured; objects are read from the nodes that wrote them")

    private func presign(_ request: HTTPRequest) async throws -> HTTPResponse {
        let wanted = try await request.body.json(PresignRequest.self)
        guard wanted.method == "GET" || wanted.method == "PUT" else { throw HTTPError(.badRequest, "method must be GET or PUT") }
        let key: ObjectKey
        do throws(StoreError) { key = try ObjectKey(wanted.path) } catch {
            throw HTTPError(.badRequest, "not an object's path")
        }
        if let ttl = wanted.ttlSeconds, !(30...604_800).contains(ttl) {
            throw HTTPError(.badRequest, "ttl_seconds must be 30 to 604800")
        }
        guard let store else { throw Self.none }
        let address: String?
        do throws(StoreError) {
            let nowUs = Int64(Date().timeIntervalSince1970 * 1e6)
            address = try await store.presign(
                wanted.method == "GET" ? .get : .put, key, seconds: wanted.ttlSeconds ?? Self.ttlSeconds, nowUs: nowUs)
        } catch {
            throw HTTPError(error, about: "the path")
        }
        guard let address else {
            throw HTTPError(.notImplemented, "storage on files has no signed addresses; use /api/record/object/")
        }
        return try .json(PresignedAddress(url: address, headers: [:]), headers: ["Cache-Control": "no-store"])
    }

    /// How long an address works that was asked for without saying; live777's.
    private static let ttlSeconds = 300

    /// live777's answer: where to send the request, and what must be in its head.
    private struct PresignedAddress: Encodable {
        let url: String
        let headers: [String: String]
    }

    /// Writes an object, reads it back and removes it: nothing less shows that the storage works.
    private static func probe(_ store: any ObjectStore) async throws(HTTPError) {
        let bytes = Array("probe \(UUID().uuidString)".utf8)
        do throws(StoreError) {
            let key = try ObjectKey(".probe/\(UUID().uuidString)")
            try await store.put(key, bytes, ifAbsent: true)
            let found = try await store.read(key, limit: 1_024)
            try await store.delete(key)
            guard found == bytes else {
                throw StoreError.unavailable(reason: "what was written is not what is read")
            }
        } catch {
            throw HTTPError(.serviceUnavailable, "the storage does not work: \(error)")
        }
    }
}
