/// What an object is, by its name: the same for whoever writes, serves or proxies it.
public struct ObjectKind: Sendable, Equatable {
    /// The media type.
    public let contentType: String
    /// Whether a name is written once and never again; manifests are the ones that are not.
    public let isImmutable: Bool
    /// Whether players ask for it; journals are nobody's business.
    public let isForPlayers: Bool

    /// The kind of the object with this last component.
    public init(_ name: String) {
        let isAudio = name.hasPrefix("audio_")
        isForPlayers =
            switch name.split(separator: ".").last.map({ $0.lowercased() }) ?? "" {
            case "mpd", "m3u8", "m4s", "mp4", "webm": !name.hasPrefix(".")
            default: false
            }
        switch name.split(separator: ".").last.map({ $0.lowercased() }) {
        case "mpd": (contentType, isImmutable) = ("application/dash+xml", false)
        case "m3u8": (contentType, isImmutable) = ("application/vnd.apple.mpegurl", false)
        case "m4s", "mp4": (contentType, isImmutable) = (isAudio ? "audio/mp4" : "video/mp4", true)
        case "webm": (contentType, isImmutable) = (isAudio ? "audio/webm" : "video/webm", true)
        case "jpg", "jpeg": (contentType, isImmutable) = ("image/jpeg", false)
        case "json": (contentType, isImmutable) = ("application/json", false)
        case "jsonl": (contentType, isImmutable) = ("application/x-ndjson", false)
        case "txt": (contentType, isImmutable) = ("text/plain; charset=utf-8", false)
        default: (contentType, isImmutable) = ("application/octet-stream", false)
        }
    }

    /// How long a copy may be kept (RFC 9111). Private, because a token may have been needed to get it.
    public var cacheControl: String { isImmutable ? "private, max-age=31536000, immutable" : "no-cache" }
}
