import EdgeFixtures
import Store
import Synchronization
import TestThreads
import Testing

@testable import HTTP
@testable import Playback

/// An origin whose every step is the test's.
private final class Origin: Sendable {
    private struct State {
        var pieces: [[UInt8]] = []
        var isOver = false
        var failure: HTTPError?
        var waiting: CheckedContinuation<Void, Never>?
        var fetches = 0
        var isCancelled = false
    }

    private let state = Mutex(State())
    let count: Int?
    let etag: String?
    let isForAll: Bool

    init(count: Int?, etag: String? = "\"1\"", isForAll: Bool = true) {
        (self.count, self.etag, self.isForAll) = (count, etag, isForAll)
    }

    var fetches: Int { state.withLock { $0.fetches } }
    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func give(_ bytes: [UInt8]) { change { $0.pieces.append(bytes) } }
    func end() { change { $0.isOver = true } }
    func fail(_ error: HTTPError) { change { $0.failure = error } }

    private func change(_ body: (inout State) -> Void) {
        let waiting = state.withLock { state in
            body(&state)
            return state.waiting.take()
        }
        waiting?.resume()
    }

    /// Brings the header with the first piece or the end.
    func fetch() async throws -> ObjectSource {
        state.withLock { $0.fetches += 1 }
        try await ready()
        return ObjectSource(
            head: ObjectHead(headers: etag.map { ["ETag": $0] } ?? [:], isPart: false, count: count, isForAll: isForAll)
        ) {
            try await self.ready()
            return self.state.withLock { $0.pieces.isEmpty ? nil : $0.pieces.removeFirst() }
        }
    }

    private func ready() async throws {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state in
                    if !state.pieces.isEmpty || state.isOver || state.failure != nil || state.isCancelled { return true }
                    state.waiting = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        } onCancel: {
            change { $0.isCancelled = true }
        }
        try Task.checkCancellation()
        if let failure = state.withLock({ $0.pieces.isEmpty ? $0.failure : nil }) { throw failure }
    }
}

@Suite("One fetch for all who ask", .timeLimit(.minutes(2)))
struct ObjectCacheTests {
    private func key(_ name: String = "a/seg_0001.m4s") throws -> CacheKey {
        CacheKey(origin: .store, object: try ObjectKey(name), range: nil)
    }

    private func cache(_ bytes: Int = 4_000, _ time: TestTime = TestTime()) -> ObjectCache {
        ObjectCache(bytes: bytes) { time.nowMs.load(ordering: .relaxed) }
    }

    private func ask(
        _ cache: ObjectCache, _ key: CacheKey, _ origin: Origin, freshMs: UInt64? = nil
    ) async throws -> ObjectCache.Answer {
        try await cache.object(key, freshMs: freshMs, isAbsent: { ($0 as? HTTPError)?.status == .notFound }) {
            try await origin.fetch()
        }
    }

    private func asking(
        _ cache: ObjectCache, _ origin: Origin, freshMs: UInt64? = nil
    ) throws -> Task<ObjectCache.Answer, any Error> {
        let key = try key()
        return Task { try await ask(cache, key, origin, freshMs: freshMs) }
    }

    @Test("all get the object while it comes in, from one fetch; whoever comes later gets it from memory")
    func joined() async throws {
        let (cache, origin) = (cache(), Origin(count: 6))
        let tasks = try (0..<200).map { _ in try asking(cache, origin) }
        try await eventually("one fetch") { origin.fetches == 1 }
        origin.give([1, 2, 3])
        var leases: [ObjectCache.Lease] = []
        for task in tasks { leases.append(try #require(try await task.value.lease)) }
        try await eventually("the first half") { leases[0].body.bytes == [1, 2, 3] }
        #expect(!leases[0].body.isComplete && leases[0].head.headers["ETag"] == "\"1\"")
        #expect(cache.lookup(try key())?.body === leases[0].body)
        origin.give([4, 5, 6])
        origin.end()
        try await eventually("all of it") { leases.allSatisfy { $0.body.bytes == [1, 2, 3, 4, 5, 6] } }
        leases = []
        let kept = try #require(try await ask(cache, try key(), Origin(count: 1)).lease)
        #expect(kept.body.bytes == [1, 2, 3, 4, 5, 6])
        #expect(origin.fetches == 1 && cache.counts.misses == 1 && cache.counts.bytes == 6)
    }

    @Test("an object is kept once its last byte is here, though who asked is gone before its origin ends")
    func unended() async throws {
        let (cache, origin) = (cache(), Origin(count: 3))
        var task: Task<ObjectCache.Answer, any Error>? = try asking(cache, origin)
        origin.give([1, 2, 3])
        var lease = try await task?.value.lease
        try await eventually("all of it") { lease?.body.isComplete == true }
        task = nil
        lease = nil
        #expect(try #require(try await ask(cache, try key(), Origin(count: 1)).lease).body.bytes == [1, 2, 3])
        #expect(!origin.isCancelled && cache.counts.misses == 1)
        origin.end()
    }

    @Test("the first to ask may leave; without anybody the fetch ends")
    func leaderLeaves() async throws {
        let (cache, origin) = (cache(), Origin(count: 3))
        let first = try asking(cache, origin)
        try await eventually("the fetch") { origin.fetches == 1 }
        // The task keeps what came of it, too.
        var second: Task<ObjectCache.Answer, any Error>? = try asking(cache, origin)
        try await eventually("both wait") { cache.counts.waiting == 2 }
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        #expect(!origin.isCancelled)
        origin.give([7])
        #expect(try await second?.value.lease != nil && !origin.isCancelled)
        second = nil
        try await eventually("nobody is left") { origin.isCancelled && cache.counts.bytes == 0 && cache.counts.objects == 0 }
        let alone = Origin(count: 3)
        let third = try asking(cache, alone)
        try await eventually("a fetch of its own") { alone.fetches == 1 }
        third.cancel()
        try await eventually("it ends") { alone.isCancelled && cache.counts.objects == 0 }
    }

    @Test("of what changes all comes in though nobody reads it; what has not when its time is over ends")
    func polled() async throws {
        let time = TestTime()
        let (cache, origin, next) = (cache(4_000, time), Origin(count: 4), Origin(count: 2))
        var task: Task<ObjectCache.Answer, any Error>? = try asking(cache, origin, freshMs: 250)
        origin.give([1, 2])
        // Its header is all that who has it wants.
        #expect(try await task?.value.lease?.head.headers["ETag"] == "\"1\"")
        task = nil
        var again = try await ask(cache, try key(), next, freshMs: 250).lease
        #expect(again?.body.bytes == [1, 2] && next.fetches == 0 && !origin.isCancelled && cache.counts.bytes == 4)
        again = nil
        time.nowMs.add(250, ordering: .relaxed)
        let late = try asking(cache, next, freshMs: 250)
        try await eventually("the first fetch ends") { origin.isCancelled && next.fetches == 1 }
        next.give([7, 8])
        let lease = try #require(try await late.value.lease)
        try await eventually("all of it") { lease.body.isComplete }
        #expect(cache.counts.bytes == 2 && cache.counts.objects == 1)
    }

    @Test("an error goes to all who wait and is not kept")
    func failure() async throws {
        let (cache, origin) = (cache(), Origin(count: 3))
        let tasks = try [asking(cache, origin), asking(cache, origin)]
        try await eventually("both wait") { cache.counts.waiting == 2 }
        origin.fail(HTTPError(.badGateway, "no"))
        for task in tasks { await #expect(throws: HTTPError.self) { try await task.value } }
        let next = Origin(count: 1)
        next.give([1])
        next.end()
        #expect(try await ask(cache, try key(), next).lease != nil)
    }

    @Test("what breaks off breaks for those who have it, and is fetched anew by the next", arguments: [true, false])
    func broken(byError: Bool) async throws {
        let (cache, origin) = (cache(), Origin(count: 3))
        let task = try asking(cache, origin)
        origin.give([1])
        let lease = try #require(try await task.value.lease)
        if byError { origin.fail(HTTPError(.badGateway, "broken")) } else { origin.end() }
        try await eventually("it is forgotten") { cache.counts.objects == 0 }
        #expect(!lease.body.append([2]), "it has failed")
        #expect(cache.counts.bytes == 3, "still held")
        let next = Origin(count: 1)
        next.give([1])
        next.end()
        #expect(try await ask(cache, try key(), next).lease != nil)
    }

    @Test("that there is no such object is believed for a second")
    func absent() async throws {
        let time = TestTime()
        let (cache, origin) = (cache(4_000, time), Origin(count: 3))
        origin.fail(HTTPError(.notFound, "no"))
        for _ in 0..<3 { await #expect(throws: HTTPError(.notFound, "no")) { try await ask(cache, try key(), origin) } }
        #expect(origin.fetches == 1)
        time.nowMs.store(1_000, ordering: .relaxed)
        await #expect(throws: HTTPError.self) { try await ask(cache, try key(), origin) }
        #expect(origin.fetches == 2)
    }

    @Test("what changes is fetched once for all who ask in its time, and anew after it; who sends the former gets all of it")
    func changing() async throws {
        let time = TestTime()
        let (cache, first, second) = (cache(4_000, time), Origin(count: 6), Origin(count: 3))
        var tasks = try (0..<20).map { _ in try asking(cache, first, freshMs: 500) }
        try await eventually("all wait") { cache.counts.waiting == 20 }
        first.give([1, 2, 3])
        var leases: [ObjectCache.Lease] = []
        for task in tasks { leases.append(try #require(try await task.value.lease)) }
        time.nowMs.store(499, ordering: .relaxed)
        let late = try #require(try await ask(cache, try key(), second, freshMs: 500).lease)
        #expect(late.body === leases[0].body && first.fetches == 1 && second.fetches == 0)
        (leases, tasks) = ([], [])
        time.nowMs.store(500, ordering: .relaxed)
        #expect(cache.lookup(try key()) == nil)
        second.give([7, 8, 9])
        second.end()
        let fresh = try #require(try await ask(cache, try key(), second, freshMs: 500).lease)
        try await eventually("all of the second") { fresh.body.bytes == [7, 8, 9] }
        #expect(second.fetches == 1 && cache.counts.misses == 2 && cache.counts.bytes == 9)
        first.give([4, 5, 6])
        first.end()
        try await eventually("all of the first") { late.body.bytes == [1, 2, 3, 4, 5, 6] }
        #expect(!first.isCancelled)
        #expect(cache.lookup(try key())?.body === fresh.body)
    }

    @Test("a former version that nobody sends any more is neither fetched on nor counted")
    func former() async throws {
        let time = TestTime()
        let (cache, first, second) = (cache(4_000, time), Origin(count: 6), Origin(count: 3))
        var task: Task<ObjectCache.Answer, any Error>? = try asking(cache, first, freshMs: 500)
        first.give([1, 2, 3])
        var lease = try await task?.value.lease
        time.nowMs.store(500, ordering: .relaxed)
        second.give([7, 8, 9])
        second.end()
        let fresh = try #require(try await ask(cache, try key(), second, freshMs: 500).lease)
        #expect(lease?.body.count == 6 && cache.counts.bytes == 9)
        task = nil
        lease = nil
        try await eventually("the fetch ends") { first.isCancelled && cache.counts.bytes == 3 }
        #expect(cache.lookup(try key())?.body === fresh.body)
    }

    @Test("an origin that takes longer than what changes is kept answers all who came meanwhile, once")
    func slow() async throws {
        let time = TestTime()
        let (cache, origin) = (cache(4_000, time), Origin(count: 3))
        let first = try asking(cache, origin, freshMs: 500)
        try await eventually("it is asked") { origin.fetches == 1 }
        time.nowMs.store(2_000, ordering: .relaxed)
        let second = try asking(cache, origin, freshMs: 500)
        try await eventually("both wait") { cache.counts.waiting == 2 }
        origin.give([1, 2, 3])
        origin.end()
        let leases = [try await first.value.lease, try await second.value.lease]
        #expect(leases[0] != nil && leases[0]?.body === leases[1]?.body)
        #expect(cache.lookup(try key()) == nil, "it is late")
    }

    @Test(
        "what can't be kept is streamed to one, and the others fetch it themselves",
        arguments: [(1_001, "\"1\"", true), (nil, "\"1\"", true), (3, nil, true), (3, "\"1\"", false)] as [(Int?, String?, Bool)])
    func passed(count: Int?, etag: String?, isForAll: Bool) async throws {
        let (cache, origin) = (cache(), Origin(count: count, etag: etag, isForAll: isForAll))
        let tasks = try [asking(cache, origin), asking(cache, origin)]
        try await eventually("both wait") { cache.counts.waiting == 2 }
        origin.give([1, 2, 3])
        origin.end()
        var sources: [ObjectSource] = []
        var alone = 0
        for task in tasks {
            switch try await task.value {
            case .source(let source): sources.append(source)
            case .uncached: alone += 1
            case .lease: Issue.record("kept")
            }
        }
        #expect(sources.count == 1 && alone == 1)
        #expect(try await sources.first?.stream() == [1, 2, 3])
        #expect(cache.counts.bytes == 0 && cache.counts.passed == 2)
    }

    @Test("a crowd that comes and goes gets the right bytes, and memory stays within its bound")
    func crowd() async throws {
        let cache = cache(40_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for seed in 0..<64 {
                group.addTask {
                    var random = SeededGenerator(state: UInt64(seed))
                    for _ in 0..<50 { try await Self.visit(cache, &random) }
                }
            }
            try await group.waitForAll()
        }
        try await eventually("nobody is left") { cache.counts.waiting == 0 }
        #expect(cache.counts.bytes <= 40_000 && cache.counts.hits > 0 && cache.counts.misses > 0)
    }

    private static func visit(_ cache: ObjectCache, _ random: inout SeededGenerator) async throws {
        let number = Int.random(in: 0..<20, using: &random)
        let size = 500 * (number + 1)
        let key = CacheKey(origin: .store, object: try ObjectKey("k\(number)"), range: nil)
        let isShort = Int.random(in: 0..<8, using: &random) == 0
        let task = Task {
            try await cache.object(key, isAbsent: { _ in false }) {
                let sent = Mutex(0)
                return ObjectSource(head: ObjectHead(headers: ["ETag": "\"\(number)\""], isPart: false, count: size)) {
                    await Task.yield()
                    return sent.withLock { sent in
                        sent += 1
                        return sent > (isShort ? 3 : 5) ? nil : [UInt8](repeating: UInt8(number), count: size / 5)
                    }
                }
            }
        }
        if Int.random(in: 0..<4, using: &random) == 0 { task.cancel() }
        guard case .success(.lease(let lease)) = await task.result else { return }
        for _ in 0..<Int.random(in: 0..<6, using: &random) { await Task.yield() }
        #expect(lease.body.bytes.allSatisfy { $0 == UInt8(number) })
        #expect(cache.counts.bytes <= 40_000)
    }
}

/// A clock that goes when it is told to.
final class TestTime: Sendable {
    let nowMs = Atomic<UInt64>(0)
}

extension ObjectCache.Answer {
    fileprivate var lease: ObjectCache.Lease? { if case .lease(let lease) = self { lease } else { nil } }
}

extension SharedBody {
    /// What is there.
    fileprivate var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            if case .bytes(let read) = self.read(at: 0, into: UnsafeMutableRawBufferPointer(buffer)) { filled = read }
        }
    }
}
