import HTTP

/// What an object is, by its name.
public struct ObjectKind: Sendable, Equatable {
    /// The media type.
    public let contentType: String
    /// Whether a name is written once and never again; manifests are the ones that are not.
    public let isImmutable: Bool

    /// The kind of the object with this last component.
    public init(_ name: String) {
        let isAudio = name.hasPrefix("audio_")
        switch name.split(separator: ".").last.map({ $0.lowercased() }) {
        case "mpd": (contentType, isImmutable) = ("application/dash+xml", false)
        case "m3u8": (contentType, isImmutable) = ("application/vnd.apple.mpegurl", false)
        case "m4s", "mp4": (contentType, isImmutable) = (isAudio ? "audio/mp4" : "video/mp4", true)
        case "webm": (contentType, isImmutable) = ("video/webm", true)
        case "jpg", "jpeg": (contentType, isImmutable) = ("image/jpeg", false)
        default: (contentType, isImmutable) = ("application/octet-stream", false)
        }
    }

    /// What every answer with such an object says. Private, because a token may have been needed to get it.
    public var headers: HTTPHeaders {
        [
            "Cache-Control": isImmutable ? "private, max-age=31536000, immutable" : "no-cache",
            "X-Content-Type-Options": "nosniff",
        ]
    }
}
