import Foundation
import Testing

@testable import Cluster

extension StreamRecord {
    /// A record as nodes write it, read as the coordinator reads it.
    init(json: String) throws {
        self = try #require(try ClusterJSON.streams(from: Array("[\(json)]".utf8)).first)
    }
}

@Suite("Streams are read without a tree (RFC 8259)")
struct StreamReadingTests {
    @Test("white space, nulls, fields of others and any order")
    func loose() throws {
        let stream = try StreamRecord(
            json:
                "\n{ \"stats\" : null,\t\"later\":[{\"a\":[1.5e3,-2,true,\"]}\"]},null],\"id\":\"a~b\", \"upstream\" : [ \"x\" ,\"y\" ]} \r"
        )
        #expect(stream == StreamRecord(id: "a~b", createdAt: 0, upstream: ["x", "y"]))
    }

    @Test(
        "escapes",
        arguments: [
            (#"a\"\\\/\b\f\n\r\tz"#, "a\"\\/\u{8}\u{C}\n\r\tz"), (#"\u00e4\u20ACx"#, "äéx".replacing("é", with: "€")),
            (#"\uD83D\ude00"#, "😀"), ("straße 😀", "straße 😀"), ("", ""),
        ])
    func escapes(written: String, meant: String) throws {
        let stream = try StreamRecord(json: #"{"id":"s","codecs":[{"fmtp":"\#(written)"}]}"#)
        #expect(stream.codecs == [CodecRecord(kind: "", codec: "", fmtp: meant)])
    }

    @Test(
        "whole numbers",
        arguments: [
            ("0", 0), ("-7", -7), ("9223372036854775807", .max), ("-9223372036854775808", .min), ("1.5e1", 15), ("2.0", 2),
        ]
            as [(String, Int64)])
    func numbers(written: String, meant: Int64) throws {
        #expect(try StreamRecord(json: #"{"id":"s","fence":\#(written)}"#).fence == meant)
    }

    @Test(
        "refused, naming the place",
        arguments: [
            ("{}", "0.id"), (#"{"id":"a/b"}"#, "0.id"), (#"{"id":5}"#, "0.id"), (#"{"id":"s","fence":1.5}"#, "0.fence"),
            (#"{"id":"s","fence":9223372036854775808}"#, "0.fence"), (#"{"id":"s","fence":"1"}"#, "0.fence"),
            (#"{"id":"s","recording":1}"#, "0.recording"),
            (#"{"id":"s","publish":{"sessions":[{}]}}"#, "0.publish.sessions.0.id"),
            (#"{"id":"s","node":"\uD83Dx"}"#, "0.node"), (#"{"id":"s","node":"\x"}"#, "0.node"),
            (#"{"id":"s","node":"a"#, "0.node"),
            (#"{"id":"s","version":"one"}"#, "0.version"), (#"{"id":"s" "node":"a"}"#, "0"), ("", "0"), (#"{"id":"s"}]"#, ""),
            (String(repeating: #"{"later":"#, count: 100_000), String(repeating: "later.", count: 0)),
        ])
    func refused(json: String, path: String) {
        do {
            _ = try StreamRecord(json: json)
            Issue.record("was accepted")
        } catch ClusterJSONError.malformed(let found, _) {
            #expect(json.count > 1_000 || found == path)
        } catch {
            Issue.record("\(error)")
        }
    }

    @Test("of another major version")
    func version() throws {
        #expect(throws: ClusterJSONError.unsupportedVersion(RecordVersion(major: 2, minor: 0))) {
            try StreamRecord(json: #"{"id":"s","version":2}"#)
        }
        #expect(try StreamRecord(json: #"{"id":"s","version":"1.9"}"#).version == RecordVersion(major: 1, minor: 9))
    }

    @Test("what can't be read is left out when asked")
    func leavesOut() throws {
        let json = #"[{"id":"a"},{"id":"b c","publish":{"sessions":[]}},7,{"id":"d"}]"#
        #expect(try ClusterJSON.streams(from: Array(json.utf8), leavesOut: true).map(\.id) == ["a", "d"])
        #expect(throws: ClusterJSONError.self) { try ClusterJSON.streams(from: Array(json.utf8)) }
    }

    @Test("any bytes give streams or an error, and never others than Foundation reads", arguments: 0..<UInt64(8))
    func mutated(seed: UInt64) throws {
        var mutator = Mutator(seed: seed)
        let seeds = try ClusterJSON.encode([Vector.stream, StreamRecord(id: "other", createdAt: 2)])
        for _ in 0..<400 {
            let bytes = mutator.mutate(seeds)
            guard let streams = try? ClusterJSON.streams(from: bytes) else { continue }
            _ = try ClusterJSON.encode(streams)
            guard let tree = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [[String: Any]] else { continue }
            #expect(tree.map { $0["id"] as? String } == streams.map(\.id))
        }
    }
}
