/// Media types by the names that recordings have (RFC 6381 and RFC 8216 register them).
enum ContentType {
    /// The type of an object of this name.
    static func of(_ name: String) -> String {
        let isAudio = name.hasPrefix("audio_")
        return switch name.split(separator: ".").last.map(String.init) ?? "" {
        case "mpd": "application/dash+xml"
        case "m3u8": "application/vnd.apple.mpegurl"
        case "m4s", "mp4": isAudio ? "audio/mp4" : "video/mp4"
        case "webm": isAudio ? "audio/webm" : "video/webm"
        case "json": "application/json"
        case "jsonl": "application/x-ndjson"
        case "txt": "text/plain; charset=utf-8"
        default: "application/octet-stream"
        }
    }
}
