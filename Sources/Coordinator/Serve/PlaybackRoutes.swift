import Auth
import Cluster
import HTTP
import Media
import Playback
import Presentation
import Program
import Records

/// Lists of recordings, manifests and objects.
struct PlaybackRoutes: Sendable {
    let catalog: PlaybackCatalog
    let objects: ObjectProxy

    private static let range: [RouteParameter] = [
        .query("from", "RFC 3339 or Unix seconds"), .query("to", "RFC 3339 or Unix seconds"),
    ]

    func add(to router: inout GuardedRouter) {
        router.on(
            .get, "/api/playback", RouteDescription("Streams that have recordings", tag: "playback"), needs: { _ in .browse }
        ) { _ in try .json(try await catalog.streams()) }
        let needs: GuardedRouter.Needs = { .subscribe(stream: try $0.streamName()) }
        router.on(
            .get, "/api/playback/{stream}",
            RouteDescription(
                "Recordings of a stream, newest first", tag: "playback",
                parameters: Self.range + [
                    .query("limit", "Rows, 1 to 1000", kind: .integer), .query("cursor", "Where to go on; see the Link header"),
                ], responses: [RouteResponse(200, "Rows", contentType: "application/json")]), needs: needs, list)
        addManifests(to: &router, needs)
        router.on(
            .get, "/api/record/object/{path*}",
            RouteDescription(
                "An object of a recording", tag: "playback", parameters: [.query("node", "The node that has it")],
                responses: [
                    RouteResponse(200, "The object"), RouteResponse(206, "A part of it"),
                    RouteResponse(400, "Not an object's path"),
                    RouteResponse(404, "No such object"), RouteResponse(416, "A range outside of it"),
                    RouteResponse(503, "Its node can't be reached"),
                ]), isMedia: true,
            needs: { .subscribe(stream: await objects.stream(ofPath: $0.parameter("path"))) }
        ) { request in
            try await objects.respond(to: request, path: request.parameter("path"), node: request.query.first("node"))
        }
    }

    private func addManifests(to router: inout GuardedRouter, _ needs: @escaping GuardedRouter.Needs) {
        let parameters = Self.range + [.query("gaps", "collapse (default) leaves out times without recording; keep keeps them")]
        func manifest(_ name: String, _ summary: String, _ type: String, _ make: @escaping Router.Handler) {
            router.on(
                .get, "/api/playback/{stream}/\(name)",
                RouteDescription(
                    summary, tag: "playback", parameters: parameters,
                    responses: [
                        RouteResponse(200, "The manifest", contentType: type), RouteResponse(404, "Nothing recorded then"),
                    ]),
                isMedia: true, needs: needs, make)
        }
        manifest("manifest.mpd", "DASH manifest over days and nodes", Self.mpdType, mpd)
        manifest("index.m3u8", "HLS multivariant playlist", Self.hlsType) { request in
            Self.text(try await timeline(request).multivariantPlaylist(query: Self.childQuery(request)), Self.hlsType)
        }
        for rendition in Timeline.Rendition.allCases {
            manifest("\(rendition.rawValue).m3u8", "HLS media playlist of the \(rendition.rawValue)", Self.hlsType) { request in
                let timeline = try await timeline(request)
                guard let text = timeline.mediaPlaylist(rendition, addresses: Self.addresses(request)) else {
                    throw HTTPError(.notFound, "there is no \(rendition.rawValue) in this range")
                }
                return Self.text(text, Self.hlsType)
            }
        }
    }

    private static let mpdType = "application/dash+xml"
    private static let hlsType = "application/vnd.apple.mpegurl"

    // MARK: list

    private func list(_ request: HTTPRequest) async throws -> HTTPResponse {
        let stream = try request.streamName()
        var query = RecordingQuery(
            stream: stream, fromUs: try Self.instant("from", request), toUs: try Self.instant("to", request))
        if let text = request.query.first("limit") {
            guard let limit = Int(text), (1...1_000).contains(limit) else {
                throw HTTPError(.badRequest, "limit must be 1 to 1000")
            }
            query.limit = limit
        }
        if let text = request.query.first("cursor") {
            guard let cursor = RecordingCursor(text) else { throw HTTPError(.badRequest, "cursor is none of ours") }
            query.after = cursor
        }
        try Self.checkOrder(query.fromUs, query.toUs)
        let page = try await catalog.page(query)
        var headers: HTTPHeaders = ["Cache-Control": "no-cache"]
        if let next = page.next {
            let kept = request.query.filter { ["from", "to", "limit"].contains($0.name) }
            let items = kept.map { "\($0.name)=\(PercentCoding.encode($0.value))" } + ["cursor=\(next)"]
            headers["Link"] = "</api/playback/\(PercentCoding.encode(stream))?\(items.joined(separator: "&"))>; rel=\"next\""
        }
        return try .json(page.rows, headers: headers)
    }

    // MARK: manifests

    private func mpd(_ request: HTTPRequest) async throws -> HTTPResponse {
        let timeline = try await timeline(request)
        // Whoever began with gaps on the line must keep them when the recording ends, or all positions would jump.
        let next = "manifest.mpd?" + Self.childQuery(request, without: ["gaps"], and: "gaps=keep")
        let document = timeline.mpd(
            addresses: Self.addresses(request), isDynamic: timeline.isGrowing, nextVersion: next)
        return Self.text(document.xml, Self.mpdType)
    }

    private func timeline(_ request: HTTPRequest) async throws -> Timeline {
        let fromUs = try Self.instant("from", request)
        let toUs = try Self.instant("to", request)
        try Self.checkOrder(fromUs, toUs)
        var gaps: GapRule?
        if let word = request.query.first("gaps") {
            guard let rule = GapRule(rawValue: word) else { throw HTTPError(.badRequest, "gaps must be collapse or keep") }
            gaps = rule
        }
        return try await catalog.timeline(stream: try request.streamName(), fromUs: fromUs, toUs: toUs, gaps: gaps)
    }

    private static func instant(_ name: String, _ request: HTTPRequest) throws(HTTPError) -> Int64? {
        guard let text = request.query.first(name), !text.isEmpty else { return nil }
        guard let us = Instant.parse(text) else {
            throw HTTPError(.badRequest, "\(name) is neither RFC 3339 nor Unix seconds")
        }
        return us
    }

    private static func checkOrder(_ fromUs: Int64?, _ toUs: Int64?) throws(HTTPError) {
        if let fromUs, let toUs, toUs <= fromUs { throw HTTPError(.badRequest, "to must be later than from") }
    }

    /// What the addresses inside a manifest carry on: a token that came in the query because no header can be set.
    private static func addresses(_ request: HTTPRequest) -> ObjectAddresses {
        ObjectAddresses(carriedQuery: request.query.first("token").map { "token=\(PercentCoding.encode($0))" } ?? "")
    }

    /// What of the query holds for the addresses a manifest leads to.
    private static func childQuery(
        _ request: HTTPRequest, without left: Set<String> = [], and more: String? = nil
    ) -> String {
        let kept = request.query.filter { ["from", "to", "gaps", "token"].contains($0.name) && !left.contains($0.name) }
        let items = kept.map { "\($0.name)=\(PercentCoding.encode($0.value))" } + (more.map { [$0] } ?? [])
        return items.joined(separator: "&")
    }

    /// A manifest made for this request; its tag is of the content, so that a client that has it is told so.
    private static func text(_ text: String, _ type: String) -> HTTPResponse {
        .text(
            text, contentType: type,
            headers: ["ETag": ContentTag.of(text), "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"])
    }
}

/// Strong entity tags of content that is made in memory.
enum ContentTag {
    /// FNV-1a over the bytes with the length beside it: a tag need not withstand an attacker, only tell versions apart.
    static func of(_ text: String) -> String {
        let hash = text.utf8.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        return "\"\(String(hash, radix: 16))-\(String(text.utf8.count, radix: 16))\""
    }
}
