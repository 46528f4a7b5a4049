import HTTP
import Log
import Synchronization

/// An object as its origin describes it.
struct ObjectHead: Sendable {
    /// Content-Type, ETag, Last-Modified, Cache-Control and, of a part, Content-Range.
    var headers: HTTPHeaders
    /// Whether it is a part of the object, as it was asked for.
    var isPart: Bool
    /// The bytes that come; nil when the origin does not say.
    var count: Int?
    /// Whether the origin lets it be given to others, too.
    var isForAll = true
}

/// An object whose bytes are still coming, for one reader.
struct ObjectSource: Sendable {
    let head: ObjectHead
    let stream: @Sendable () async throws -> [UInt8]?
}

/// Recorded objects that many players ask for at once: each is fetched once, given to all while it still comes in, and kept for a while.
///
/// A fetch belongs to nobody: who asked first may leave. It ends when nobody is left who wants it. What changes is kept for a moment, counted
/// from when it was asked for. Errors are not kept, except for a moment that an object is not there. Any thread.
public final class ObjectCache: Sendable {
    /// An object that is here; kept in memory for as long as this is held.
    final class Lease: Sendable {
        let head: ObjectHead
        let body: SharedBody
        private let id: Int
        private let cache: ObjectCache

        fileprivate init(_ object: Object, id: Int, cache: ObjectCache) {
            (head, body, self.id, self.cache) = (object.head, object.body, id, cache)
        }

        deinit { cache.release(id) }
    }

    enum Answer: Sendable {
        case lease(Lease)
        /// For one asker, past the cache: too large, or no room.
        case source(ObjectSource)
        /// As above, and the fetch went to another asker: fetch it yourself.
        case uncached
    }

    /// What came of the requests.
    public struct Counts: Sendable, Equatable {
        /// Answered from memory.
        public var hits: UInt64 = 0
        /// Given what another request was fetching.
        public var joined: UInt64 = 0
        /// Fetched.
        public var misses: UInt64 = 0
        /// Fetched past the cache for want of room.
        public var passed: UInt64 = 0
        /// Bytes kept or coming in now.
        public var bytes = 0
        /// Objects kept, coming in or known to be absent now.
        public var objects = 0
        /// Requests that wait for an origin's answer now.
        public var waiting = 0
    }

    typealias Fetch = @Sendable () async throws -> ObjectSource

    fileprivate struct Object {
        let head: ObjectHead
        let body: SharedBody
    }

    private struct Asker {
        let id: UInt64
        let continuation: CheckedContinuation<Answer, any Error>
    }

    private struct Slot {
        var object: Object?
        var failure: (any Error)?
        var askers: [Asker] = []
        var task: Task<Void, Never>?
    }

    private struct State {
        var ledger: CacheLedger
        var slots: [Int: Slot] = [:]
        var nextAsker: UInt64 = 0
        var counts = Counts()
    }

    private static let log = Logger("objects")
    private let state: Mutex<State>
    private let nowMs: @Sendable () -> UInt64
    private let renewed = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - bytes: the most bytes of objects in memory, what is being sent and fetched included.
    ///   - nowMs: a monotonic clock in milliseconds.
    init(bytes: Int, nowMs: @escaping @Sendable () -> UInt64) {
        state = Mutex(State(ledger: CacheLedger(CacheLedger.Limits(bytesMax: bytes))))
        self.nowMs = nowMs
    }

    /// A cache of at most so many bytes; nil for 0, which means none.
    public static func make(bytes: Int) -> ObjectCache? {
        let start = ContinuousClock.now
        return bytes == 0
            ? nil
            : ObjectCache(bytes: bytes) {
                let passed = start.duration(to: .now).components
                return UInt64(passed.seconds) * 1_000 + UInt64(passed.attoseconds / 1_000_000_000_000_000)
            }
    }

    /// What has come of the requests so far.
    public var counts: Counts {
        state.withLock { state in
            var counts = state.counts
            counts.bytes = state.ledger.bytes
            counts.objects = state.ledger.count
            counts.waiting = state.slots.values.reduce(0) { $0 + $1.askers.count }
            return counts
        }
    }

    /// How often ``renew()`` was called; a part of the keys of what changes.
    var renewals: UInt64 { renewed.load(ordering: .acquiring) }

    /// From now on nobody is given what changes as it was before. What is left of it goes when its room is wanted.
    func renew() { renewed.add(1, ordering: .acquiringAndReleasing) }

    /// The object when it is here or coming in; never fetches.
    func lookup(_ key: CacheKey) -> Lease? {
        let now = nowMs()
        return state.withLock { state in
            guard case .object(let id) = state.ledger.find(key, nowMs: now) else { return nil }
            return lease(id, &state)
        }
    }

    /// The object, fetched unless it is here or another asker's fetch brings it.
    /// - Parameters:
    ///   - freshMs: how long others are given it, or told of its absence, after its fetch began; nil for what never changes.
    ///   - isAbsent: whether an error means that there is no such object.
    /// - Throws: what `fetch` throws, and CancellationError.
    func object(
        _ key: CacheKey, freshMs: UInt64? = nil, isAbsent: @escaping @Sendable (any Error) -> Bool, fetch: @escaping Fetch
    ) async throws -> Answer {
        let asker = state.withLock { state in
            state.nextAsker += 1
            return state.nextAsker
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                ask(key, freshMs, Asker(id: asker, continuation: continuation), isAbsent, fetch)
            }
        } onCancel: {
            leave(key, asker)
        }
    }

    // MARK: asking

    private func ask(
        _ key: CacheKey, _ freshMs: UInt64?, _ asker: Asker, _ isAbsent: @escaping @Sendable (any Error) -> Bool,
        _ fetch: @escaping Fetch
    ) {
        let now = nowMs()
        let (found, replaced) = state.withLock { state -> (Result<Answer, any Error>?, [Slot]) in
            // Looked at with the lock held: who is cancelled later is found by `leave`.
            if Task.isCancelled { return (.failure(CancellationError()), []) }
            switch state.ledger.find(key, nowMs: now) {
            case .object(let id):
                return (.success(lease(id, &state).map { .lease($0) } ?? .uncached), [])
            case .absent(let id):
                state.counts.hits += 1
                return (.failure(state.slots[id]?.failure ?? CancellationError()), [])
            case .opening(let id):
                state.slots[id]?.askers.append(asker)
                return (nil, [])
            case .nothing:
                guard let (id, evicted) = state.ledger.open(key, untilMs: freshMs.map { now + $0 } ?? .max) else {
                    return (.success(.uncached), [])
                }
                let replaced = evicted.compactMap { state.slots.removeValue(forKey: $0) }
                state.counts.misses += 1
                let task = Task { await self.run(id, isAbsent, fetch) }
                state.slots[id] = Slot(askers: [asker], task: task)
                return (nil, replaced)
            }
        }
        // What changes may still be coming in when its time is over.
        for slot in replaced { slot.task?.cancel() }
        if let found { asker.continuation.resume(with: found) }
    }

    /// Counts and pins; nil when the object is not there, which can't be.
    private func lease(_ id: Int, _ state: inout State) -> Lease? {
        guard let object = state.slots[id]?.object else { return nil }
        if object.body.isComplete { state.counts.hits += 1 } else { state.counts.joined += 1 }
        state.ledger.pin(id)
        return Lease(object, id: id, cache: self)
    }

    /// An asker does not wait any longer. The fetch goes on for the others, and ends without any.
    private func leave(_ key: CacheKey, _ asker: UInt64) {
        let now = nowMs()
        let (left, task) = state.withLock { state -> (Asker?, Task<Void, Never>?) in
            guard case .opening(let id) = state.ledger.find(key, nowMs: now),
                let index = state.slots[id]?.askers.firstIndex(where: { $0.id == asker })
            else { return (nil, nil) }
            let left = state.slots[id]?.askers.remove(at: index)
            guard state.slots[id]?.askers.isEmpty == true else { return (left, nil) }
            _ = state.ledger.fail(id)
            return (left, state.slots.removeValue(forKey: id)?.task)
        }
        task?.cancel()
        left?.continuation.resume(throwing: CancellationError())
    }

    /// A lease ends. Called from its deinit, so never with the lock held.
    fileprivate func release(_ id: Int) {
        let slot = state.withLock { state -> Slot? in
            // Readers may be done with the last bytes before the fetch has told.
            if state.slots[id]?.object?.body.isComplete == true { state.ledger.finish(id) }
            switch state.ledger.unpin(id) {
            case .nothing: return nil
            case .abandoned, .freed: return state.slots.removeValue(forKey: id)
            }
        }
        slot?.task?.cancel()
    }

    // MARK: fetching

    private func run(_ id: Int, _ isAbsent: @Sendable (any Error) -> Bool, _ fetch: Fetch) async {
        let source: ObjectSource
        do {
            source = try await fetch()
        } catch {
            return refuse(id, error, isAbsent: isAbsent(error))
        }
        guard let body = admit(id, source) else { return }
        do {
            while let bytes = try await source.stream() {
                guard body.append(bytes) else { throw HTTPError(.badGateway, "more bytes than were announced") }
                // It is all here; the origin may still take its time to say so.
                if body.isComplete { state.withLock { $0.ledger.finish(id) } }
            }
            guard body.isComplete else { throw HTTPError(.badGateway, "fewer bytes than were announced") }
            state.withLock { $0.ledger.finish(id) }
        } catch {
            Self.log.debug("an object broke off", ["reason": "\(error)"])
            let slot = state.withLock { $0.ledger.fail(id) ? $0.slots.removeValue(forKey: id) : nil }
            body.fail()
            withExtendedLifetime(slot) {}
        }
    }

    /// The origin has no answer for those who wait.
    private func refuse(_ id: Int, _ error: any Error, isAbsent: Bool) {
        let now = nowMs()
        let askers = state.withLock { state -> [Asker] in
            let askers = state.slots[id]?.askers ?? []
            state.counts.joined += UInt64(max(0, askers.count - 1))
            if isAbsent {
                state.ledger.setAbsent(id, nowMs: now)
                if state.slots[id] != nil { state.slots[id] = Slot(failure: error) }
            } else {
                _ = state.ledger.fail(id)
                state.slots[id] = nil
            }
            return askers
        }
        for asker in askers { asker.continuation.resume(throwing: error) }
    }

    /// Gives the object to those who wait, before its bytes are there. Nil when it can't be kept: the first of them gets the source.
    private func admit(_ id: Int, _ source: ObjectSource) -> SharedBody? {
        let isKept = source.head.isForAll && source.head.count != nil && source.head.headers["ETag"] != nil
        let (body, askers) = state.withLock { state -> (SharedBody?, [(Asker, Answer)]) in
            // Nobody waits any more.
            guard let askers = state.slots[id]?.askers, !askers.isEmpty else { return (nil, []) }
            guard isKept, let count = source.head.count, let evicted = state.ledger.admit(id, bytes: count) else {
                _ = state.ledger.fail(id)
                state.slots[id] = nil
                state.counts.passed += UInt64(askers.count)
                return (nil, askers.enumerated().map { ($1, $0 == 0 ? .source(source) : .uncached) })
            }
            for id in evicted { state.slots[id] = nil }
            let object = Object(head: source.head, body: SharedBody(count: count))
            state.slots[id]?.object = object
            state.slots[id]?.askers = []
            state.counts.joined += UInt64(askers.count - 1)
            return (
                object.body,
                askers.map { asker in
                    state.ledger.pin(id)
                    return (asker, .lease(Lease(object, id: id, cache: self)))
                }
            )
        }
        for (asker, answer) in askers { asker.continuation.resume(returning: answer) }
        return body
    }
}
