import EdgeFixtures
import Foundation
import HTTP
import Nodes
import Presentation
import Records
import Testing

@testable import Playback

@Suite("Who has the objects of a directory", .timeLimit(.minutes(1)))
struct ObjectHoldersTests {
    private let record = IndexedRecording(
        stream: "demo", node: "edge-1", session: "a", startUs: TestRecords.tenOClockUs, endUs: nil, status: .active,
        mpdPath: "demo/2026/11/20/manifest.mpd", recordDir: "demo/2026/11/20", updatedUs: TestRecords.tenOClockUs)

    /// Holders over an index of their own, which is empty.
    private func withHolders(_ body: (ObjectHolders, RecordingIndex) async throws -> Void) async throws {
        let path = NSTemporaryDirectory() + "holders-\(UUID().uuidString).db"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let (index, client) = (RecordingIndex(.sqlite(path: path)), HTTPClient())
        try await index.open()
        do {
            try await body(ObjectHolders(index: index, directory: NodeDirectory(nodes: [], client: client)), index)
        } catch {
            Issue.record(error)
        }
        await index.close()
        await client.shutdown()
    }

    @Test("a recording is found as soon as the index has it; only who doesn't mind learns of it later")
    func absence() async throws {
        try await withHolders { holders, index in
            #expect(try await holders.holder(ofDirectory: record.recordDir, mayBeLate: true) == nil)
            #expect(try await holders.holder(ofDirectory: record.recordDir) == nil)
            #expect(try await index.upsert(record))
            let holder = try #require(try await holders.holder(ofDirectory: record.recordDir))
            #expect(holder.stream == record.stream && holder.node == record.node)
            #expect(try await holders.holder(ofDirectory: record.recordDir, mayBeLate: true)?.node == record.node)
        }
    }

    @Test("what was absent is asked for again by and by")
    func late() async throws {
        try await withHolders { holders, index in
            #expect(try await holders.holder(ofDirectory: record.recordDir, mayBeLate: true) == nil)
            #expect(try await index.upsert(record))
            var found = false
            while !found { found = try await holders.holder(ofDirectory: record.recordDir, mayBeLate: true) != nil }
        }
    }
}
