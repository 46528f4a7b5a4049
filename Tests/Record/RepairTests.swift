import Journal
import Media
import StoreFixtures
import Testing

@testable import Record
@testable import Store

@Suite("Closing what was left open")
struct RepairTests {
    private let place: RecordingDirectory
    private let text = JournalText("one", segments: 6, end: .none)

    init() throws {
        place = try RecordingDirectory()
        let bytes = [UInt8](repeating: 0, count: 50_000)
        for object in text.objects { try place.store.putUnflushedNow(try ObjectKey(object), bytes) }
        try place.store.putNow(try ObjectKey(text.path), text.bytes, ifAbsent: true)
    }

    /// How many were told of as gone.
    private final class Counts {
        var all: [Int] = []
    }

    private func repair(_ counts: Counts, head: ((ObjectKey) throws(StoreError) -> ObjectInfo)? = nil) -> SessionRepair {
        SessionRepair(
            store: place.store, clock: UpdateClock(now: { 1 }), segmentSeconds: 4, lost: { counts.all.append($1) }, head: head)
    }

    @Test("what storage does not tell of is not gone: the session stays open until it does")
    func refused() throws {
        let key = try ObjectKey(text.path)
        let counts = Counts()
        let refused = StoreError.failed(operation: "stat", code: 5)
        #expect(throws: refused) {
            try repair(counts, head: { (_) throws(StoreError) in throw refused }).repair(key, reason: "a test")
        }
        #expect(try place.bytes(text.path) == text.bytes)
        let closed = try #require(try repair(counts).repair(key, reason: "a test").session)
        #expect(closed.isEnded && closed.segmentCount == 12 && counts.all == [])
    }

    @Test("segments that are gone are told of, and counted once")
    func gone() throws {
        let key = try ObjectKey(text.path)
        // Of the track of pictures the second and the third, of the other one the last.
        for place in [2, 3, 13] { try self.place.store.deleteNow(try ObjectKey(text.objects[place])) }
        let counts = Counts()
        let closed = try #require(try repair(counts).repair(key, reason: "a test").session)
        #expect(closed.segmentCount == 9 && counts.all == [3])
        #expect(closed.periods[0].tracks.map { $0.segments.map(\.number) } == [[1, 4, 5, 6], [1, 2, 3, 4, 5]])
        #expect(try repair(counts).repair(key, reason: "a test") == .ended(closed) && counts.all == [3])
        // A hole costs one line, however long it is.
        #expect(String(decoding: try place.bytes(text.path), as: UTF8.self).split(separator: "\"gone\"").count == 2)
    }

    @Test("what was being written behind a segment that is gone is kept, and so is what is left of one that was cut short")
    func goneBeforeTheEnd() throws {
        let sounds = text.lines.filter { $0.kind == .audio && $0.event == .segment }
        func sound(_ time: Int64) throws -> [UInt8] {
            let writer = try FragmentWriter(format: .opus(channels: 2))
            let packet = try #require(TrackFormat.opus(channels: 2).silence)
            for place in 0..<100 {
                let at = time + Int64(place) * packet.duration
                try writer.append(Sample(data: packet.data, time: at, duration: packet.duration, isSync: true))
            }
            return writer.flush(beginsSegment: true)
        }
        func closed(_ name: String, _ bytes: [UInt8]) throws -> [Int] {
            try place.store.deleteNow(try ObjectKey(text.objects[13]))
            try place.store.putUnflushedNow(try ObjectKey("\(text.directory)/\(name)"), bytes)
            let session = try repair(Counts()).repair(try ObjectKey(text.path), reason: "a test").session
            return session?.periods[0].tracks.last?.segments.map(\.number) ?? []
        }
        let last = try #require(sounds.last), end = (last.time ?? 0) + (last.duration ?? 0)
        let prefix = text.names(.audio).prefix
        #expect(try closed("\(prefix)0007.m4s\(FileStore.temporarySuffix)", sound(end)) == [1, 2, 3, 4, 5, 7])
        try place.store.deleteNow(try ObjectKey(text.path))
        try place.store.deleteNow(try ObjectKey("\(text.directory)/\(prefix)0007.m4s"))
        try place.store.putNow(try ObjectKey(text.path), text.bytes, ifAbsent: true)
        #expect(try closed("\(prefix)0006.m4s", sound(last.time ?? 0)) == [1, 2, 3, 4, 5, 6])
    }

    @Test("what is sent while it is looked for is not gone", arguments: [0, 3, 13])
    func sentMeanwhile(number: Int) throws {
        let key = try ObjectKey(text.path)
        let log = try UploadLog(store: place.store, journal: key)
        let sent = try ObjectKey(text.objects[number])
        let counts = Counts()
        let tool = repair(
            counts,
            head: { [store = place.store] (key) throws(StoreError) in
                // As uploads end: noted first.
                if key == sent {
                    try log.add(key.name, bytes: 50_000)
                    try store.deleteNow(key)
                }
                return try store.headNow(key)
            })
        let closed = try #require(try tool.repair(key, reason: "a test").session)
        #expect(closed.segmentCount == 12 && counts.all == [])
    }

    @Test("a session with nothing in it is removed; one whose journal is gone is left to whoever removed it")
    func nothing() throws {
        let counts = Counts()
        var empty = JournalText("two", segments: 0, end: .none)
        empty.directory = "demo/2026/11/21"
        try place.store.putNow(try ObjectKey(empty.path), empty.bytes, ifAbsent: true)
        #expect(try repair(counts).repair(try ObjectKey(empty.path), reason: "a test") == .removed)
        #expect(try repair(counts).repair(try ObjectKey(empty.path), reason: "a test") == .left)
        try place.store.deleteNow(try ObjectKey(text.path))
        #expect(try repair(counts).repair(try ObjectKey(text.path), reason: "a test") == .left && counts.all == [])
    }
}
