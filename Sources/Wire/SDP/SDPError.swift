/// Why a session description or a fragment was not taken. Each case has one HTTP status (RFC 9725 section 4.2).
///
/// The text is ours and never repeats what the peer sent, so it can go into a response and a log line.
public enum SDPError: Error, Sendable, Equatable {
    /// The bytes are not SDP, or lack what no transport can do without: 400.
    case malformed(String)
    /// More bytes than `SDPLimits.bytes`: 413.
    case tooLarge(bytes: Int, limit: Int)
    /// Proper SDP which asks for something that this server does not do: 422.
    case unacceptable(String)
}

extension SDPError: CustomStringConvertible {
    /// One sentence for an error response.
    public var description: String {
        switch self {
        case .malformed(let reason): "malformed SDP: \(reason)"
        case .tooLarge(let bytes, let limit): "SDP of \(bytes) bytes is over the limit of \(limit)"
        case .unacceptable(let reason): "unacceptable SDP: \(reason)"
        }
    }
}

/// How much a peer may make us read. Everything past the first three is counted per media section.
///
/// A browser's largest offer is near 10 KiB and 250 lines; the numbers leave a factor of eight or more.
public enum SDPLimits {
    /// Bytes of one description or fragment.
    public static let bytes = 128 * 1024
    /// Lines of one description or fragment, empty ones included.
    public static let lines = 2000
    /// Media sections of one description.
    public static let sections = 64
    /// Candidate lines of one description or fragment.
    public static let candidates = 100
    /// Payload types on one `m=` line; there are only 128.
    public static let formats = 128
    /// Header extensions, and distinct SSRCs, of one section.
    public static let extensions = 64
    /// Distinct SSRCs of one section.
    public static let sources = 64
    /// Simulcast layers of one section, and alternatives of one.
    public static let layers = 16
    /// Layers of one section that are asked for: browsers send three, OBS up to four.
    public static let layersAnswered = 4
    /// Formats of one section that a viewer is answered with: browsers offer about twenty, some of one codec several times. All of them with
    /// their feedback stay below the 8 KiB that some clients read.
    public static let formatsAnswered = 16
    /// Bytes of one token that is echoed: media, protocol, format, mid.
    public static let tokenBytes = 64
    /// Fingerprints at one level; clients send up to three.
    public static let fingerprints = 16
}
