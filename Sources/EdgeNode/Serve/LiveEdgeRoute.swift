import Auth
import HTTP
import Program
import Record

/// `GET /api/playback/{stream}/live`: what of a stream is being written, for coordinators. They ask again with the version they have
/// and are answered when there is another.
struct LiveEdgeRoute {
    let recorder: Recorder
    let gate: Gate

    func add(to router: inout Router) {
        let description = RouteDescription(
            "What of a stream is being written now; an empty session when nothing is", tag: "playback",
            parameters: [
                .query("after", "Answer when the version is another than this", kind: .integer),
                .query("wait", "Or after so many seconds, at most 30", kind: .integer),
            ], responses: [RouteResponse(200, "The recording's end with its parts", contentType: "application/json")])
        router.get("/api/playback/{stream}/live", description) { request in
            let stream = try request.streamName()
            try gate.check(request, .subscribe(stream: stream))
            if let after = request.query.first("after").flatMap({ Int64($0) }) {
                let seconds = request.query.first("wait").flatMap { Int($0) } ?? 20
                _ = await recorder.awaitChange(stream: stream, past: after, seconds: Double(min(max(seconds, 1), 30)))
            }
            return try .json(recorder.liveEdgeRecord(stream: stream), headers: ["Cache-Control": "no-store"])
        }
    }
}
