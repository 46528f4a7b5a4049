import EdgeFixtures
import PostgresFixtures
import Presentation
import Testing

@testable import Records

/// What an index can be kept in.
enum IndexKind: CaseIterable, CustomTestStringConvertible {
    case sqlite
    case postgresql

    var testDescription: String { self == .sqlite ? "SQLite" : "PostgreSQL" }
}

/// Where the index of one test is: a file or a database of its own.
struct IndexHome {
    let location: IndexLocation
    private let folder = try? TemporaryFolder()

    init(_ kind: IndexKind) throws {
        let url =
            switch kind {
            case .sqlite: "sqlite:" + (folder?.file("index.db") ?? "")
            case .postgresql: try PostgresServerProcess.emptyDatabase()
            }
        location = try #require(IndexLocation(url))
    }

    /// An index there, open.
    func open() async throws -> Records.RecordingIndex {
        let index = Records.RecordingIndex(location)
        try await index.open()
        return index
    }

    /// A connection beside the index.
    func connect() throws -> any SQLConnection {
        switch location {
        case .sqlite(let path): try SQLiteConnection(path: path)
        case .postgresql(let address): try PostgresConnection(address)
        }
    }
}

/// 2026-11-20T10:00:00Z
let tenOClockUs: Int64 = 1_795_168_800_000_000

func recording(
    _ session: String, stream: String = "demo", node: String = "edge-1", startUs: Int64 = tenOClockUs,
    endUs: Int64? = nil, status: PlaybackStatus = .active, updatedUs: Int64 = tenOClockUs
) -> IndexedRecording {
    IndexedRecording(
        stream: stream, node: node, session: session, startUs: startUs, endUs: endUs, status: status,
        mpdPath: "\(stream)/2026/11/20/manifest.mpd", recordDir: "\(stream)/2026/11/20", updatedUs: updatedUs)
}

/// Two seconds a segment, video at 90 kHz from `timeAtStart` on.
func period(
    _ ordinal: Int = 0, startUs: Int64 = tenOClockUs, continues: Bool = false, segments: Int, timeAtStart: Int64 = 0
) -> IndexedPeriod {
    let rows = (0..<Int64(segments)).map {
        IndexedSegment(number: $0 + 1, time: timeAtStart + $0 * 180_000, duration: 180_000)
    }
    return IndexedPeriod(
        ordinal: ordinal, startUs: startUs, continues: continues,
        tracks: [
            IndexedTrack(
                kind: "video", codecs: "avc1.42e01f", timescale: 90_000, timeAtStart: timeAtStart,
                initialization: "demo/2026/11/20/init.m4s", segmentPrefix: "demo/2026/11/20/seg_",
                bandwidth: 1_000_000, width: 640, height: 360, segments: SegmentRuns(rows))
        ])
}
