import EdgeFixtures
import HTTP
import Store
import Testing

@testable import Playback

private func key(_ name: String) throws -> CacheKey {
    CacheKey(origin: .store, object: try ObjectKey(name), range: nil)
}

/// The ledger as a reference, for expectations take no calls that change a value.
private final class Book {
    private var ledger: CacheLedger
    init(_ limits: CacheLedger.Limits) { ledger = CacheLedger(limits) }

    var bytes: Int { ledger.bytes }
    var count: Int { ledger.count }
    func find(_ key: CacheKey, nowMs: UInt64) -> CacheLedger.Found { ledger.find(key, nowMs: nowMs) }
    func open(_ key: CacheKey, untilMs: UInt64 = .max) -> (id: Int, evicted: [Int])? { ledger.open(key, untilMs: untilMs) }
    func admit(_ id: Int, bytes: Int) -> [Int]? { ledger.admit(id, bytes: bytes) }
    func finish(_ id: Int) { ledger.finish(id) }
    func setAbsent(_ id: Int, nowMs: UInt64) { ledger.setAbsent(id, nowMs: nowMs) }
    func fail(_ id: Int) -> Bool { ledger.fail(id) }
    func pin(_ id: Int) { ledger.pin(id) }
    func unpin(_ id: Int) -> CacheLedger.Release { ledger.unpin(id) }
}

@Suite("What the object cache keeps")
struct CacheLedgerTests {
    private let ledger = Book(CacheLedger.Limits(bytesMax: 1_000))

    private func keep(_ name: String, _ bytes: Int) throws -> Int {
        let (id, _) = try #require(ledger.open(try key(name)))
        _ = try #require(ledger.admit(id, bytes: bytes))
        ledger.finish(id)
        return id
    }

    @Test("a key is unknown, asked for, and an object from its first byte on")
    func life() throws {
        #expect(ledger.find(try key("a"), nowMs: 0) == .nothing)
        let (id, _) = try #require(ledger.open(try key("a")))
        #expect(ledger.find(try key("a"), nowMs: 0) == .opening(id))
        #expect(ledger.admit(id, bytes: 10) == [])
        #expect(ledger.find(try key("a"), nowMs: 0) == .object(id))
        #expect(ledger.bytes == 10)
        ledger.finish(id)
        #expect(ledger.find(try key("a"), nowMs: 0) == .object(id))
        #expect(ledger.find(CacheKey(origin: .store, object: try ObjectKey("a"), range: "0-1"), nowMs: 0) == .nothing)
        #expect(
            ledger.find(CacheKey(origin: .node("n", credential: ""), object: try ObjectKey("a"), range: nil), nowMs: 0)
                == .nothing)
    }

    @Test("what was not used longest goes first")
    func leastRecentlyUsed() throws {
        let ids = try ["a", "b", "c", "d"].map { try keep($0, 250) }
        _ = ledger.find(try key("a"), nowMs: 0)
        let (id, _) = try #require(ledger.open(try key("e")))
        #expect(ledger.admit(id, bytes: 250) == [ids[1]])
        #expect(ledger.bytes == 1_000)
        #expect(ledger.find(try key("b"), nowMs: 0) == .nothing)
        #expect(ledger.find(try key("a"), nowMs: 0) == .object(ids[0]))
    }

    @Test("what is being sent or fetched stays and counts; without room nothing is let in, and nothing let go for it")
    func pinned() throws {
        let ids = try ["a", "b", "c"].map { try keep($0, 250) }
        for id in ids { ledger.pin(id) }
        let (coming, _) = try #require(ledger.open(try key("d")))
        #expect(ledger.admit(coming, bytes: 250) == [])
        let (late, _) = try #require(ledger.open(try key("e")))
        #expect(ledger.admit(late, bytes: 1) == nil)
        #expect(ledger.find(try key("e"), nowMs: 0) == .nothing)
        #expect(ledger.bytes == 1_000)
        #expect(ledger.unpin(ids[1]) == .nothing)
        let (again, _) = try #require(ledger.open(try key("e")))
        #expect(ledger.admit(again, bytes: 100) == [ids[1]])
    }

    @Test("an object takes a quarter of the room at most")
    func large() throws {
        let (id, _) = try #require(ledger.open(try key("a")))
        #expect(ledger.admit(id, bytes: 251) == nil)
        #expect(ledger.count == 0 && ledger.bytes == 0)
    }

    @Test("absence is believed for a second")
    func absent() throws {
        let (id, _) = try #require(ledger.open(try key("a")))
        ledger.setAbsent(id, nowMs: 500)
        #expect(ledger.find(try key("a"), nowMs: 1_499) == .absent(id))
        #expect(ledger.find(try key("a"), nowMs: 1_500) == .nothing)
        let (next, evicted) = try #require(ledger.open(try key("a")))
        #expect(evicted == [id])
        #expect(ledger.find(try key("a"), nowMs: 1_500) == .opening(next))
        #expect(ledger.count == 1)
    }

    @Test("what changes is found until its time, and so is that it is not there; who asks may wait for it longer")
    func fresh() throws {
        let (first, _) = try #require(ledger.open(try key("a"), untilMs: 500))
        #expect(ledger.admit(first, bytes: 100) == [])
        #expect(ledger.find(try key("a"), nowMs: 499) == .object(first))
        #expect(ledger.find(try key("a"), nowMs: 500) == .nothing)
        ledger.finish(first)
        #expect(ledger.find(try key("a"), nowMs: 499) == .object(first))
        #expect(ledger.find(try key("a"), nowMs: 500) == .nothing)
        let (second, evicted) = try #require(ledger.open(try key("a"), untilMs: 1_000))
        #expect(evicted == [first])
        #expect(ledger.bytes == 0 && ledger.count == 1)
        #expect(ledger.find(try key("a"), nowMs: 1_000) == .opening(second))
        ledger.setAbsent(second, nowMs: 600)
        #expect(ledger.find(try key("a"), nowMs: 999) == .absent(second))
        #expect(ledger.find(try key("a"), nowMs: 1_000) == .nothing)
    }

    @Test("what has had its time counts until the last has sent it, and the next stands in its place", arguments: [true, false])
    func replaced(isWhole: Bool) throws {
        let (former, _) = try #require(ledger.open(try key("a"), untilMs: 500))
        #expect(ledger.admit(former, bytes: 100) == [])
        if isWhole { ledger.finish(former) }
        ledger.pin(former)
        ledger.pin(former)
        let (next, evicted) = try #require(ledger.open(try key("a"), untilMs: 1_000))
        #expect(evicted == [])
        #expect(ledger.admit(next, bytes: 200) == [])
        ledger.finish(next)
        // Its fetch goes on as long as somebody wants it.
        ledger.finish(former)
        #expect(ledger.bytes == 300 && ledger.count == 1)
        #expect(ledger.find(try key("a"), nowMs: 600) == .object(next))
        #expect(ledger.unpin(former) == .nothing)
        #expect(ledger.bytes == 300)
        #expect(ledger.unpin(former) == .freed)
        #expect(ledger.bytes == 200)
        #expect(ledger.find(try key("a"), nowMs: 600) == .object(next))
    }

    @Test("what was replaced is not let go of for others while somebody sends it; what took its place may be")
    func replacedAndFull() throws {
        let (former, _) = try #require(ledger.open(try key("a"), untilMs: 500))
        #expect(ledger.admit(former, bytes: 250) == [])
        ledger.finish(former)
        ledger.pin(former)
        let next = try keep("a", 250)
        let others = try ["b", "c"].map { try keep($0, 250) }
        #expect(ledger.bytes == 1_000)
        let (first, _) = try #require(ledger.open(try key("d")))
        #expect(ledger.admit(first, bytes: 250) == [next])
        let (second, _) = try #require(ledger.open(try key("e")))
        #expect(ledger.admit(second, bytes: 250) == [others[0]])
        #expect(ledger.bytes == 1_000)
        #expect(ledger.unpin(former) == .freed)
        #expect(ledger.bytes == 750)
    }

    @Test("a fetch that nobody wants any more ends; one that failed counts until the last has let go")
    func released() throws {
        let (first, _) = try #require(ledger.open(try key("a")))
        _ = ledger.admit(first, bytes: 100)
        ledger.pin(first)
        ledger.pin(first)
        #expect(ledger.unpin(first) == .nothing)
        #expect(ledger.unpin(first) == .abandoned)
        #expect(ledger.bytes == 0)
        let (second, _) = try #require(ledger.open(try key("a")))
        _ = ledger.admit(second, bytes: 100)
        ledger.pin(second)
        #expect(!ledger.fail(second))
        #expect(ledger.find(try key("a"), nowMs: 0) == .nothing)
        #expect(ledger.bytes == 100)
        let (third, _) = try #require(ledger.open(try key("a")))
        #expect(ledger.unpin(second) == .freed)
        #expect(ledger.find(try key("a"), nowMs: 0) == .opening(third))
        #expect(ledger.bytes == 0)
    }

    @Test("entries are bounded too, absent ones included")
    func entries() throws {
        let ledger = Book(CacheLedger.Limits(bytesMax: 1_000, entriesMax: 2))
        let (first, _) = try #require(ledger.open(try key("a")))
        ledger.setAbsent(first, nowMs: 0)
        _ = try #require(ledger.open(try key("b")))
        let (_, evicted) = try #require(ledger.open(try key("c")))
        #expect(evicted == [first])
        #expect(ledger.open(try key("d")) == nil, "the others are being asked for")
    }

    @Test("whatever happens, the sum is right and never too large", arguments: 1...20 as ClosedRange<UInt64>)
    func anything(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        var sizes: [Int: Int] = [:]
        var pins: [Int] = []
        let names = try (0..<12).map { try key("k\($0)") }
        for step in 0..<2_000 {
            let name = names[Int.random(in: 0..<12, using: &random)]
            switch (ledger.find(name, nowMs: UInt64(step)), Int.random(in: 0..<4, using: &random)) {
            case (.nothing, _):
                let untilMs: UInt64 = Bool.random(using: &random) ? .max : UInt64(step + Int.random(in: 1...40, using: &random))
                guard let (id, evicted) = ledger.open(name, untilMs: untilMs) else { break }
                for id in evicted { sizes[id] = nil }
                sizes[id] = 0
            case (.opening(let id), 0): ledger.setAbsent(id, nowMs: UInt64(step))
            case (.opening(let id), _):
                let size = Int.random(in: 0...250, using: &random)
                let evicted = ledger.admit(id, bytes: size)
                for id in evicted ?? [id] { sizes[id] = nil }
                if evicted != nil { sizes[id] = size }
            case (.object(let id), 0): ledger.finish(id)
            case (.object(let id), 1):
                ledger.pin(id)
                pins.append(id)
            case (.object(let id), 2): if ledger.fail(id) { sizes[id] = nil }
            case (.object, _), (.absent, _):
                guard let id = pins.popLast() else { break }
                if ledger.unpin(id) != .nothing { sizes[id] = nil }
            }
            #expect(ledger.bytes == sizes.values.reduce(0, +))
            #expect(ledger.bytes <= 1_000)
        }
    }
}

@Suite("Which requests the object cache may answer (RFC 9110 section 14.2)")
struct WantedBytesTests {
    @Test(
        arguments: [
            (nil, .some(nil)), ("bytes=0-", .some(nil)), ("bytes=0-9", "0-9"), ("bytes= 5 - ", "5-"), ("bytes=7-7", "7-7"),
            ("bytes=-5", .none), ("bytes=0-1,4-5", .none), ("lines=1-2", .none), ("bytes=9-1", .none),
        ] as [(String?, String??)])
    func ranges(header: String?, wanted: String??) {
        let found = WantedBytes(header.map { ["Range": $0] } ?? [:])
        #expect(found.map(\.text) == wanted)
    }

    @Test(arguments: ["If-None-Match", "If-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"])
    func conditions(name: String) { #expect(WantedBytes([name: "\"x\""]) == nil) }
}
