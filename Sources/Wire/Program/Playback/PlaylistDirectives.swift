import HTTP

/// What a player asks of a media playlist beside the playlist itself (RFC 8216bis 6.2.5).
struct PlaylistDirectives: Equatable {
    /// `_HLS_msn`: wait until the playlist has this segment.
    var sequence: Int?
    /// `_HLS_part`: or this part of it, from 0.
    var part: Int?
    /// `_HLS_skip`: the player has an older version.
    var isDelta = false

    static let parameters: [RouteParameter] = [
        .query("_HLS_msn", "Wait for the segment of this media sequence number", kind: .integer),
        .query("_HLS_part", "Wait for this part of it", kind: .integer),
        .query("_HLS_skip", "YES or v2: leave out what an older version had"),
    ]

    /// Throws 400 for what is no number, and for a part of nothing.
    init(_ request: HTTPRequest) throws(HTTPError) {
        sequence = try Self.number("_HLS_msn", request)
        part = try Self.number("_HLS_part", request)
        guard part == nil || sequence != nil else { throw HTTPError(.badRequest, "_HLS_part means nothing without _HLS_msn") }
        isDelta = ["YES", "v2"].contains(request.query.first("_HLS_skip"))
    }

    private static func number(_ name: String, _ request: HTTPRequest) throws(HTTPError) -> Int? {
        guard let text = request.query.first(name) else { return nil }
        guard let value = Int(text), (0...Self.numberMax).contains(value) else {
            throw HTTPError(.badRequest, "\(name) must be a number")
        }
        return value
    }

    /// Segments that no playlist reaches.
    private static let numberMax = 1 << 40
}
