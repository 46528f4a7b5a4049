import Cluster
import Foundation
import HTTP
import Journal
import Log
import Nodes
import Presentation
import Program
import Records
import Store

/// Brings recorded objects to players from wherever they are: the shared store when there is one here, else the node
/// that wrote them. Each is fetched once for all who ask at a time, manifests anew after a moment; see ``ObjectCache``.
public struct ObjectProxy: Sendable {
    private let holders: ObjectHolders
    private let index: RecordingIndex
    /// Fetches objects from nodes, however long that takes.
    public let client: HTTPClient
    /// The storage all nodes share; nil when each has its own.
    public let store: (any ObjectStore)?
    private let manifests: UnfinishedManifests?
    private static let log = Logger("objects")

    /// Objects in memory; nil when every request goes to where they are.
    public let cache: ObjectCache?
    /// How long signed addresses work that players are sent to, in seconds; nil: objects are passed through.
    public let redirectSeconds: Int?

    /// - Parameters:
    ///   - store: the storage all nodes share, as configured; nil when each node has its own.
    ///   - redirectSeconds: how long signed addresses work that players are sent to; nil: objects are passed through.
    ///   - cache: keeps objects in memory; nil: every request goes to where they are.
    public init(
        index: RecordingIndex, directory: NodeDirectory, client: HTTPClient, store: (any ObjectStore)?,
        redirectSeconds: Int? = nil, cache: ObjectCache? = nil
    ) {
        self.cache = cache
        self.redirectSeconds = redirectSeconds
        self.index = index
        holders = ObjectHolders(index: index, directory: directory)
        self.client = client
        self.store = store
        manifests = store.map { UnfinishedManifests($0) }
    }

    /// Answers a GET or HEAD of an object.
    /// - Parameters:
    ///   - path: the key as the client gave it, percent-decoded once.
    ///   - alias: the node that has it; nil lets the index say.
    /// - Throws: 400 for what is no key, 404 when nobody has it or it is nothing that players ask for, 502 and 503 when its node fails.
    public func respond(to request: HTTPRequest, path: String, node alias: String?) async throws -> HTTPResponse {
        let key: ObjectKey
        do throws(StoreError) {
            key = try ObjectKey(path)
        } catch {
            throw HTTPError(.badRequest, "not an object's path")
        }
        // The store may hold anything: journals, and what others put there.
        guard ObjectKind(key.name).isForPlayers else { throw HTTPError(.notFound, "no such object") }
        // Parts are only where they are written.
        if let text = request.query.first("part") {
            guard let part = Int(text), (0...Self.partsMax).contains(part) else { throw HTTPError(.notFound, "no such part") }
            return try await proxied(request, key, part: part, try await holder(of: key, alias: alias))
        }
        guard let store else { return try await proxied(request, key, try await holder(of: key, alias: alias)) }
        // A manifest that grows, or keeps its gaps, is only with its node; what the store can't give, the node that wrote it still may.
        if !ObjectKind(key.name).isImmutable {
            if let answer = await unfinished(request, key) { return answer }
            var isMade = Self.keepsGaps(request, key)
            if !isMade { isMade = try await mayGrow(key, alias) }
            if isMade, let answer = try? await fromNode(request, key, alias) { return answer }
        }
        let failure: StoreError
        do throws(StoreError) {
            return try await stored(request, key, store)
        } catch {
            failure = error
        }
        if case .rangeNotSatisfiable = failure { throw HTTPError(failure, about: "the path") }
        if failure != .notFound { Self.log.warning("the store failed", ["key": key.path, "reason": "\(failure)"]) }
        if let answer = try? await fromNode(request, key, alias) { return answer }
        throw HTTPError(failure, about: "the path")
    }

    /// More than any segment has.
    private static let partsMax = 1_000_000

    private func fromNode(_ request: HTTPRequest, _ key: ObjectKey, _ alias: String?) async throws -> HTTPResponse {
        try await proxied(request, key, try await holder(of: key, alias: alias))
    }

    /// What a manifest that grew has led its players to (ISO/IEC 23009-1 5.3.1.2); nodes make it when it is asked for.
    private static func keepsGaps(_ request: HTTPRequest, _ key: ObjectKey) -> Bool {
        key.name.hasSuffix(".mpd") && request.query.first("gaps") == "keep"
    }

    /// From when positions are counted in that.
    private static func originUs(_ request: HTTPRequest) -> Int64? {
        DayManifest.originUs(request.query.first(DayManifest.originQuery))
    }

    /// The manifest of a directory in which nothing grows any more, only nobody could say so: the stored one would have players wait.
    private func unfinished(_ request: HTTPRequest, _ key: ObjectKey) async -> HTTPResponse? {
        guard key.name == DayManifest.name, let directory = key.parent, let manifests,
            let holder = try? await holders.holder(ofDirectory: directory.path, mayBeLate: true), !holder.unended.isEmpty
        else { return nil }
        let live = await holders.view().liveAliases
        guard !holder.unended.contains(where: { live.contains($0.node) && $0.status == .active }),
            let bytes = await manifests.manifest(
                of: directory, stream: holder.stream, live: live, keepsGaps: Self.keepsGaps(request, key),
                originUs: Self.originUs(request))
        else { return nil }
        let kind = ObjectKind(key.name)
        var headers = kind.headers
        headers["ETag"] = ContentTag.of(bytes)
        return .bytes(bytes, contentType: kind.contentType, headers: headers)
    }

    /// What the index does not know may grow at the node that the client names.
    private func mayGrow(_ key: ObjectKey, _ alias: String?) async throws -> Bool {
        guard let parent = key.parent else { return false }
        return try await holders.holder(ofDirectory: parent.path, mayBeLate: true)?.isRunning ?? (alias != nil)
    }

    /// The stream an object belongs to, for deciding who may read it: its recording's, else its first folder.
    public func stream(ofPath path: String) async -> String {
        let directory = path.utf8.lastIndex(of: 0x2F).map { String(path[..<$0]) } ?? ""
        if let holder = try? await holders.holder(ofDirectory: directory, mayBeLate: true) { return holder.stream }
        return path.split(separator: "/").first.map(String.init) ?? ""
    }

    // MARK: from the store

    private func stored(
        _ request: HTTPRequest, _ key: ObjectKey, _ store: any ObjectStore
    ) async throws(StoreError) -> HTTPResponse {
        let kind = ObjectKind(key.name)
        // An address is signed for GET alone: HEAD is answered here.
        if request.method == .get, kind.isImmutable, let redirectSeconds,
            let answer = try await redirect(key, store, redirectSeconds)
        {
            return answer
        }
        if let file = try await store.localFile(key) {
            do throws(HTTPError) {
                let body = try HTTPFile(taking: file.descriptor, etag: file.info.etag)
                return .file(body, contentType: kind.contentType, headers: kind.headers)
            } catch {
                throw .notFound
            }
        }
        if let answer = try await cachedFromStore(request, key, store) { return answer }
        return try await StoredObject.response(
            to: request, key, in: store, contentType: kind.contentType, headers: kind.headers)
    }

    /// Sends the player to the store itself; nil when the store has no signed addresses. An object that is not there yet is not
    /// redirected to: the node may have it.
    private func redirect(_ key: ObjectKey, _ store: any ObjectStore, _ seconds: Int) async throws(StoreError) -> HTTPResponse? {
        _ = try await store.head(key)
        let nowUs = Int64(Date().timeIntervalSince1970 * 1e6)
        guard let address = try await store.presign(.get, key, seconds: seconds, nowUs: nowUs) else { return nil }
        // Kept for a minute and half of its life at most: an address ends with the credentials that signed it, which may be sooner.
        return HTTPResponse(
            .temporaryRedirect,
            headers: [
                "Location": address, "Cache-Control": "private, max-age=\(min(seconds / 2, 60))",
                "Referrer-Policy": "no-referrer",
            ])
    }

    // MARK: from a node

    private func holder(of key: ObjectKey, alias: String?) async throws -> NodeView {
        let view = await holders.view()
        if let alias {
            guard let node = view.node(alias) else { throw HTTPError(.notFound, "no node is called \(alias)") }
            return node
        }
        guard let parent = key.parent, let holder = try await holders.holder(ofDirectory: parent.path) else {
            throw HTTPError(.notFound, "no recording has this object")
        }
        guard let node = view.node(holder.node) else {
            throw HTTPError(
                .serviceUnavailable, "\(holder.node), which has this object, is not known here now",
                headers: ["Retry-After": "5"])
        }
        return node
    }

    private func proxied(
        _ request: HTTPRequest, _ key: ObjectKey, part: Int? = nil, _ node: NodeView
    ) async throws -> HTTPResponse {
        if let answer = try await cachedFromNode(request, key, part: part, node) { return answer }
        let asked = ["Range", "If-Range", "If-None-Match", "If-Modified-Since"]
        var conditions: HTTPHeaders = [:]
        for name in asked { conditions[name] = request.headers[name] }
        let answer = try await ask(node, for: key, part: part, request.method, conditions, on: request)
        let headers = Self.headers(of: answer, ObjectKind(key.name))
        if answer.status == .notModified {
            var headers = headers
            headers["Content-Type"] = nil
            return HTTPResponse(.notModified, headers: headers)
        }
        // When the player is gone this is let go of, which ends the transfer from the node. Nothing is gzipped anew.
        let body = RelayedBody(answer.body, length: answer.headers["Content-Length"].flatMap { Int64($0) })
        do {
            return HTTPResponse(
                answer.status, headers: headers, body: request.method == .get ? try await body.passed() : .relay(body))
        } catch {
            throw NodeRequest.failure(error as? HTTPClientError ?? .cancelled, of: node)
        }
    }

    /// What the node answers when it gives the object, a part of it or 304.
    /// - Parameters:
    ///   - part: the number of a part of a segment, which is waited for when it is the next to come (RFC 8216bis 4.4.5.3).
    ///   - request: of the client, on whose behalf the node is asked.
    /// - Throws: what the client is told instead.
    func ask(
        _ node: NodeView, for key: ObjectKey, part: Int? = nil, _ method: HTTPMethod, _ conditions: HTTPHeaders,
        on request: HTTPRequest
    ) async throws(HTTPError) -> HTTPClientResponse {
        let path = PercentCoding.encode(key.path, keepSlash: true) + Self.nodeQuery(request, key, part: part)
        var outgoing = HTTPClientRequest(
            method, "\(node.record.url)/api/record/object/\(path)", headers: NodeRequest.headers(for: request, token: node.token))
        for field in conditions { outgoing.headers[field.name] = field.value }
        outgoing.headers["Accept"] = request.headers["Accept"]
        outgoing.connectMs = NodeRequest.connectMs
        // A slow player is no reason to give up; a node that sends nothing is, unless the next part is waited for.
        outgoing.totalMs = nil
        outgoing.wholeBytesMax = RelayedBody.wholeBytesMax
        if part != nil { outgoing.idleSeconds = Self.partIdleSeconds }
        let answer: HTTPClientResponse
        do throws(HTTPClientError) {
            answer = try await client.send(outgoing)
        } catch {
            throw NodeRequest.failure(error, of: node)
        }
        switch answer.status {
        case .ok, .partialContent, .notModified: return answer
        default: throw Self.refusal(answer, node)
        }
    }

    /// All of a client's query that a node is told, and so all that its answer depends on.
    static func nodeQuery(_ request: HTTPRequest, _ key: ObjectKey, part: Int?) -> String {
        if let part { return "?part=\(part)" }
        guard keepsGaps(request, key) else { return "" }
        return "?gaps=keep" + (originUs(request).map { "&\(DayManifest.originQuery)=\($0)" } ?? "")
    }

    /// Longer than the longest segment, after which a node gives up waiting for a part itself.
    private static let partIdleSeconds = 200

    /// What is passed on of a node's answer.
    static func headers(of answer: HTTPClientResponse, _ kind: ObjectKind) -> HTTPHeaders {
        var headers = kind.headers
        for name in ["ETag", "Last-Modified", "Accept-Ranges", "Content-Range"] { headers[name] = answer.headers[name] }
        headers["Content-Type"] = answer.headers["Content-Type"] ?? kind.contentType
        return headers
    }

    private static func refusal(_ answer: HTTPClientResponse, _ node: NodeView) -> HTTPError {
        switch answer.status {
        case .notFound: return HTTPError(.notFound, "\(node.alias) has no such object")
        case .rangeNotSatisfiable:
            let range = answer.headers["Content-Range"].map { ["Content-Range": $0] as HTTPHeaders } ?? [:]
            return HTTPError(.rangeNotSatisfiable, "the range lies outside the object", headers: range)
        case .badRequest: return HTTPError(.badRequest, "\(node.alias) takes this for no object's path")
        case .serviceUnavailable, .tooManyRequests:
            return HTTPError(
                .serviceUnavailable, "\(node.alias) can't give the object now",
                headers: ["Retry-After": answer.headers["Retry-After"] ?? "2"])
        default: return HTTPError(.badGateway, "\(node.alias) answered \(answer.status) for the object")
        }
    }
}
