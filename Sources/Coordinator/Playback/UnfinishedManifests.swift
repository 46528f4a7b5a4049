import Foundation
import Journal
import Media
import Store

/// Manifests of directories whose writers are gone without having ended what they recorded, made from the journals in the shared store.
///
/// The stored manifest still calls them growing, and nobody who could end them may ever come back.
actor UnfinishedManifests {
    private let store: any ObjectStore
    /// What was read before, and is not read again unless it has changed.
    private var shelves: [ObjectKey: JournalShelf] = [:]

    private static let shelvesMax = 16
    /// What players of a growing manifest ask again after; this one never grows.
    private static let segmentSeconds = 4.0

    init(_ store: any ObjectStore) { self.store = store }

    /// Nil when the store can't say, or nothing of the stream is there.
    /// - Parameters:
    ///   - live: nodes that answer; what others have begun counts as ended.
    ///   - originUs: from when positions are counted in the version that keeps gaps; see ``DayManifest``.
    func manifest(
        of directory: ObjectKey, stream: String, live: Set<String>, keepsGaps: Bool, originUs: Int64?
    ) async -> [UInt8]? {
        var shelf = shelves[directory] ?? JournalShelf(directory: directory)
        do throws(StoreError) { try await shelf.read(store) } catch { return nil }
        if shelves.count >= Self.shelvesMax { shelves = [:] }
        shelves[directory] = shelf
        let nowUs = Int64(Date().timeIntervalSince1970 * 1e6)
        let sessions = shelf.sessions(stream: stream, nowUs: nowUs).map { live.contains($0.node) ? $0 : $0.ended }
        return DayManifest.render(
            sessions, publishUs: sessions.map(\.updatedUs).max() ?? 0, segmentSeconds: Self.segmentSeconds, keepsGaps: keepsGaps,
            originUs: originUs)?.utf8
    }
}
