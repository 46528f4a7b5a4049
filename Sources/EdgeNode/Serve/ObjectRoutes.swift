import Auth
import HTTP
import Program
import Record
import Store

/// `GET /api/record/object/{path}`: recorded objects, with ranges and conditions answered by the router.
struct ObjectRoutes {
    let store: any ObjectStore
    let recorder: Recorder
    let gate: Gate

    func add(to router: inout Router) {
        let description = RouteDescription(
            "A recorded object", tag: "recordings",
            parameters: [
                .path("path", "Its key under the storage root"), .header("Range", "One range of bytes"),
                .query("gaps", "Of a manifest: keep leaves times without recording where they were"),
                .query("part", "Only this part of a segment, also of one that is being written", kind: .integer),
            ],
            responses: [
                RouteResponse(.ok, "All of it"), RouteResponse(.partialContent, "The range"),
                RouteResponse(.notFound, "No such object"), RouteResponse(.rangeNotSatisfiable, "Outside of the object"),
            ], startsInPlace: true)
        router.get("/api/record/object/{path*}", description) { request in
            let key: ObjectKey
            do throws(StoreError) { key = try ObjectKey(request.parameter("path")) } catch {
                throw HTTPError(error, about: "the path")
            }
            // Who may watch a stream may read its recordings; most stand under its name, others where they were asked to be.
            let stream = key.parent.flatMap { recorder.stream(ofDirectory: $0.path) } ?? key.components[0]
            try gate.check(request, .subscribe(stream: stream), mayStandInQuery: true)
            guard let type = Self.mediaType(of: key) else { throw HTTPError(.notFound, "no such object") }
            do throws(StoreError) {
                if let part = request.query.first("part") { return try await self.part(part, of: key, type) }
                return try await answer(request, key, type)
            } catch {
                throw HTTPError(error, about: "the path")
            }
        }
    }

    private func answer(_ request: HTTPRequest, _ key: ObjectKey, _ type: String) async throws(StoreError) -> HTTPResponse {
        // A manifest changes while it is live, everything else is written once.
        let isManifest = key.name.hasSuffix(".mpd") || key.name.hasSuffix(".m3u8")
        let headers: HTTPHeaders = ["Cache-Control": isManifest ? "no-cache" : "private, max-age=31536000, immutable"]
        if isManifest, let live = await recorder.liveManifest(key, gaps: request.query.first("gaps")) {
            var headers = headers
            headers["Content-Type"] = type
            return HTTPResponse(.ok, headers: headers, body: .bytes(live))
        }
        if let local = try await store.localFile(key) {
            do throws(HTTPError) {
                return .file(try HTTPFile(taking: local.descriptor, etag: local.info.etag), contentType: type, headers: headers)
            } catch {
                throw .notFound
            }
        }
        return try await StoredObject.response(to: request, key, in: store, contentType: type, headers: headers)
    }

    /// A part of a segment (RFC 8216bis 4.4.4.9): the same bytes whenever it is asked for.
    private func part(_ text: String, of key: ObjectKey, _ type: String) async throws(StoreError) -> HTTPResponse {
        guard let number = Int(text), (0...1_000_000).contains(number),
            let body = try await recorder.part(number, of: key, finished: store)
        else { throw .notFound }
        return .stream(
            contentType: type, length: body.range.upperBound - body.range.lowerBound,
            headers: [
                "ETag": "\"part-\(body.range.lowerBound)-\(body.range.upperBound)\"",
                "Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff",
            ]
        ) { writer in
            for try await chunk in body.chunks { try await writer.write(chunk) }
        }
    }

    /// What a player may ask for; journals and unfinished files are nobody's business.
    static func mediaType(of key: ObjectKey) -> String? {
        let kind = ObjectKind(key.name)
        return kind.isForPlayers ? kind.contentType : nil
    }
}
