import Auth
import HTTP
import Media
import Presentation

/// `GET /api/playback/{stream}/export.mp4`: a part of what was recorded as one file.
///
/// `start` and `end` (or `from` and `to`, or `start` and `duration` in seconds) are instants; numbers below 10⁸ are seconds since
/// the recording began: the one that `recording` names, or the stream's first.
struct ClipRoute: Sendable {
    let source: any PlaybackSource

    /// A longer clip would be cut off by something on its way sooner or later.
    static let secondsMax: Int64 = 86_400
    /// How far before the start the key frame may be: recorders end a segment after 30 s at the latest.
    static let leadUs: Int64 = 60_000_000

    func route(_ access: @escaping @Sendable (HTTPRequest) throws -> Access) -> PlaybackRoute {
        let instant = "RFC 3339, Unix time, or seconds since the recording began"
        return PlaybackRoute(
            pattern: "/api/playback/{stream}/export.mp4",
            description: RouteDescription(
                "A part of what was recorded as one MP4 file", tag: "playback",
                parameters: [
                    .query("start", instant), .query("end", instant), .query("duration", "Seconds, instead of end"),
                    .query("recording", "Whose start seconds are counted from; the stream's first when not given"),
                    .query("cut", "keyframe (default) begins at the key frame before start; exact hides what is before it"),
                ],
                responses: [
                    RouteResponse(200, "The file; X-Clip-Start says when it begins", contentType: "video/mp4"),
                    RouteResponse(400, "No range, or none that can be meant"), RouteResponse(404, "Nothing recorded then"),
                    RouteResponse(409, "The format changes in the range, or has no place in MP4"),
                ]), isMedia: true, access: access, handler: answer)
    }

    private func answer(_ request: HTTPRequest) async throws -> HTTPResponse {
        let stream = try request.streamName()
        var cut = ClipCut.keyframe
        if let word = request.query.first("cut") {
            guard let known = ClipCut(rawValue: word) else { throw HTTPError(.badRequest, "cut must be keyframe or exact") }
            cut = known
        }
        let wallUs = try await range(request, stream)
        let timeline = try await source.timeline(
            stream: stream, fromUs: max(0, wallUs.lowerBound - Self.leadUs), toUs: wallUs.upperBound, gaps: .collapse)
        guard let plan = ClipPlan(timeline, wallUs: wallUs) else {
            throw HTTPError(.notFound, "nothing of \(stream) is recorded in this range")
        }
        guard !plan.sections.flatMap(\.lanes).contains(where: { $0.track.container == .webm }) else {
            throw HTTPError(.conflict, "this is VP8, recorded as WebM, which has no place in MP4")
        }
        let source = source
        let assembly = try await ClipAssembly(plan, cut: cut) { key, node in
            try await source.object(key, node: node, for: request)
        }
        return .stream(
            contentType: assembly.hasVideo ? "video/mp4" : "audio/mp4",
            headers: [
                "X-Clip-Start": ISO8601.dateTime(microseconds: assembly.startUs),
                "Content-Disposition": "attachment; filename=\"\(Self.name(stream, assembly))\"",
                "Cache-Control": "private, no-store",
                "Accept-Ranges": "none", "X-Content-Type-Options": "nosniff",
            ]
        ) { writer in
            // What fails from here on breaks the connection: a file that is short must not look whole.
            try await assembly.write { try await writer.write($0) }
        }
    }

    private static func name(_ stream: String, _ assembly: ClipAssembly) -> String {
        let start = ISO8601.dateTime(microseconds: assembly.startUs).prefix(19).filter { $0 != "-" && $0 != ":" }
        return "\(stream)_\(start)Z_\(max(1, (assembly.durationUs + 500_000) / 1_000_000))s.mp4"
    }

    // MARK: range

    private func range(_ request: HTTPRequest, _ stream: String) async throws -> Range<Int64> {
        guard let start = try await instant(["start", "from"], request, stream) else {
            throw HTTPError(.badRequest, "say from when to when: start and end")
        }
        var end = try await instant(["end", "to"], request, stream)
        if end == nil, let text = request.query.first("duration") {
            guard let us = Instant.parseOffset(text), us > 0 else {
                throw HTTPError(.badRequest, "duration is no number of seconds")
            }
            end = start + us
        }
        guard let end else { throw HTTPError(.badRequest, "say until when: end, or duration in seconds") }
        guard end > start else { throw HTTPError(.badRequest, "end must be later than start") }
        guard end - start <= Self.secondsMax * 1_000_000 else {
            throw HTTPError(.badRequest, "a clip holds at most \(Self.secondsMax / 3_600) hours")
        }
        return start..<end
    }

    private func instant(_ names: [String], _ request: HTTPRequest, _ stream: String) async throws -> Int64? {
        let given = names.lazy.compactMap { name in request.query.first(name).map { (name: name, text: $0) } }
        guard let (name, text) = given.first(where: { !$0.text.isEmpty }) else { return nil }
        if let offset = Instant.parseOffset(text) {
            let id = request.query.first("recording")
            guard let start = try await source.recordingStart(stream: stream, id: id) else {
                throw HTTPError(.notFound, id.map { "\(stream) has no recording \($0)" } ?? "nothing of \(stream) is recorded")
            }
            return start + offset
        }
        guard let us = Instant.parse(text) else {
            throw HTTPError(.badRequest, "\(name) is neither RFC 3339 nor Unix time nor seconds")
        }
        return us
    }
}
