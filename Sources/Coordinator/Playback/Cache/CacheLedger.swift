import Store

/// What names an object in the cache.
struct CacheKey: Hashable, Sendable {
    /// Where it is read from; two nodes may have different objects under one name.
    enum Origin: Hashable, Sendable {
        /// The storage all nodes share.
        case store
        /// A node; `credential` is what the client shows when its own decides what the node gives, else empty.
        case node(String, credential: String)
    }

    let origin: Origin
    let object: ObjectKey
    /// The `Range` it was asked with; nil for all of it.
    var range: String?
    /// What its origin is asked with besides: a part, or a version of a manifest.
    var query = ""
    /// Of what changes: how often all of that was to be forgotten when this was asked for.
    var renewal: UInt64 = 0
}

/// Which objects are kept, which are on their way, and which must go. Pure: it counts, others hold the bytes and the clock.
///
/// Bytes that somebody is sending stay counted and are never dropped for others, so the sum is a bound on memory, not a hope.
struct CacheLedger {
    struct Limits {
        /// Of all objects together.
        var bytesMax: Int
        /// Of one object.
        var objectBytesMax: Int
        /// How many there may be, absent ones included.
        var entriesMax: Int
        /// How long the absence of an object is believed.
        var absentMs: UInt64

        /// One object takes a quarter at most.
        init(bytesMax: Int, entriesMax: Int = 4_096, absentMs: UInt64 = 1_000) {
            self.bytesMax = bytesMax
            self.entriesMax = entriesMax
            self.absentMs = absentMs
            objectBytesMax = bytesMax / 4
        }
    }

    /// What is known of a key.
    enum Found: Equatable {
        case nothing
        /// Asked for, not answered yet.
        case opening(Int)
        /// Coming in, or all there.
        case object(Int)
        /// Asked for a moment ago, and not there.
        case absent(Int)
    }

    /// What an entry that nobody sends any more leaves to do.
    enum Release: Equatable {
        case nothing
        /// It was on its way for nobody: stop fetching and forget it.
        case abandoned
        /// It was not found any more; its bytes can go.
        case freed
    }

    private enum State: Equatable {
        case opening
        case filling
        case kept
        case absent(untilMs: UInt64)
        /// No longer found, but still being sent: it failed, or another took its place.
        case detached
    }

    private struct Entry {
        let key: CacheKey
        /// Neither it nor its absence is found from then on.
        let untilMs: UInt64
        var state = State.opening
        var bytes = 0
        var pins = 0
        var lastUse: UInt64 = 0
    }

    let limits: Limits
    private var ids: [CacheKey: Int] = [:]
    private var entries: [Int: Entry] = [:]
    private var nextID = 0
    private var uses: UInt64 = 0
    /// Bytes of all objects, those that are still coming in counted whole.
    private(set) var bytes = 0

    init(_ limits: Limits) { self.limits = limits }

    /// Keys that are known.
    var count: Int { ids.count }

    /// Looks a key up; what was absent long enough ago, or has had its time, is unknown again. An origin that has not answered yet may still
    /// be waited for.
    mutating func find(_ key: CacheKey, nowMs: UInt64) -> Found {
        guard let id = ids[key], let entry = entries[id] else { return .nothing }
        uses += 1
        entries[id]?.lastUse = uses
        switch entry.state {
        case .opening: return .opening(id)
        case .filling, .kept: return nowMs < entry.untilMs ? .object(id) : .nothing
        case .absent(let untilMs): return nowMs < untilMs ? .absent(id) : .nothing
        case .detached: return .nothing
        }
    }

    /// A key that `find` knows nothing of is being asked for from now on. What it named before goes, or counts until the last has sent it.
    /// - Parameter untilMs: from when on what comes is not found any more, for what changes.
    /// - Returns: nil when there are too many entries and none can go; `evicted` are to be let go of.
    mutating func open(_ key: CacheKey, untilMs: UInt64 = .max) -> (id: Int, evicted: [Int])? {
        var evicted: [Int] = []
        if let former = ids[key], detach(former) { evicted.append(former) }
        if entries.count >= limits.entriesMax {
            guard let oldest = oldest() else { return nil }
            forget(oldest)
            evicted.append(oldest)
        }
        nextID += 1
        uses += 1
        ids[key] = nextID
        entries[nextID] = Entry(key: key, untilMs: untilMs, lastUse: uses)
        return (nextID, evicted)
    }

    /// An object that was asked for begins to come in. Nil when there is no room for it: the entry is gone then.
    mutating func admit(_ id: Int, bytes size: Int) -> [Int]? {
        guard entries[id]?.state == .opening, size >= 0, size <= limits.objectBytesMax else {
            forget(id)
            return nil
        }
        let reclaimable = entries.values.reduce(0) { $0 + ($1.state == .kept && $1.pins == 0 ? $1.bytes : 0) }
        guard bytes - reclaimable + size <= limits.bytesMax else {
            forget(id)
            return nil
        }
        var evicted: [Int] = []
        while bytes + size > limits.bytesMax, let oldest = oldest(withBytes: true) {
            forget(oldest)
            evicted.append(oldest)
        }
        entries[id]?.state = .filling
        entries[id]?.bytes = size
        bytes += size
        return evicted
    }

    /// All of an object is there.
    mutating func finish(_ id: Int) { if entries[id]?.state == .filling { entries[id]?.state = .kept } }

    /// What was asked for is not there.
    mutating func setAbsent(_ id: Int, nowMs: UInt64) {
        guard let entry = entries[id], entry.state == .opening else { return }
        entries[id]?.state = .absent(untilMs: min(nowMs + limits.absentMs, entry.untilMs))
    }

    /// Asking or fetching failed: the key is unknown again. True when the entry is gone, false while somebody still sends of it.
    mutating func fail(_ id: Int) -> Bool { detach(id) }

    private mutating func detach(_ id: Int) -> Bool {
        guard let entry = entries[id] else { return true }
        guard entry.pins > 0 else {
            forget(id)
            return true
        }
        if ids[entry.key] == id { ids[entry.key] = nil }
        entries[id]?.state = .detached
        return false
    }

    /// Somebody sends of the object.
    mutating func pin(_ id: Int) { entries[id]?.pins += 1 }

    /// Somebody has sent what he wanted.
    mutating func unpin(_ id: Int) -> Release {
        guard var entry = entries[id] else { return .nothing }
        entry.pins -= 1
        entries[id] = entry
        guard entry.pins == 0 else { return .nothing }
        switch entry.state {
        case .filling:
            // Who polls what changes may only want to know that he has it; the next one comes soon.
            guard entry.untilMs == .max else { return .nothing }
            forget(id)
            return .abandoned
        case .detached:
            forget(id)
            return .freed
        case .opening, .kept, .absent: return .nothing
        }
    }

    private mutating func forget(_ id: Int) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        if ids[entry.key] == id { ids[entry.key] = nil }
        bytes -= entry.bytes
    }

    /// What was not used for the longest time, of that which may go. There are a few thousand entries at most, and this is asked for
    /// misses only.
    private func oldest(withBytes: Bool = false) -> Int? {
        var found: (id: Int, lastUse: UInt64)?
        for (id, entry) in entries where entry.lastUse < found?.lastUse ?? .max {
            switch entry.state {
            case .kept where entry.pins == 0 && (!withBytes || entry.bytes > 0): found = (id, entry.lastUse)
            case .absent where !withBytes: found = (id, entry.lastUse)
            case .kept, .absent, .opening, .filling, .detached: break
            }
        }
        return found?.id
    }
}
