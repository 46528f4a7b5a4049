import Auth
import HTTP
import Program
import Record
import Store

/// An object under the storage root, by its name alone.
struct RecordedObject: Sendable {
    let key: ObjectKey
    let kind: ObjectKind
    /// Whose recording it is part of.
    let stream: String
    /// Of an answer with it.
    let headers: HTTPHeaders
    /// A manifest changes while it is live, everything else is written once.
    var isManifest: Bool { !kind.isImmutable }

    init(_ key: ObjectKey, stream: String) {
        (self.key, self.stream, kind) = (key, stream, ObjectKind(key.name))
        var headers = kind.headers
        headers["Content-Type"] = kind.contentType
        self.headers = headers
    }
}

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
            let (object, wish) = (try allowed(request), Wish(request))
            do throws(StoreError) {
                if let part = wish.part { return try await self.part(part, of: object) }
                return try await answer(request, object, wish)
            } catch {
                throw HTTPError(error, about: "the path")
            }
        }
    }

    /// What a request wants of an object.
    private struct Wish {
        /// Only this part of a segment.
        let part: String?
        /// `keep` for the version of a manifest whose Periods stay where the clock had them.
        let gaps: String?
        /// From when positions are counted in that version.
        let origin: String?

        init(_ request: HTTPRequest) {
            part = request.query.first("part")
            gaps = request.query.first("gaps")
            origin = request.query.first("origin")
        }
    }

    /// What a request asks for. Throws 400, 401, 403 or 404 for what nobody, or not this client, may ask for.
    private func allowed(_ request: HTTPRequest) throws(HTTPError) -> RecordedObject {
        let key: ObjectKey
        do throws(StoreError) { key = try ObjectKey(request.parameter("path")) } catch {
            throw HTTPError(error, about: "the path")
        }
        // Most recordings stand under their stream's name, others where they were asked to be.
        let object = RecordedObject(
            key, stream: key.parent.flatMap { recorder.stream(ofDirectory: $0.path) } ?? key.firstComponent)
        try check(request, object)
        // Journals and unfinished files are nobody's business.
        guard object.kind.isForPlayers else { throw HTTPError(.notFound, "no such object") }
        return object
    }

    /// Who may watch a stream may read its recordings.
    private func check(_ request: HTTPRequest, _ object: RecordedObject) throws(HTTPError) {
        try gate.check(request, .subscribe(stream: object.stream), mayStandInQuery: true)
    }

    /// The answer when it is a file that the kernel has at hand.
    private func answerNow(_ request: HTTPRequest) throws(HTTPError) -> HTTPResponse? {
        let (path, deletions, wish) = (request.parameter("path"), store.deletions, Wish(request))
        guard wish.part == nil else { return nil }
        if let found = recent.found(path, deletions: deletions) {
            try check(request, found.object)
            if isLive(found.object, wish) { return nil }
            return HTTPResponse(headers: found.headers, body: .file(found.file))
        }
        let object = try allowed(request)
        guard !isLive(object, wish), let local = store.cachedFile(object.key) else { return nil }
        let file = try Self.file(local)
        recent.keep(file, object, path: path, deletions: deletions)
        return HTTPResponse(headers: object.headers, body: .file(file))
    }

    /// Whether the recorder knows more of a manifest than the store.
    private func isLive(_ object: RecordedObject, _ wish: Wish) -> Bool {
        object.isManifest && recorder.isLive(object.key, gaps: wish.gaps)
    }

    private func answer(_ request: HTTPRequest, _ object: RecordedObject, _ wish: Wish) async throws(StoreError) -> HTTPResponse {
        if object.isManifest, let live = await recorder.liveManifest(object.key, gaps: wish.gaps, origin: wish.origin) {
            var headers = object.headers
            headers["ETag"] = ContentTag.of(live)
            return HTTPResponse(.ok, headers: headers, body: .bytes(live))
        }
        if let local = try await store.localFile(object.key) {
            do throws(HTTPError) { return HTTPResponse(headers: object.headers, body: .file(try Self.file(local))) } catch {
                throw .notFound
            }
        }
        return try await StoredObject.response(
            to: request, object.key, in: store, contentType: object.kind.contentType, headers: object.headers)
    }

    private static func file(_ local: LocalFile) throws(HTTPError) -> HTTPFile {
        try HTTPFile(taking: local.descriptor, etag: local.info.etag, status: local.status)
    }

    /// A part of a segment (RFC 8216bis 4.4.4.9): the same bytes whenever it is asked for.
    private func part(_ text: String, of object: RecordedObject) async throws(StoreError) -> HTTPResponse {
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
