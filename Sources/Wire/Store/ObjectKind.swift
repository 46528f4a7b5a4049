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
        let ending = Self.ending(name)
        isForPlayers = ["mpd", "m3u8", "m4s", "mp4", "webm"].contains(ending) && !name.hasPrefix(".")
        switch ending {
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

    /// What stands behind the last dot, in lower case; dots at the end are passed over.
    private static func ending(_ name: String) -> String {
        guard let last = name.utf8.lastIndex(where: { $0 != 0x2E }) else { return "" }
        let stem = name[...last]
        return stem.utf8.lastIndex(of: 0x2E).map { stem[stem.utf8.index(after: $0)...].lowercased() } ?? stem.lowercased()
    }

    /// How long a copy may be kept (RFC 9111). Private, because a token may have been needed to get it.
    public var cacheControl: String { isImmutable ? "private, max-age=31536000, immutable" : "no-cache" }
}
