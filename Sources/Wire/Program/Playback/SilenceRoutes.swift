import Auth
import HTTP
import Media
import Presentation

/// The silence that HLS playlists of sound name where a recording had none: players that take a gap out of one rendition and not out
/// of the other would play sound and pictures apart from then on.
enum SilenceRoutes {
    private static let headers: HTTPHeaders = [
        "Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff",
    ]

    static func all(_ access: @escaping @Sendable (HTTPRequest) throws -> Access) -> [PlaybackRoute] {
        let kind: [RouteParameter] = [
            .query("codecs", "opus, mp4a.40.2, mp4a.40.5 or mp4a.40.29"), .query("rate", "Samples a second", kind: .integer),
            .query("channels", "1 to 8", kind: .integer),
        ]
        func route(
            _ name: String, _ summary: String, _ more: [RouteParameter],
            _ make: @escaping @Sendable (HTTPRequest) throws -> [UInt8]
        ) -> PlaybackRoute {
            PlaybackRoute(
                pattern: "/api/playback/{stream}/\(name)",
                description: RouteDescription(
                    summary, tag: "playback", parameters: kind + more,
                    responses: [RouteResponse(200, "CMAF", contentType: "audio/mp4")]),
                isMedia: true, access: access
            ) { .bytes(try make($0), contentType: "audio/mp4", headers: headers) }
        }
        return [
            route("silence_init.mp4", "Initialization segment of silence", []) { request in
                let silence = try silence(request)
                return try made { () throws(FragmentWriterError) in try silence.initialization() }
            },
            route(
                "silence.m4s", "Silence",
                [.query("t", "Begin, in samples", kind: .integer), .query("d", "Duration, in samples", kind: .integer)]
            ) { request in
                let (silence, time, duration) = (try silence(request), try number("t", request), try number("d", request))
                return try made { () throws(FragmentWriterError) in try silence.segment(time: time, duration: duration) }
            },
        ]
    }

    private static func silence(_ request: HTTPRequest) throws(HTTPError) -> Silence {
        let (rate, channels) = (try number("rate", request), try number("channels", request))
        guard let silence = Silence(codecs: request.query.first("codecs") ?? "", sampleRate: Int(rate), channels: Int(channels))
        else { throw HTTPError(.badRequest, "there is no such silence") }
        return silence
    }

    private static func number(_ name: String, _ request: HTTPRequest) throws(HTTPError) -> Int64 {
        guard let text = request.query.first(name), let value = Int64(text), (0...(1 << 53)).contains(value) else {
            throw HTTPError(.badRequest, "\(name) must be a number")
        }
        return value
    }

    private static func made(_ make: () throws(FragmentWriterError) -> [UInt8]) throws(HTTPError) -> [UInt8] {
        do throws(FragmentWriterError) {
            return try make()
        } catch {
            switch error {
            case .unsupported: throw HTTPError(.badRequest, "there is no such silence")
            default: throw HTTPError(.internalServerError, "the muxer failed")
            }
        }
    }
}
