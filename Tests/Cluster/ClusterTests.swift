import Testing

@testable import Cluster

@Suite("Names: the rule every door applies")
struct NameTests {
    @Test(
        "stream names",
        arguments: [
            ("demo", true), ("a", true), ("A-b_c.d~9", true), (String(repeating: "x", count: 64), true),
            ("", false), (".", false), ("..", false), (".hidden", false), (String(repeating: "x", count: 65), false),
            ("a/b", false), ("a b", false), ("a%2e", false), ("a\u{0}", false), ("ä", false), ("a\\b", false), ("a:b", false),
        ])
    func streamNames(name: String, isValid: Bool) {
        #expect(StreamName.isValid(name) == isValid)
    }

    @Test(
        "node aliases, without the tilde",
        arguments: [
            ("edge-1", true), ("host.example_7777", true), ("a~b", false), ("", false), (".a", false), ("a/b", false),
            (String(repeating: "n", count: 64), true), (String(repeating: "n", count: 65), false),
        ])
    func nodeAliases(alias: String, isValid: Bool) {
        #expect(NodeAlias.isValid(alias) == isValid)
    }
}

@Suite("Redis names")
struct StateKeysTests {
    let keys = StateKeys(prefix: "edge")

    @Test func names() {
        #expect(keys.node("n1") == "edge:node:n1")
        #expect(keys.streams("n1") == "edge:streams:n1")
        #expect(keys.changed == "edge:changed")
        #expect(keys.nodePattern == "edge:node:*")
        #expect(StateKeys(prefix: "a*[b]").nodePattern == "a\\*\\[b\\]:node:*")
    }

    @Test(arguments: [
        ("edge:node:n1", "n1"), ("edge:node:", nil), ("edge:node:a~b", nil), ("edge:streams:n1", nil), ("other:node:n1", nil),
    ])
    func aliasOfKey(key: String, alias: String?) {
        #expect(keys.alias(ofNodeKey: key) == alias)
    }
}

@Suite("Record JSON")
struct RecordJSONTests {
    @Test("what is written is what was meant", arguments: Vector.all)
    func golden(vector: Vector) throws {
        #expect(String(decoding: try vector.encode(), as: UTF8.self) == vector.json)
        #expect(String(decoding: try vector.roundTrip(), as: UTF8.self) == vector.json)
    }

    @Test("a stream of live777, without our fields")
    func foreignStream() throws {
        let json = """
            {"id":"s","createdAt":1,"publish":{"leaveAt":0,"sessions":[{"id":"p","createdAt":2,"leaveAt":0,"state":"connected",
            "hasDataChannel":false,"stats":{"bytes":3,"packets":4,"bitrate":5}}]},"subscribe":{"leaveAt":9,"sessions":[]},
            "codecs":[{"kind":"video","codec":"H264","fmtp":"x"}],"provisioned":true,"onDemand":false,"unheardOf":[1,{"a":null}],
            "stats":{"publish":{"bytes":1,"packets":2,"bitrate":3},"subscribe":{"bytes":0,"packets":0,"bitrate":0}},"statsScope":"node"}
            """
        let stream = try StreamRecord(json: json)
        #expect(stream.version == .current)
        #expect(stream.publish.sessions.first?.state == .connected)
        #expect(stream.publish.sessions.first?.stats == TrafficStats(bytes: 3, packets: 4, bitrate: 5))
        #expect(stream.subscribe.leaveAt == 9)
        #expect(stream.provisioned)
        #expect(!stream.recording)
        #expect(stream.node == nil)
    }

    @Test("a row of live777's recording index")
    func foreignRecording() throws {
        let json = #"{"stream":"s","start_ts":1700000000000000,"mpd_path":"s/1700000000/manifest.mpd","status":"Active"}"#
        let row = try ClusterJSON.decode(RecordingRecord.self, from: Array(json.utf8))
        #expect(row.id == "1700000000")
        #expect(row.recordDir == "s/1700000000")
        #expect(row.updatedAt == 1_700_000_000_000_000)
        #expect(row.endTs == nil)
    }

    @Test(
        "versions",
        arguments: [
            (#""1.0""#, nil), (#""1.7""#, nil), ("1", nil), (#""2.0""#, RecordVersion(major: 2, minor: 0)),
            ("3", RecordVersion(major: 3, minor: 0)), (#""0.9""#, RecordVersion(major: 0, minor: 9)),
        ] as [(String, RecordVersion?)])
    func versions(version: String, refused: RecordVersion?) {
        let json = #"{"alias":"n","url":"http://n","version":\#(version),"added":{"later":true}}"#
        if let refused {
            #expect(throws: ClusterJSONError.unsupportedVersion(refused)) {
                try ClusterJSON.decode(NodeRecord.self, from: Array(json.utf8))
            }
        } else {
            #expect(throws: Never.self) { try ClusterJSON.decode(NodeRecord.self, from: Array(json.utf8)) }
        }
    }

    @Test("a field that comes, goes or is renamed is another version: raise it with this list")
    func fields() throws {
        func fields(_ value: Any) -> String {
            "\(type(of: value)): " + Mirror(reflecting: value).children.compactMap(\.label).sorted().joined(separator: " ")
        }
        let (stream, session) = (Vector.stream, try #require(Vector.stream.publish.sessions.first))
        let period = try #require(Vector.detail.periods.first)
        let track = try #require(period.tracks.first)
        let part = LiveEdgeRecord.Segment(number: 1, t: 0, finished: true, parts: [], independent: [])
        let end = LiveEdgeRecord.Recording(record: Vector.recording, detail: Vector.detail, firstOrdinal: 0)
        let edge = LiveEdgeRecord(
            version: 1, revision: 1, session: "", partSecondsMax: 1, segmentSecondsMax: 1, recordings: [end], open: nil,
            openOrdinal: 0, tracks: [])
        let records: [Any] = [
            Vector.node, Vector.node.load, DrainOrder(drained: true, number: 1), stream, stream.publish, stream.stats,
            stream.stats.publish, try #require(stream.codecs.first), session, CascadeRecord(), LayerRecord(rid: "h"),
            Vector.recording, RecordingsPage(sessions: []), Vector.detail, try #require(Vector.detail.tracks.first), period,
            track,
            try #require(track.segments.first), edge, end, LiveEdgeRecord.Track(prefix: "", segments: []), part,
        ]
        #expect(RecordVersion.current == RecordVersion(major: 1, minor: 2))
        #expect(records.map(fields) == Self.fieldsNow)
    }

    private static let fieldsNow = [
        "NodeRecord: alias drainOrder drained labels load mediaPorts pubMax recordings region startedAtMs status "
            + "streamsVersion subMax updatedAtMs url version",
        "NodeLoad: cpu egressBitsPerSecond ingressBitsPerSecond publishers viewers",
        "DrainOrder: drained number",
        "StreamRecord: codecs createdAt fence id node onDemand provisioned publish recording recordingBaseDir "
            + "recordingMaxSeconds stats statsScope subscribe upstream version",
        "StreamSide: leaveAt sessions",
        "StreamStats: publish subscribe",
        "TrafficStats: bitrate bytes packets",
        "CodecRecord: codec fmtp kind",
        "SessionRecord: availableBitrate cascade createdAt hasDataChannel id layer layers leaveAt state stats",
        "CascadeRecord: sessionURL sourceURL targetURL",
        "LayerRecord: active bitrate height rid width",
        "RecordingRecord: durationMs endTs id mpdPath nodeAlias record recordDir startTs status stream updatedAt version",
        "RecordingsPage: lastTs sessions",
        "RecordingDetail: first id mpdPath next nodeAlias periods recordDir status stream tracks updatedAt version",
        "RecordingTrack: bandwidth channels codecs frameRate height kind mimeType sampleRate timescale width",
        "RecordingPeriod: continues durationMs id startUs tracks",
        "RecordingPeriodTrack: initObject known mediaTimeOffset segmentPrefix segments track",
        "RecordingSegment: bytes d object sync t",
        "LiveEdgeRecord: format open openOrdinal partSecondsMax recordings revision segmentSecondsMax session tracks version",
        "Recording: detail firstOrdinal record",
        "Track: prefix segments",
        "Segment: finished independent number parts t",
    ]

    @Test("a newer minor version is kept as written")
    func keepsMinor() throws {
        let json = #"{"alias":"n","url":"http://n","version":"1.7","status":"resting"}"#
        let node = try ClusterJSON.decode(NodeRecord.self, from: Array(json.utf8))
        #expect(node.version == RecordVersion(major: 1, minor: 7))
        #expect(node.status == .draining)
    }

    @Test(
        "refused, naming the place",
        arguments: [
            (#"{"url":"http://n"}"#, "alias"), (#"{"alias":"a/b","url":"u"}"#, "alias"), (#"{"alias":"n","url":5}"#, "url"),
            (#"{"alias":"n","url":"u","pubMax":"5"}"#, "pubMax"), (#"{"alias":"n","url":"u","load":{"cpu":"x"}}"#, "load.cpu"),
            (#"{"alias":"n","url":"u","mediaPorts":[1,70000]}"#, "mediaPorts"),
            (#"{"alias":"n","url":"u","version":"one"}"#, "version"),
            ("{", ""), ("", ""), ("[]", ""), ("null", ""),
        ])
    func refused(json: String, path: String) {
        do {
            _ = try ClusterJSON.decode(NodeRecord.self, from: Array(json.utf8))
            Issue.record("was accepted")
        } catch {
            guard case .malformed(let found, _) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(found == path, "\(error)")
        }
    }

    @Test("a detail whose period names an absent track, or with a timescale of 0, is refused")
    func inconsistentDetail() throws {
        let good = String(decoding: try ClusterJSON.encode(Vector.detail), as: UTF8.self)
        for (from, to) in [
            (#""track":1"#, #""track":2"#), (#""track":1"#, #""track":-1"#), (#""timescale":48000"#, #""timescale":0"#),
        ] {
            let bad = good.replacing(from, with: to)
            #expect(bad != good)
            #expect(throws: ClusterJSONError.self) { try ClusterJSON.decode(RecordingDetail.self, from: Array(bad.utf8)) }
        }
    }

    @Test("who may not administrate learns no session's URL")
    func shortIDs() {
        let long = "0123456789abcdefghijkl"
        let side = StreamSide(sessions: [SessionRecord(id: long, createdAt: 1)])
        let short = StreamRecord(id: "demo", createdAt: 1, publish: side, subscribe: side).withShortSessionIDs()
        #expect(short.publish.sessions.map(\.id) == ["01234567"])
        #expect(short.subscribe.sessions.map(\.id) == ["01234567"])
    }

    @Test("a load that is no number counts as none")
    func load() {
        #expect(NodeLoad(cpu: .nan).cpu == 0)
        #expect(NodeLoad(cpu: .infinity).cpu == 0)
        #expect(NodeLoad(cpu: 1.5).cpu == 1)
        #expect(NodeLoad(cpu: -1).cpu == 0)
    }

    @Test("a page says where the next one begins")
    func page() {
        #expect(RecordingsPage(sessions: []).lastTs == nil)
        #expect(RecordingsPage(sessions: [Vector.recording]).lastTs == Vector.recording.updatedAt)
    }
}

@Suite("Record JSON: any bytes give a record or an error")
struct RecordFuzzTests {
    @Test(arguments: 0..<UInt64(8))
    func mutated(seed: UInt64) throws {
        var mutator = Mutator(seed: seed)
        let seeds = try Vector.all.map { try $0.encode() }
        for _ in 0..<400 {
            let bytes = mutator.mutate(seeds[Int(mutator.next() % UInt64(seeds.count))])
            if let nodes = try? ClusterJSON.decode(NodeRecord.self, from: bytes) {
                #expect(NodeAlias.isValid(nodes.alias))
                _ = try ClusterJSON.encode(nodes)
            }
            if let page = try? ClusterJSON.decode(RecordingsPage.self, from: bytes) { _ = try ClusterJSON.encode(page) }
            if let detail = try? ClusterJSON.decode(RecordingDetail.self, from: bytes) {
                #expect(detail.periods.allSatisfy { $0.tracks.allSatisfy { detail.tracks.indices.contains($0.track) } })
                _ = try ClusterJSON.encode(detail)
            }
        }
    }

    @Test("nesting without end is an error, not the end of the process")
    func deep() {
        let bytes = [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)
        #expect(throws: ClusterJSONError.self) { try ClusterJSON.decode([NodeRecord].self, from: bytes) }
        let object = Array(String(repeating: #"{"load":"#, count: 100_000).utf8)
        #expect(throws: ClusterJSONError.self) { try ClusterJSON.decode(NodeRecord.self, from: object) }
    }
}

@Suite("Patterns of stream names")
struct StreamPatternTests {
    @Test(arguments: [
        ("*", "anything", true), ("web-*", "web-1", true), ("web-*", "web", false), ("*-1", "web-1", true),
        ("a*b*c", "aXbYbc", true),
        ("a*b*c", "aXbYbcd", false), ("?", "a", true), ("?", "ab", false), ("demo", "demo", true), ("demo", "demo2", false),
        ("a?c", "abc", true), ("**a", "a", true), ("*", "", true),
    ])
    func matches(pattern: String, name: String, isMatch: Bool) throws {
        #expect(try #require(StreamPattern(pattern)).matches(name) == isMatch)
    }

    @Test(arguments: ["", "a/*", "a b", ".*", "ä", String(repeating: "*", count: 257)])
    func refused(pattern: String) {
        #expect(StreamPattern(pattern) == nil)
    }

    @Test("many stars take no longer than one")
    func stars() throws {
        let pattern = try #require(StreamPattern(String(repeating: "*a", count: 120) + "b"))
        #expect(!pattern.matches(String(repeating: "a", count: 64)))
    }
}
