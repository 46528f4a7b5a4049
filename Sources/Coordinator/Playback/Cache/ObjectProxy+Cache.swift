import HTTP
import Nodes
import Program
import Store

extension ObjectProxy {
    /// How long a manifest, or that there is none, is given to others, counted from when it was asked for: half of the shortest segment that nodes
    /// can be told to make.
    private static let manifestMs: UInt64 = 250

    /// Manifests are read anew from now on, each by whoever asks for it next.
    public func forgetManifests() { cache?.renew() }

    /// From memory, or fetched into it from the shared store; nil when this request has to go past the cache.
    func cachedFromStore(
        _ request: HTTPRequest, _ key: ObjectKey, _ store: any ObjectStore
    ) async throws(StoreError) -> HTTPResponse? {
        do {
            let name = CacheKey(origin: .store, object: key, range: nil)
            return try await cached(
                request, name, WantedBytes(request.headers), isAbsent: { $0 as? StoreError == .notFound }
            ) { wanted in
                let kind = ObjectKind(key.name)
                let body = try await store.get(key, range: wanted.range)
                var headers = StoredObject.described(body.info, kind.headers)
                headers["Content-Type"] = kind.contentType
                if wanted.range != nil {
                    headers["Content-Range"] = "bytes \(body.range.lowerBound)-\(body.range.upperBound - 1)/\(body.info.size)"
                }
                return ObjectSource(
                    head: ObjectHead(
                        headers: headers, isPart: wanted.range != nil, count: Int(body.range.upperBound - body.range.lowerBound))
                ) {
                    var pieces = body.chunks.makeAsyncIterator()
                    return try await pieces.next()
                }
            }
        } catch let error as StoreError {
            throw error
        } catch {
            throw .unavailable(reason: "the request was given up")
        }
    }

    /// From memory, or fetched into it from a node; nil when this request has to go past the cache.
    /// - Parameter part: the number of a part of a segment; nil: the object.
    func cachedFromNode(
        _ request: HTTPRequest, _ key: ObjectKey, part: Int?, _ node: NodeView
    ) async throws -> HTTPResponse? {
        // Where the client's own credential is what the node goes by, nobody else gets what it was given.
        let own = [request.headers["Authorization"], request.headers["X-Auth-Token"]].map { $0 ?? "" }.joined(separator: "\n")
        let hasToken = node.token.map { !$0.isEmpty } ?? false
        let origin = CacheKey.Origin.node(node.alias, credential: hasToken ? "" : own)
        let name = CacheKey(origin: origin, object: key, range: nil, query: Self.nodeQuery(request, key, part: part))
        // Of a part all is fetched, whatever is asked for of it: it is small.
        let asked = part == nil ? WantedBytes(request.headers) : WantedBytes.all
        return try await cached(request, name, asked, isAbsent: { ($0 as? HTTPError)?.status == .notFound }) { wanted in
            let conditions: HTTPHeaders = wanted.text.map { ["Range": "bytes=\($0)"] } ?? [:]
            let answer = try await ask(node, for: key, part: part, .get, conditions, on: request)
            return ObjectSource(
                head: ObjectHead(
                    headers: Self.headers(of: answer, ObjectKind(key.name)), isPart: answer.status == .partialContent,
                    count: answer.headers["Content-Length"].flatMap { Int($0) },
                    isForAll: !answer.headers.list("Cache-Control").contains { $0.lowercased() == "no-store" })
            ) { try await answer.body.next() }
        }
    }

    /// - Parameters:
    ///   - name: of all of the object.
    ///   - asked: what the request's header wants of it; nil when that depends on what the object is.
    private func cached(
        _ request: HTTPRequest, _ name: CacheKey, _ asked: WantedBytes?,
        isAbsent: @escaping @Sendable (any Error) -> Bool, fetch: @escaping @Sendable (WantedBytes) async throws -> ObjectSource
    ) async throws -> HTTPResponse? {
        guard let cache else { return nil }
        let isImmutable = ObjectKind(name.object.name).isImmutable
        var name = name
        if !isImmutable { name.renewal = cache.renewals }
        if let lease = cache.lookup(name) { return Self.response(lease) }
        // A manifest is small, and most who poll it have a version already: all of it is fetched, and the router tells them 304.
        guard request.method == .get, let wanted = isImmutable ? asked : WantedBytes.all else { return nil }
        name.range = wanted.text
        let freshMs = isImmutable ? nil : Self.manifestMs
        switch try await cache.object(name, freshMs: freshMs, isAbsent: isAbsent, fetch: { try await fetch(wanted) }) {
        case .lease(let lease): return Self.response(lease)
        // Conditions and ranges of what is not kept are its origin's to answer.
        case .source(let source): return asked == wanted ? Self.response(source) : nil
        case .uncached: return nil
        }
    }

    /// Conditions and ranges are the router's to answer, where all of the object is here.
    private static func response(_ lease: ObjectCache.Lease) -> HTTPResponse {
        HTTPResponse(
            lease.head.isPart ? .partialContent : .ok, headers: lease.head.headers, body: .shared(lease.body, owner: lease))
    }

    private static func response(_ source: ObjectSource) -> HTTPResponse {
        HTTPResponse(
            source.head.isPart ? .partialContent : .ok, headers: source.head.headers,
            body: .stream(length: source.head.count.map { Int64($0) }) { writer in
                while let bytes = try await source.stream() { try await writer.write(bytes) }
            })
    }
}

/// The bytes a request without conditions wants, when everybody who sends it gets the same.
struct WantedBytes: Sendable, Equatable {
    /// Nil: all of the object.
    let range: Range<Int64>?
    /// The range as `Range` has it, in one way of writing; nil as above.
    let text: String?

    /// All of an object.
    static let all = WantedBytes()

    private init() { (range, text) = (nil, nil) }

    /// Nil for requests with conditions, several ranges or a range from the end: their answers depend on what the object is.
    init?(_ headers: HTTPHeaders) {
        let conditions = ["If-None-Match", "If-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"]
        guard conditions.allSatisfy({ headers[$0] == nil }) else { return nil }
        guard let header = headers["Range"] else {
            (range, text) = (nil, nil)
            return
        }
        guard case .part(let part) = ByteRange(header, size: .max), !header.contains("=-") else { return nil }
        // Players ask so for the whole; it is told apart from it where the answer is made.
        guard part != 0..<Int64.max else {
            (range, text) = (nil, nil)
            return
        }
        range = part
        text = part.upperBound == .max ? "\(part.lowerBound)-" : "\(part.lowerBound)-\(part.upperBound - 1)"
    }
}
