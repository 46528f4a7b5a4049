import Auth
import HTTP
import Media
import Presentation

/// `GET /api/playback/{stream}/export.mp4`, a part of what was recorded as one file, and `…/{recording}/file.mp4`, one recording or a
/// part of it.
///
/// `start` and `end` (or `from` and `to`, or `start` and `duration` in seconds) are instants; numbers below 10⁸ are seconds since
/// the recording began: the one that `recording` names, or the stream's first. A recording's file needs neither.
struct ClipRoute: Sendable {
    let source: any PlaybackSource

    /// A longer clip would be cut off by something on its way sooner or later.
    static let secondsMax: Int64 = 86_400
    /// What a day's recording has behind midnight, up to the first key frame; its file has that, too.
    static let tailUs: Int64 = 60_000_000
    /// How far before the start the key frame may be: recorders end a segment after 30 s at the latest.
    static let leadUs: Int64 = 60_000_000

    func routes(_ access: @escaping @Sendable (HTTPRequest) throws -> Access) -> [PlaybackRoute] {
        let instant = "RFC 3339, Unix time, or seconds since the recording began"
        let parameters: [RouteParameter] = [
            .query("start", instant), .query("end", instant), .query("duration", "Seconds, instead of end"),
            .query("cut", "keyframe (default) begins at the key frame before start; exact hides what is before it"),
        ]
        func route(_ name: String, _ summary: String, _ more: RouteParameter, _ answer: @escaping Router.Handler) -> PlaybackRoute
        {
            PlaybackRoute(
                pattern: "/api/playback/{stream}/\(name)",
                description: RouteDescription(
                    summary, tag: "playback", parameters: parameters + [more],
                    responses: [
                        RouteResponse(200, "The file; X-Clip-Start says when it begins", contentType: "video/mp4"),
                        RouteResponse(400, "No range, or none that can be meant"), RouteResponse(404, "Nothing recorded then"),
                        RouteResponse(409, "The format changes in the range, or has no place in MP4"),
                    ]), isMedia: true, isFile: true, access: access, handler: answer)
        }
        return [
            route(
                "export.mp4", "A part of what was recorded as one MP4 file",
                .query("recording", "Whose start seconds are counted from; the stream's first when not given"), export),
            route(
                "{recording}/file.mp4", "A recording as one MP4 file, or only what start and end say; either may be left out",
                .query("node", "The node that made it; needed only when two have one of this id"), file),
        ]
    }

    private func export(_ request: HTTPRequest) async throws -> HTTPResponse {
        let stream = try request.streamName()
        let clock = Clock(stream: stream, recording: request.query.first("recording"))
        guard let start = try await instant(["start", "from"], request, clock) else {
            throw HTTPError(.badRequest, "say from when to when: start and end")
        }
        guard let end = try await self.end(request, clock, start: start) else {
            throw HTTPError(.badRequest, "say until when: end, or duration in seconds")
        }
        try Self.check(start, end)
        return try await clip(request, stream, start..<end, disposition: "attachment") { _ in true }
    }

    private func file(_ request: HTTPRequest) async throws -> HTTPResponse {
        let (stream, id, node) = (try request.streamName(), request.parameter("recording"), request.query.first("node"))
        let clock = Clock(stream: stream, recording: id)
        let start = try await instant(["start", "from"], request, clock)
        let from = if let start { start } else { try await beginning(clock) }
        let end = try await self.end(request, clock, start: from)
        if let end { try Self.check(from, end) }
        let to = end ?? from + Self.secondsMax * 1_000_000 + Self.tailUs
        return try await clip(request, stream, from..<to, mustEnd: end == nil, disposition: "inline") { recording in
            recording.session == id && (node ?? recording.node) == recording.node
        }
    }

    /// The file of what the recordings that are `wanted` have between two instants, Unix microseconds.
    /// - Parameter mustEnd: nothing of them may lie behind.
    private func clip(
        _ request: HTTPRequest, _ stream: String, _ wallUs: Range<Int64>, mustEnd: Bool = false, disposition: String,
        wanted: (IndexedRecording) -> Bool
    ) async throws -> HTTPResponse {
        let cut = try Self.cut(request)
        let found = try await source.material(
            stream: stream, fromUs: max(0, wallUs.lowerBound - Self.leadUs), toUs: wallUs.upperBound
        ).filter { wanted($0.recording) }
        // One that grows was changed last when its newest segment came.
        if mustEnd, found.contains(where: { ($0.recording.endUs ?? $0.recording.updatedUs) > wallUs.upperBound }) {
            throw HTTPError(
                .badRequest, "a file holds at most \(Self.secondsMax / 3_600) hours, and there are more: give start and end")
        }
        guard let timeline = Timeline(found, gaps: .collapse), let plan = ClipPlan(timeline, wallUs: wallUs) else {
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
                "Content-Disposition": "\(disposition); filename=\"\(Self.name(stream, assembly))\"",
                "Cache-Control": "private, no-store",
                "Accept-Ranges": "none", "X-Content-Type-Options": "nosniff",
            ]
        ) { writer in
            // What fails from here on breaks the connection: a file that is short must not look whole.
            try await assembly.write { try await writer.write($0) }
        }
    }

    private static func cut(_ request: HTTPRequest) throws(HTTPError) -> ClipCut {
        guard let word = request.query.first("cut") else { return .keyframe }
        guard let known = ClipCut(rawValue: word) else { throw HTTPError(.badRequest, "cut must be keyframe or exact") }
        return known
    }

    private static func name(_ stream: String, _ assembly: ClipAssembly) -> String {
        let start = ISO8601.dateTime(microseconds: assembly.startUs).prefix(19).filter { $0 != "-" && $0 != ":" }
        return "\(stream)_\(start)Z_\(max(1, (assembly.durationUs + 500_000) / 1_000_000))s.mp4"
    }

    // MARK: range

    /// Whose beginning seconds are counted from.
    private struct Clock {
        let stream: String
        /// The stream's first when nil.
        let recording: String?
    }

    private static func check(_ from: Int64, _ to: Int64) throws(HTTPError) {
        guard to > from else { throw HTTPError(.badRequest, "end must be later than start") }
        guard to - from <= secondsMax * 1_000_000 else {
            throw HTTPError(.badRequest, "a clip holds at most \(secondsMax / 3_600) hours")
        }
    }

    /// Nil when the request says none.
    private func end(_ request: HTTPRequest, _ clock: Clock, start: Int64) async throws -> Int64? {
        if let end = try await instant(["end", "to"], request, clock) { return end }
        guard let text = request.query.first("duration") else { return nil }
        guard let us = Instant.parseOffset(text), us > 0 else {
            throw HTTPError(.badRequest, "duration is no number of seconds")
        }
        return start + us
    }

    private func instant(_ names: [String], _ request: HTTPRequest, _ clock: Clock) async throws -> Int64? {
        let given = names.lazy.compactMap { name in request.query.first(name).map { (name: name, text: $0) } }
        guard let (name, text) = given.first(where: { !$0.text.isEmpty }) else { return nil }
        if let offset = Instant.parseOffset(text) { return try await beginning(clock) + offset }
        guard let us = Instant.parse(text) else {
            throw HTTPError(.badRequest, "\(name) is neither RFC 3339 nor Unix time nor seconds")
        }
        return us
    }

    private func beginning(_ clock: Clock) async throws -> Int64 {
        guard let start = try await source.recordingStart(stream: clock.stream, id: clock.recording) else {
            throw HTTPError(
                .notFound,
                clock.recording.map { "\(clock.stream) has no recording \($0)" } ?? "nothing of \(clock.stream) is recorded")
        }
        return start
    }
}
