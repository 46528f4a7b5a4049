import Auth
import HTTP
import Media
import Presentation

/// A route of playback with the right it needs; each program guards it in its own way.
public struct PlaybackRoute: Sendable {
    /// Of a GET, or of a POST where it is a `link(_:)`.
    public let pattern: String
    /// For the API's description.
    public let description: RouteDescription
    /// A token or a signature may also stand in the query, for players that can't set a header.
    public let isMedia: Bool
    /// The answer leads to no other address, so one link is enough for it, see `link(_:)`.
    public var isFile = false
    /// What a request must be allowed to do. Throws 400 for what is no stream's name.
    public let access: @Sendable (HTTPRequest) throws -> Access
    /// Answers a request that was let in.
    public let handler: Router.Handler
}

/// Lists of recordings, manifests and clips, the same on a node and on the coordinator.
public struct PlaybackRoutes: Sendable {
    let source: any PlaybackSource
    let lines = LiveLines()

    /// Routes over what `source` has.
    public init(source: any PlaybackSource) { self.source = source }

    private static let range: [RouteParameter] = [
        .query("from", "RFC 3339 or Unix time"), .query("to", "RFC 3339 or Unix time"),
    ]
    private static let mpdType = "application/dash+xml"
    private static let hlsType = "application/vnd.apple.mpegurl"

    /// All of them.
    public var all: [PlaybackRoute] {
        let subscribe: @Sendable (HTTPRequest) throws -> Access = { .subscribe(stream: try $0.streamName()) }
        let streams = PlaybackRoute(
            pattern: "/api/playback", description: RouteDescription("Streams that have recordings", tag: "playback"),
            isMedia: false, access: { _ in .browse }
        ) { _ in try .json(try await source.streams()) }
        let list = PlaybackRoute(
            pattern: "/api/playback/{stream}",
            description: RouteDescription(
                "Recordings of a stream, newest first", tag: "playback",
                parameters: Self.range + [
                    .query("limit", "Rows, 1 to 1000", kind: .integer), .query("cursor", "Where to go on; see the Link header"),
                ], responses: [RouteResponse(200, "Rows", contentType: "application/json")]),
            isMedia: false, access: subscribe, handler: list)
        return [streams, list] + manifests(subscribe) + SilenceRoutes.all(subscribe)
            + ClipRoute(source: source).routes(subscribe)
    }

    private func manifests(_ access: @escaping @Sendable (HTTPRequest) throws -> Access) -> [PlaybackRoute] {
        let parameters = Self.range + [.query("gaps", "collapse (default) leaves out times without recording; keep keeps them")]
        func manifest(
            _ name: String, _ summary: String, _ type: String, more: [RouteParameter] = [], responses: [RouteResponse] = [],
            _ make: @escaping Router.Handler
        ) -> PlaybackRoute {
            let refusals = type == Self.hlsType ? [RouteResponse(409, "All video is VP8, which HLS cannot carry")] : []
            return PlaybackRoute(
                pattern: "/api/playback/{stream}/\(name)",
                description: RouteDescription(
                    summary, tag: "playback", parameters: parameters + more,
                    responses: [
                        RouteResponse(200, "The manifest", contentType: type), RouteResponse(404, "Nothing recorded then"),
                    ] + refusals + responses), isMedia: true, access: access, handler: make)
        }
        let heads = [
            manifest(
                "manifest.mpd", "DASH manifest of what is recorded", Self.mpdType,
                more: [.query("origin", "The instant positions are counted from; manifests that grow lead to it")], mpd),
            manifest("index.m3u8", "HLS multivariant playlist", Self.hlsType, multivariantPlaylist),
        ]
        return heads
            + Timeline.Rendition.allCases.map { rendition in
                manifest(
                    "\(rendition.rawValue).m3u8", "HLS media playlist of the \(rendition.rawValue)", Self.hlsType,
                    more: PlaylistDirectives.parameters + [
                        .query("origin", "What numbers are counted from; index.m3u8 of what grows leads to it")
                    ], responses: [RouteResponse(410, "The recording is deleted that numbers are counted from")]
                ) { try await mediaPlaylist(rendition, $0) }
            }
    }

    // MARK: list

    private func list(_ request: HTTPRequest) async throws -> HTTPResponse {
        let stream = try request.streamName()
        var query = RecordingQuery(
            stream: stream, fromUs: try request.instant("from"), toUs: try request.instant("to"))
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
        let page = try await source.page(query)
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
        let askedUs = try request.instant("origin")
        let (timeline, _, fromUs) = try await settled(request)
        let keepsGaps = timeline.isGrowing || request.query.first("gaps") == GapRule.keep.rawValue
        let originUs = timeline.origin(keepsGaps ? askedUs : nil)
        // Whoever began with gaps on the line must keep them when the recording ends, or all positions would jump.
        let next =
            "manifest.mpd?"
            + Self.childQuery(request, without: ["gaps"], fromUs: fromUs, and: "gaps=keep&origin=\(originUs)")
        let document = timeline.mpd(
            addresses: addresses(request), isDynamic: timeline.isGrowing, originUs: originUs, nextVersion: next)
        return Self.bytes(document.utf8, Self.mpdType)
    }

    /// Leads to the media playlists; of a line that grows, to addresses that say what must not change in them.
    private func multivariantPlaylist(_ request: HTTPRequest) async throws -> HTTPResponse {
        let (line, live, fromUs) = try await settled(request)
        let timeline = try Self.withoutWebM(line)
        let longest = await longestSegment(of: try request.streamName(), live)
        let origin = timeline.playlistOrigin(segmentSecondsMax: longest).map { "origin=\(PercentCoding.encode($0.text))" }
        let query = Self.childQuery(request, fromUs: fromUs, and: origin)
        return Self.text(timeline.multivariantPlaylist(query: query), Self.hlsType)
    }

    private func longestSegment(of stream: String, _ live: LiveEdge?) async -> Double {
        await lines.segmentSecondsMax(of: stream, live, otherwise: source.segmentSecondsMax)
    }

    /// Waits, when it is asked to, until the playlist has the part or segment that is asked for (RFC 8216bis 6.2.5.2).
    private func mediaPlaylist(_ rendition: Timeline.Rendition, _ request: HTTPRequest) async throws -> HTTPResponse {
        let directives = try PlaylistDirectives(request)
        let told = try Self.playlistOrigin(request)
        let query = Self.items(of: request, ["origin"]).first
        let clock = ContinuousClock()
        let began = clock.now
        while true {
            let (line, live, fromUs) = try await line(request, isPolled: true)
            let timeline = try Self.withoutWebM(line)
            let longest = await longestSegment(of: try request.streamName(), live)
            let origin = await lines.origin(
                told, of: try request.streamName(), fromUs: try request.instant("from"), on: timeline)
            guard
                let list = timeline.mediaPlaylist(
                    rendition, addresses: addresses(request), live: live?.withoutWebM, segmentSecondsMax: longest, origin: origin,
                    query: Self.childQuery(request, fromUs: fromUs, and: query))
            else { throw Self.absence(of: rendition, origin) }
            let isThere = directives.sequence.map { list.has(sequence: $0, part: directives.part) } ?? true
            if !isThere, let sequence = directives.sequence, list.isAbsurd(sequence: sequence, part: directives.part) {
                throw HTTPError(.badRequest, "segment \(sequence) lies too far ahead of the last one, \(list.lastSequence)")
            }
            let isReady = isThere && !list.isEdgeStale
            // A node's word that is a little behind its index catches up within a moment.
            let bound = isThere ? 1 : list.waitSecondsMax
            let left = bound - Double((clock.now - began) / .milliseconds(1)) / 1_000
            if !isReady, left > 0, let live,
                await source.awaitChange(of: try request.streamName(), past: live.version, seconds: left)
            {
                continue
            }
            guard isThere else {
                throw HTTPError(
                    .serviceUnavailable, "the recording did not come as far in time", headers: ["Retry-After": "1"])
            }
            return Self.text(list.text(isDelta: directives.isDelta), Self.hlsType)
        }
    }

    private static func playlistOrigin(_ request: HTTPRequest) throws(HTTPError) -> PlaylistOrigin? {
        guard let text = request.query.first("origin") else { return nil }
        guard let origin = PlaylistOrigin(text) else { throw HTTPError(.badRequest, "origin is none of ours") }
        return origin
    }

    private static func absence(of rendition: Timeline.Rendition, _ origin: PlaylistOrigin?) -> HTTPError {
        origin?.has(rendition) != true
            ? HTTPError(.notFound, "there is no \(rendition.rawValue) in this range")
            : HTTPError(.gone, "the recording that this playlist is counted from is deleted: begin again with index.m3u8")
    }

    /// What is asked for on one line, with tracks that stay what they are; and where the line begins when nobody asked for that.
    private func settled(_ request: HTTPRequest) async throws -> (timeline: Timeline, live: LiveEdge?, fromUs: Int64?) {
        let (timeline, live, fromUs) = try await line(request, isPolled: false)
        guard let settled = timeline.settled(live) else {
            throw HTTPError(.notFound, "the recording has only begun", headers: ["Retry-After": "1"])
        }
        return (settled, live, fromUs)
    }

    /// What of a timeline HLS can carry.
    private static func withoutWebM(_ timeline: Timeline) throws(HTTPError) -> Timeline {
        guard let timeline = timeline.withoutWebM else {
            throw HTTPError(.conflict, "this is VP8, recorded as WebM, which HLS cannot carry: play manifest.mpd")
        }
        return timeline
    }

    /// What is asked for on one line, and what is being written behind its end.
    ///
    /// - Parameter isPolled: the answer leads to no address of its own, but is asked for again and again.
    /// - Returns: also where a line that grows begins when the request does not say; who goes on with it must say so.
    private func line(
        _ request: HTTPRequest, isPolled: Bool
    ) async throws -> (timeline: Timeline, live: LiveEdge?, fromUs: Int64?) {
        let (fromUs, toUs) = (try request.instant("from"), try request.instant("to"))
        try Self.checkOrder(fromUs, toUs)
        var gaps: GapRule?
        if let word = request.query.first("gaps") {
            guard let rule = GapRule(rawValue: word) else { throw HTTPError(.badRequest, "gaps must be collapse or keep") }
            gaps = rule
        }
        let stream = try request.streamName()
        let live = toUs == nil ? await source.liveEdge(of: stream) : nil
        func timeline(_ fromUs: Int64?) async throws -> Timeline {
            guard let live else { return try await source.timeline(stream: stream, fromUs: fromUs, toUs: toUs, gaps: gaps) }
            return try await lines.line(of: stream, fromUs: fromUs, gaps: gaps, live: live, source: source)
        }
        if fromUs == nil, toUs == nil, let newestUs = try await source.newestUs(of: stream, live) {
            let startUs = await lines.start(of: stream, newestUs: newestUs, isPolled: isPolled)
            // Nothing, or nothing that grows, may have been recorded since.
            if let line = try? await timeline(startUs), line.isGrowing { return (line, live, startUs) }
        }
        return (try await timeline(fromUs), live, nil)
    }

    private static func checkOrder(_ fromUs: Int64?, _ toUs: Int64?) throws(HTTPError) {
        if let fromUs, let toUs, toUs <= fromUs { throw HTTPError(.badRequest, "to must be later than from") }
    }

    /// What the addresses inside a manifest carry on: a token that came in the query because no header can be set.
    private func addresses(_ request: HTTPRequest) -> ObjectAddresses {
        ObjectAddresses(
            carriedQuery: Self.items(of: request, Gate.queryNames).joined(separator: "&"), namesNodes: source.namesNodes)
    }

    /// What of the query holds for the addresses a manifest leads to.
    ///
    /// - Parameter fromUs: where the line begins when the request doesn't say.
    private static func childQuery(
        _ request: HTTPRequest, without left: Set<String> = [], fromUs: Int64?, and more: String? = nil
    ) -> String {
        let names = (["from", "to", "gaps"] + Gate.queryNames).filter { !left.contains($0) && (fromUs == nil || $0 != "from") }
        let from = fromUs.map { ["from=\($0 / 1_000_000)"] } ?? []
        return (from + items(of: request, names) + (more.map { [$0] } ?? [])).joined(separator: "&")
    }

    private static func items(of request: HTTPRequest, _ names: [String]) -> [String] {
        request.query.filter { names.contains($0.name) }.map { "\($0.name)=\(PercentCoding.encode($0.value))" }
    }

    /// A manifest made for this request; its tag is of the content, so that a client that has it is told so.
    private static func bytes(_ bytes: [UInt8], _ type: String) -> HTTPResponse {
        .bytes(
            bytes, contentType: type,
            headers: ["ETag": ContentTag.of(bytes), "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"])
    }

    private static func text(_ text: String, _ type: String) -> HTTPResponse { bytes(Array(text.utf8), type) }
}

extension HTTPRequest {
    /// An instant of the query in Unix microseconds; nil when it is not given.
    func instant(_ name: String) throws(HTTPError) -> Int64? {
        guard let text = query.first(name), !text.isEmpty else { return nil }
        guard let us = Instant.parse(text) else { throw HTTPError(.badRequest, "\(name) is neither RFC 3339 nor Unix time") }
        return us
    }
}

/// Strong entity tags of content that is made in memory.
public enum ContentTag {
    private static let prime: UInt64 = 0x100_0000_01B3

    /// FNV-1a over eight bytes at a time, in four lanes, with the length beside it: a tag need not withstand an attacker, only tell
    /// versions apart.
    public static func of(_ bytes: [UInt8]) -> String {
        let hash = bytes.withUnsafeBytes { raw in
            var lanes: SIMD4<UInt64> = [
                0xCBF2_9CE4_8422_2325, 0x9AE1_6A3B_2F90_404F, 0xC949_D7C7_509E_6557, 0xFF51_AFD7_ED55_8CCD,
            ]
            let whole = raw.count & ~31
            for offset in stride(from: 0, to: whole, by: 32) {
                for lane in 0..<4 {
                    let word = raw.loadUnaligned(fromByteOffset: offset + 8 * lane, as: UInt64.self)
                    let product = (lanes[lane] ^ word) &* prime
                    // The product carries upwards only.
                    lanes[lane] = product ^ product >> 32
                }
            }
            var hash = raw[whole...].reduce(lanes[0]) { ($0 ^ UInt64($1)) &* prime }
            for lane in 1..<4 {
                hash = (hash ^ lanes[lane]) &* prime
                hash ^= hash >> 32
            }
            return hash
        }
        return "\"\(String(hash, radix: 16))-\(String(bytes.count, radix: 16))\""
    }
}
