import Cluster
import Foundation
import HTTP
import Log
import Nodes
import Presentation
import Program
import Records
import Store

/// Brings recorded objects to players from wherever they are: the shared store when there is one here, else the node
/// that wrote them, streamed through without being kept.
public struct ObjectProxy: Sendable {
    private let index: RecordingIndex
    private let directory: NodeDirectory
    /// Fetches objects from nodes, however long that takes.
    public let client: HTTPClient
    /// The storage all nodes share; nil when each has its own.
    public let store: (any ObjectStore)?
    private static let log = Logger("objects")

    /// How long signed addresses work that players are sent to, in seconds; nil: objects are passed through.
    public let redirectSeconds: Int?

    /// - Parameters:
    ///   - store: the storage all nodes share, as configured; nil when each node has its own.
    ///   - redirectSeconds: how long signed addresses work that players are sent to; nil: objects are passed through.
    public init(
        index: RecordingIndex, directory: NodeDirectory, client: HTTPClient, store: (any ObjectStore)?,
        redirectSeconds: Int? = nil
    ) {
        self.redirectSeconds = redirectSeconds
        self.index = index
        self.directory = directory
        self.client = client
        self.store = store
    }

    /// Answers a GET or HEAD of an object.
    /// - Parameters:
    ///   - path: the key as the client gave it, percent-decoded once.
    ///   - alias: the node that has it; nil lets the index say.
    /// - Throws: 400 for what is no key, 404 when nobody has it, 502 and 503 when its node fails.
    public func respond(to request: HTTPRequest, path: String, node alias: String?) async throws -> HTTPResponse {
        let key: ObjectKey
        do throws(StoreError) {
            key = try ObjectKey(path)
        } catch {
            throw HTTPError(.badRequest, "not an object's path")
        }
        guard let store else { return try await proxied(request, key, try await holder(of: key, alias: alias)) }
        // A manifest that grows is newest with its node; what the store can't give, the node that wrote it still may.
        if !ObjectKind(key.name).isImmutable, try await isActive(key), let answer = try? await fromNode(request, key, alias) {
            return answer
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

    private func fromNode(_ request: HTTPRequest, _ key: ObjectKey, _ alias: String?) async throws -> HTTPResponse {
        try await proxied(request, key, try await holder(of: key, alias: alias))
    }

    private func isActive(_ key: ObjectKey) async throws -> Bool {
        guard let parent = key.parent else { return false }
        return try await index.recording(inDirectory: parent.path)?.endUs == nil
    }

    /// The stream an object belongs to, for deciding who may read it: its recording's, else its first folder.
    public func stream(ofPath path: String) async -> String {
        let directory = path.split(separator: "/").dropLast().joined(separator: "/")
        if let recording = try? await index.recording(inDirectory: directory) { return recording.stream }
        return path.split(separator: "/").first.map(String.init) ?? ""
    }

    // MARK: from the store

    private func stored(
        _ request: HTTPRequest, _ key: ObjectKey, _ store: any ObjectStore
    ) async throws(StoreError) -> HTTPResponse {
        let kind = ObjectKind(key.name)
        if kind.isImmutable, let redirectSeconds, let answer = try await redirect(key, store, redirectSeconds) { return answer }
        if let file = try await store.localFile(key) {
            do throws(HTTPError) {
                let body = try HTTPFile(taking: file.descriptor, etag: file.info.etag)
                return .file(body, contentType: kind.contentType, headers: kind.headers)
            } catch {
                throw .notFound
            }
        }
        return try await StoredObject.response(
            to: request, key, in: store, contentType: kind.contentType, headers: kind.headers)
    }

    /// Sends the player to the store itself; nil when the store has no signed addresses. An object that is not there yet is not
    /// redirected to: the node may have it.
    private func redirect(_ key: ObjectKey, _ store: any ObjectStore, _ seconds: Int) async throws(StoreError) -> HTTPResponse? {
        _ = try await store.head(key)
        let nowUs = Int64(Date().timeIntervalSince1970 * 1e6)
        guard let address = try await store.presign(.get, key, seconds: seconds, nowUs: nowUs) else { return nil }
        // Kept for half of its life, so that whoever follows it later still has time to.
        return HTTPResponse(
            .temporaryRedirect,
            headers: [
                "Location": address, "Cache-Control": "private, max-age=\(seconds / 2)", "Referrer-Policy": "no-referrer",
            ])
    }

    // MARK: from a node

    private func holder(of key: ObjectKey, alias: String?) async throws -> NodeView {
        let view = await directory.view()
        if let alias {
            guard let node = view.node(alias) else { throw HTTPError(.notFound, "no node is called \(alias)") }
            return node
        }
        guard let parent = key.parent, let recording = try await index.recording(inDirectory: parent.path) else {
            throw HTTPError(.notFound, "no recording has this object")
        }
        guard let node = view.node(recording.node) else {
            throw HTTPError(
                .serviceUnavailable, "\(recording.node), which has this object, is not known here now",
                headers: ["Retry-After": "5"])
        }
        return node
    }

    private func proxied(_ request: HTTPRequest, _ key: ObjectKey, _ node: NodeView) async throws -> HTTPResponse {
        let path = PercentCoding.encode(key.path, keepSlash: true)
        var outgoing = HTTPClientRequest(
            request.method, "\(node.record.url)/api/record/object/\(path)",
            headers: NodeRequest.headers(for: request, token: node.token))
        for name in ["Range", "If-Range", "If-None-Match", "If-Modified-Since", "Accept"] {
            if let value = request.headers[name] { outgoing.headers[name] = value }
        }
        outgoing.connectMs = NodeRequest.connectMs
        // A slow player is no reason to give up; a node that sends nothing is.
        outgoing.totalMs = nil
        let answer: HTTPClientResponse
        do throws(HTTPClientError) {
            answer = try await client.send(outgoing)
        } catch {
            throw NodeRequest.failure(error, of: node)
        }
        return try pass(answer, ObjectKind(key.name), node)
    }

    private func pass(_ answer: HTTPClientResponse, _ kind: ObjectKind, _ node: NodeView) throws -> HTTPResponse {
        var headers = kind.headers
        for name in ["ETag", "Last-Modified", "Accept-Ranges", "Content-Range"] { headers[name] = answer.headers[name] }
        switch answer.status {
        case .ok, .partialContent:
            let length = answer.headers["Content-Length"].flatMap { Int64($0) }
            return .stream(
                status: answer.status, contentType: answer.headers["Content-Type"] ?? kind.contentType, length: length,
                headers: headers
            ) { writer in
                // When the player is gone the write throws, and letting go of the body ends the transfer from the node.
                while let chunk = try await answer.body.next() { try await writer.write(chunk) }
            }
        case .notModified: return HTTPResponse(.notModified, headers: headers)
        case .notFound: throw HTTPError(.notFound, "\(node.alias) has no such object", headers: ["Cache-Control": "no-store"])
        case .rangeNotSatisfiable:
            let range = answer.headers["Content-Range"].map { ["Content-Range": $0] as HTTPHeaders } ?? [:]
            throw HTTPError(.rangeNotSatisfiable, "the range lies outside the object", headers: range)
        case .badRequest: throw HTTPError(.badRequest, "\(node.alias) takes this for no object's path")
        case .serviceUnavailable, .tooManyRequests:
            throw HTTPError(
                .serviceUnavailable, "\(node.alias) can't give the object now",
                headers: ["Retry-After": answer.headers["Retry-After"] ?? "2"])
        default: throw HTTPError(.badGateway, "\(node.alias) answered \(answer.status) for the object")
        }
    }
}

/// What an object is, by its name.
public struct ObjectKind: Sendable, Equatable {
    /// The media type.
    public let contentType: String
    /// Whether a name is written once and never again; manifests are the ones that are not.
    public let isImmutable: Bool

    /// The kind of the object with this last component.
    public init(_ name: String) {
        let isAudio = name.hasPrefix("audio_")
        switch name.split(separator: ".").last.map({ $0.lowercased() }) {
        case "mpd": (contentType, isImmutable) = ("application/dash+xml", false)
        case "m3u8": (contentType, isImmutable) = ("application/vnd.apple.mpegurl", false)
        case "m4s", "mp4": (contentType, isImmutable) = (isAudio ? "audio/mp4" : "video/mp4", true)
        case "webm": (contentType, isImmutable) = ("video/webm", true)
        case "jpg", "jpeg": (contentType, isImmutable) = ("image/jpeg", false)
        default: (contentType, isImmutable) = ("application/octet-stream", false)
        }
    }

    /// What every answer with such an object says. Private, because a token may have been needed to get it.
    public var headers: HTTPHeaders {
        [
            "Cache-Control": isImmutable ? "private, max-age=31536000, immutable" : "no-cache",
            "X-Content-Type-Options": "nosniff",
        ]
    }
}
