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
    private let recent = RecentFiles()

    init(store: any ObjectStore, recorder: Recorder, gate: Gate) {
        (self.store, self.recorder, self.gate) = (store, recorder, gate)
    }

    func add(to router: inout Router) {
        let description = RouteDescription(
            "A recorded object", tag: "recordings",
            parameters: [
                .path("path", "Its key under the storage root"), .header("Range", "One range of bytes"),
                .query("part", "Only this part of a segment, also of one that is being written", kind: .integer),
            ],
            responses: [
                RouteResponse(.ok, "All of it"), RouteResponse(.partialContent, "The range"),
                RouteResponse(.notFound, "No such object"), RouteResponse(.rangeNotSatisfiable, "Outside of the object"),
            ], startsInPlace: true)
        router.get("/api/record/object/{path*}", description, immediate: answerNow) { request in
            let object = try object(request)
            do throws(StoreError) {
                if let part = request.query.first("part") { return try await self.part(part, of: object) }
                return try await answer(request, object)
            } catch {
                throw HTTPError(error, about: "the path")
            }
        }
    }

    /// What a request asks for.
    private struct Object {
        let key: ObjectKey
        let kind: ObjectKind
        /// A manifest changes while it is live, everything else is written once.
        var isManifest: Bool { !kind.isImmutable }
        /// `keep` for the version of a manifest whose Periods stay where the clock had them.
        let gaps: String?
        /// From when positions are counted in that version.
        let origin: String?
        var headers: HTTPHeaders {
            var headers = kind.headers
            headers["Content-Type"] = kind.contentType
            return headers
        }
    }

    /// Throws 400, 401, 403 or 404 for what nobody, or not this client, may ask for.
    private func object(_ request: HTTPRequest) throws(HTTPError) -> Object {
        let key: ObjectKey
        do throws(StoreError) { key = try ObjectKey(request.parameter("path")) } catch {
            throw HTTPError(error, about: "the path")
        }
        // Who may watch a stream may read its recordings; most stand under its name, others where they were asked to be.
        let stream = key.parent.flatMap { recorder.stream(ofDirectory: $0.path) } ?? key.firstComponent
        try gate.check(request, .subscribe(stream: stream), mayStandInQuery: true)
        // Journals and unfinished files are nobody's business.
        let kind = ObjectKind(key.name)
        guard kind.isForPlayers else { throw HTTPError(.notFound, "no such object") }
        return Object(key: key, kind: kind, gaps: request.query.first("gaps"), origin: request.query.first("origin"))
    }

    /// The answer when it is a file that the kernel has at hand.
    private func answerNow(_ request: HTTPRequest) throws(HTTPError) -> HTTPResponse? {
        let object = try object(request)
        guard request.query.first("part") == nil, !(object.isManifest && recorder.isLive(object.key, gaps: object.gaps))
        else { return nil }
        let deletions = store.deletions
        if !object.isManifest, let file = recent.file(object.key, deletions: deletions) { return Self.answer(file, object) }
        guard let local = store.cachedFile(object.key) else { return nil }
        let file = try Self.file(local)
        if !object.isManifest { recent.keep(file, object.key, deletions: deletions) }
        return Self.answer(file, object)
    }

    private func answer(_ request: HTTPRequest, _ object: Object) async throws(StoreError) -> HTTPResponse {
        if object.isManifest,
            let live = await recorder.liveManifest(object.key, gaps: object.gaps, origin: object.origin)
        {
            var headers = object.headers
            headers["ETag"] = ContentTag.of(live)
            return HTTPResponse(.ok, headers: headers, body: .bytes(live))
        }
        if let local = try await store.localFile(object.key) {
            do throws(HTTPError) { return Self.answer(try Self.file(local), object) } catch { throw .notFound }
        }
        return try await StoredObject.response(
            to: request, object.key, in: store, contentType: object.kind.contentType, headers: object.headers)
    }

    private static func file(_ local: LocalFile) throws(HTTPError) -> HTTPFile {
        try HTTPFile(taking: local.descriptor, etag: local.info.etag, status: local.status)
    }

    private static func answer(_ file: HTTPFile, _ object: Object) -> HTTPResponse {
        HTTPResponse(headers: object.headers, body: .file(file))
    }

    /// A part of a segment (RFC 8216bis 4.4.4.9): the same bytes whenever it is asked for.
    private func part(_ text: String, of object: Object) async throws(StoreError) -> HTTPResponse {
        guard let number = Int(text), (0...1_000_000).contains(number),
            let body = try await recorder.part(number, of: object.key, finished: store)
        else { throw .notFound }
        var headers = object.headers
        headers["ETag"] = "\"part-\(body.range.lowerBound)-\(body.range.upperBound)\""
        return .stream(
            contentType: object.kind.contentType, length: body.range.upperBound - body.range.lowerBound, headers: headers
        ) { writer in
            for try await chunk in body.chunks { try await writer.write(chunk) }
        }
    }
}
