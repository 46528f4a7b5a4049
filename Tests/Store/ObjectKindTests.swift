import Store
import Testing

@Suite("What an object is, by its name")
struct ObjectKindTests {
    @Test(arguments: [
        ("seg_0001.m4s", "video/mp4", true), ("audio_seg_0001.m4s", "audio/mp4", true), ("init.m4s", "video/mp4", true),
        ("seg_0001.webm", "video/webm", true), ("audio_seg_0001.webm", "audio/webm", true),
        ("manifest.mpd", "application/dash+xml", true), ("index.m3u8", "application/vnd.apple.mpegurl", true),
        ("session_x.jsonl", "application/x-ndjson", false), ("x", "application/octet-stream", false),
        (".m4s", "video/mp4", false),
        ("SEG.M4S", "video/mp4", true),
    ])
    func kinds(name: String, type: String, isForPlayers: Bool) {
        let kind = ObjectKind(name)
        #expect(kind.contentType == type)
        #expect(kind.isForPlayers == isForPlayers)
        #expect(
            kind.cacheControl.contains("immutable")
                == ["m4s", "webm"].contains(name.lowercased().split(separator: ".").last ?? ""))
    }
}
