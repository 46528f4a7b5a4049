import Foundation
import Journal
import StoreFixtures
import Synchronization
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

@Suite("What announces a recording in the remote store goes when nothing begins there", .offThePool)
struct ClaimTests {
    private static let dayUs: Int64 = 86_400_000_000

    private let bed: SpoolBed

    init() throws { bed = try SpoolBed() }

    private func objects() async throws -> [String] {
        try await bed.remote.files.list(prefix: "", after: nil, limit: 1000).objects.map(\.key.path)
    }

    @Test("one that was asked for before midnight and begins after it")
    func midnight() async throws {
        let realUs = WallClock.realtimeUs()
        // Ten seconds before midnight.
        let shiftUs = Mutex(Self.dayUs - realUs % Self.dayUs - 10_000_000)
        let feed = try RecorderFeed()
        let recorder = try await bed.recorder(feed) { WallClock.realtimeUs() + shiftUs.withLock { $0 } }
        let info = try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        let name = JournalName.of(info.id)
        #expect(try await objects() == ["\(info.recordDirectory)/\(name)"])

        shiftUs.withLock { $0 += 20_000_000 }
        feed.send(SpoolBed.media())
        #expect(await eventually { recorder.metrics.segments >= 4 })
        let directory = try #require(recorder.status(stream: "demo")).recordDirectory
        #expect(directory != info.recordDirectory)
        #expect(await recorder.stop(stream: "demo"))
        #expect(await eventually { SpoolBed.isShipped(recorder) })
        let left = try await objects()
        #expect(left.contains("\(directory)/\(name)") && left.allSatisfy { $0.hasPrefix(directory + "/") })
        await recorder.stopAll()
    }

    @Test("one that is given up before the store was asked, or while it is being asked", arguments: [false, true])
    func givenUp(isAsked: Bool) async throws {
        let recorder = try await bed.recorder()
        let shipper = try #require(recorder.environment.shipper)
        let directory = try ObjectKey("demo/2026/11/21")
        bed.remote.set { ($0.delay, $0.delaysOnlyWrites) = (.milliseconds(300), true) }
        #expect(shipper.expectClaim(directory, id: "one", stream: "demo"))
        #expect(!shipper.expectClaim(directory, id: "two", stream: "demo"))
        if !isAsked { shipper.releaseClaims(ids: ["one"]) }
        async let claim: Void = shipper.claim(directory, id: "one", stream: "demo", node: "edge-a", bound: .seconds(60))
        if isAsked {
            #expect(await eventually { bed.remote.attempts > 0 })
            shipper.releaseClaims(ids: ["one"])
        }
        // Nobody gets what was given up.
        #expect(shipper.takeClaim(directory, stream: "demo") == nil)
        await claim
        #expect(await eventually { SpoolBed.isShipped(recorder) })
        #expect(bed.remote.puts.count == (isAsked ? 1 : 0))
        #expect(try await objects().isEmpty)
        #expect(!shipper.isClaiming && shipper.expectClaim(directory, id: "two", stream: "demo"))
        await recorder.stopAll(uploadsWithin: .milliseconds(100))
    }

    @Test("who stops waits for the answer, and takes back what was given up")
    func stopped() async throws {
        let recorder = try await bed.recorder()
        let shipper = try #require(recorder.environment.shipper)
        let directory = try ObjectKey("demo/2026/11/21")
        bed.remote.set { ($0.delay, $0.delaysOnlyWrites) = (.milliseconds(300), true) }
        #expect(shipper.expectClaim(directory, id: "one", stream: "demo"))
        let claim = Task { await shipper.claim(directory, id: "one", stream: "demo", node: "edge-a", bound: .seconds(60)) }
        shipper.releaseClaims(ids: ["one"])
        await recorder.stopAll(uploadsWithin: .seconds(60))
        #expect(try await objects().isEmpty)
        await claim.value
    }
}
