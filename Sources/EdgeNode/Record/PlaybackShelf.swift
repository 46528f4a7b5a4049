import Cluster
import Presentation
import Store
import Synchronization

/// Ended recordings whose journals were read for playback, so that nobody reads one again and again. Who asks for one that is being read
/// gets what the first one reads. Any thread.
final class PlaybackShelf: Sendable {
    typealias Reading = Task<Result<[IndexedPeriod]?, StoreError>, Never>

    fileprivate struct Entry {
        let identity: Identity
        let reading: Reading
        /// Nil while it is being read.
        var bytes: Int?
        var usedAt: Int
    }

    /// What changes when the segments of an ended recording do; that it was acknowledged, say, changes none.
    fileprivate struct Identity: Equatable {
        let endTs: Int64?
        let durationMs: Int64?

        init(_ row: RecordingRecord) { (endTs, durationMs) = (row.endTs, row.durationMs) }
    }

    fileprivate struct State {
        var entries: [String: Entry] = [:]
        var bytes = 0
        var uses = 0
    }

    private let state = Mutex(State())
    private let bytesMax: Int

    /// - Parameter bytesMax: what all of it may take; a month of one stream of which no two segments are equal takes 11 MB.
    init(bytesMax: Int = 80 << 20) {
        self.bytesMax = bytesMax
    }

    /// What a recording consists of is something else now.
    func forget(_ id: String) {
        state.withLock { state in
            guard let entry = state.entries.removeValue(forKey: id) else { return }
            state.bytes -= entry.bytes ?? 0
        }
    }

    /// How much memory is taken.
    var bytes: Int { state.withLock { $0.bytes } }

    /// What is known of a recording, else what `read` brings.
    func periods(
        of row: RecordingRecord, _ read: @escaping @Sendable () async -> Result<[IndexedPeriod]?, StoreError>
    ) async throws(StoreError) -> [IndexedPeriod]? {
        let identity = Identity(row)
        let reading = state.withLock { state in
            state.uses += 1
            if let known = state.entries[row.id], known.identity == identity {
                state.entries[row.id]?.usedAt = state.uses
                return known.reading
            }
            let reading = Reading { await read() }
            state.bytes -= state.entries[row.id]?.bytes ?? 0
            state.entries[row.id] = Entry(identity: identity, reading: reading, bytes: nil, usedAt: state.uses)
            return reading
        }
        let result = await reading.value
        state.withLock { $0.settle(row.id, reading, result, bytesMax: bytesMax) }
        return try result.get()
    }
}

extension PlaybackShelf.State {
    /// Something was read: it is weighed once, and what was used longest ago makes room.
    fileprivate mutating func settle(
        _ id: String, _ reading: PlaybackShelf.Reading, _ result: Result<[IndexedPeriod]?, StoreError>, bytesMax: Int
    ) {
        guard let entry = entries[id], entry.bytes == nil, entry.reading == reading else { return }
        guard case .success(.some(let periods)) = result else {
            entries[id] = nil
            return
        }
        let weight = periods.reduce(0) { $0 + $1.weight }
        entries[id]?.bytes = weight
        bytes += weight
        while bytes > bytesMax,
            let oldest = entries.filter({ $0.value.bytes != nil }).min(by: { $0.value.usedAt < $1.value.usedAt })
        {
            bytes -= oldest.value.bytes ?? 0
            entries[oldest.key] = nil
        }
    }
}

extension IndexedPeriod {
    /// About how much memory it takes, in bytes.
    fileprivate var weight: Int {
        tracks.reduce(64) { sum, track in
            sum + 512 + track.segments.weight
        }
    }
}
