@testable import Cluster

/// A record and its JSON, used to write, to read and as seeds for mutation.
struct Vector: Sendable, CustomStringConvertible {
    let description: String
    let json: String
    let encode: @Sendable () throws -> [UInt8]
    let roundTrip: @Sendable () throws -> [UInt8]

    init<T: Codable & Equatable & Sendable>(_ name: String, _ value: T, _ json: String) {
        description = name
        self.json = json
        encode = { try ClusterJSON.encode(value) }
        roundTrip = { try ClusterJSON.encode(try ClusterJSON.decode(T.self, from: Array(json.utf8))) }
    }

    init(_ name: String, stream: StreamRecord, _ json: String) {
        description = name
        self.json = json
        encode = { try ClusterJSON.encode(stream) }
        roundTrip = { try ClusterJSON.encode(try StreamRecord(json: json)) }
    }

    static let node = NodeRecord(
        alias: "edge-1", url: "http://127.0.0.1:7777", region: "eu", labels: ["rack": "a"], startedAtMs: 1_700_000_000_000,
        updatedAtMs: 1_700_000_001_000,
        load: NodeLoad(cpu: 0.25, egressBitsPerSecond: 9_000_000_000, ingressBitsPerSecond: 2, publishers: 3, viewers: 4),
        pubMax: 5, subMax: 6, recordings: 1, drained: true, mediaPorts: [40000, 65535])

    static let stream = StreamRecord(
        id: "demo", createdAt: 1,
        publish: StreamSide(
            leaveAt: 0,
            sessions: [
                SessionRecord(
                    id: "p1", createdAt: 2, state: .connected, cascade: CascadeRecord(sourceURL: "http://a/whep/demo"),
                    stats: TrafficStats(bytes: 10, packets: 1, bitrate: 80),
                    layers: [LayerRecord(rid: "h", active: true, bitrate: 5, width: 640, height: 360)])
            ]),
        subscribe: StreamSide(leaveAt: 7), codecs: [CodecRecord(kind: "video", codec: "H264", fmtp: "a=1;b=\"2\"")],
        stats: StreamStats(publish: TrafficStats(bytes: 10, packets: 1, bitrate: 80)), recording: true,
        recordingBaseDir: "shows", recordingMaxSeconds: 600, fence: 7, upstream: ["edge-2", "edge-3"], node: "edge-1")

    static let recording = RecordingRecord(
        id: "r1", stream: "demo", record: "1700000000", startTs: 1_700_000_000_000_000, endTs: 1_700_000_010_000_000,
        durationMs: 10_000, mpdPath: "demo/2023/11/14/manifest.mpd", recordDir: "demo/2023/11/14", status: .completed,
        nodeAlias: "edge-1", updatedAt: 1_700_000_011_000_000)

    static let detail = RecordingDetail(
        id: "r1", stream: "demo", nodeAlias: "edge-1", status: .active, mpdPath: "d/manifest.mpd", recordDir: "d", updatedAt: 5,
        tracks: [
            RecordingTrack(
                kind: "video", codecs: "avc1.42e01f", mimeType: "video/mp4", timescale: 90_000, width: 640, height: 360,
                frameRate: "30", bandwidth: 1_000_000),
            RecordingTrack(
                kind: "audio", codecs: "opus", mimeType: "audio/mp4", timescale: 48_000, sampleRate: 48_000, channels: 2,
                bandwidth: 64_000),
        ],
        periods: [
            RecordingPeriod(
                id: "p0", startUs: 1_700_000_000_000_000, durationMs: 2_000,
                tracks: [
                    RecordingPeriodTrack(
                        track: 1, initObject: "d/audio_init.m4s", segmentPrefix: "d/audio_seg_", mediaTimeOffset: 312,
                        segments: [RecordingSegment(object: "d/audio_seg_0001.m4s", t: 312, d: 96_000, bytes: 16_000)])
                ])
        ])

    static let all = [
        Vector(
            "node", node,
            #"{"alias":"edge-1","drained":true,"labels":{"rack":"a"},"load":{"cpu":0.25,"egressBitsPerSecond":9000000000,"ingressBitsPerSecond":2,"#
                + #""publishers":3,"viewers":4},"mediaPorts":[40000,65535],"pubMax":5,"recordings":1,"region":"eu","#
                + #""startedAtMs":1700000000000,"status":"running","subMax":6,"updatedAtMs":1700000001000,"#
                + #""url":"http://127.0.0.1:7777","version":"1.2"}"#),
        Vector(
            "stream", stream: stream,
            #"{"codecs":[{"codec":"H264","fmtp":"a=1;b=\"2\"","kind":"video"}],"createdAt":1,"fence":7,"id":"demo","node":"edge-1","#
                + #""onDemand":false,"provisioned":false,"publish":{"leaveAt":0,"sessions":[{"cascade":{"sourceUrl":"http://a/whep/demo"},"#
                + #""createdAt":2,"hasDataChannel":false,"id":"p1","#
                + #""layers":[{"active":true,"bitrate":5,"height":360,"rid":"h","width":640}],"leaveAt":0,"state":"connected","#
                + #""stats":{"bitrate":80,"bytes":10,"packets":1}}]},"recording":true,"recordingBaseDir":"shows","recordingMaxSeconds":600,"#
                + #""stats":{"publish":{"bitrate":80,"bytes":10,"packets":1},"#
                + #""subscribe":{"bitrate":0,"bytes":0,"packets":0}},"statsScope":"node","subscribe":{"leaveAt":7,"sessions":[]},"#
                + #""upstream":["edge-2","edge-3"],"version":"1.2"}"#),
        Vector(
            "page of recordings", RecordingsPage(sessions: [recording]),
            #"{"last_ts":1700000011000000,"sessions":[{"duration_ms":10000,"end_ts":1700000010000000,"id":"r1","#
                + #""mpd_path":"demo/2023/11/14/manifest.mpd","node_alias":"edge-1","record":"1700000000","#
                + #""record_dir":"demo/2023/11/14","start_ts":1700000000000000,"status":"Completed","stream":"demo","#
                + #""updated_at":1700000011000000,"version":"1.2"}]}"#),
        Vector(
            "detail", detail,
            #"{"id":"r1","mpd_path":"d/manifest.mpd","node_alias":"edge-1","periods":[{"duration_ms":2000,"id":"p0","#
                + #""start_us":1700000000000000,"tracks":[{"init_object":"d/audio_init.m4s","media_time_offset":312,"#
                + #""segment_prefix":"d/audio_seg_","segments":[{"bytes":16000,"d":96000,"object":"d/audio_seg_0001.m4s","t":312}],"#
                + #""track":1}]}],"record_dir":"d","status":"Active","stream":"demo","tracks":[{"bandwidth":1000000,"#
                + #""codecs":"avc1.42e01f","frame_rate":"30","height":360,"kind":"video","mime_type":"video/mp4","timescale":90000,"#
                + #""width":640},{"bandwidth":64000,"channels":2,"codecs":"opus","kind":"audio","mime_type":"audio/mp4","#
                + #""sample_rate":48000,"timescale":48000}],"updated_at":5,"version":"1.2"}"#),
    ]
}

/// Damages bytes the same way for the same seed (SplitMix64).
struct Mutator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...(next() % 4) where !bytes.isEmpty {
            let at = Int(next() % UInt64(bytes.count))
            switch next() % 5 {
            case 0: bytes[at] = UInt8(truncatingIfNeeded: next())
            case 1: bytes.remove(at: at)
            case 2:
                let tokens = [
                    "0", "-", "1e999", "99999999999999999999", "\"", "{", "}", "[", "]", ",", ":", "\\u", "null", "true",
                ]
                bytes.insert(contentsOf: Array(tokens[Int(next() % UInt64(tokens.count))].utf8), at: at)
            case 3: bytes.removeSubrange(at..<min(bytes.count, at + Int(next() % 16)))
            default: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + Int(next() % 64))], at: at)
            }
        }
        return bytes
    }
}
