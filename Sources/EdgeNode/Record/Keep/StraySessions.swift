import Cluster
import Journal
import Store
import Synchronization

/// Recordings of this node in the remote store of which its spool has nothing: it was lost, with its disk perhaps.
///
/// Their journals there are all that tells of them, so they are looked for by listing the store. That costs a request or two for each day
/// of each stream; days that are too young to hold anything old cost one and nothing of them is read. The first line of a journal says whose
/// it is; one that has not changed is not read again.
final class StraySessions: Sendable {
    private let environment: RecorderEnvironment
    private let shipper: Shipper
    private let state = Mutex(State())

    private struct State {
        /// Journals that had nothing to remove, by path.
        var known: [String: Known] = [:]
        /// When the last look began that came to its end, Unix microseconds.
        var lookedUs: Int64?
    }

    private struct Known {
        let tag: String
        /// Nil: another node's, or nothing that can be judged.
        let row: RecordingRecord?
    }

    /// Looks are at least so far apart, unless one did not come to its end.
    private static let restUs: Int64 = 86_400_000_000
    /// What is beyond is read at each look.
    private static let knownMax = 100_000

    /// Nil when recordings stay where they are written, and when others may record under this node's alias.
    init?(_ environment: RecorderEnvironment) {
        guard let shipper = environment.shipper, environment.settings.ownsAlias else { return nil }
        (self.environment, self.shipper) = (environment, shipper)
    }

    /// Looks for what was kept long enough, or whose removal was begun, as of a time of day in Unix microseconds.
    ///
    /// - Parameter remove: false when that did not come to its end: the next look is not long in coming then.
    /// - Throws: what the store says to listing and reading; the next look begins anew.
    func look(nowUs: Int64, remove: (RecordedSession) async -> Bool) async throws(StoreError) {
        let before = state.withLock { $0 }
        if let last = before.lookedUs, (last..<last + Self.restUs).contains(nowUs) { return }
        guard let limitUs = environment.settings.retention.youngestLimitUs(nowUs: nowUs) else { return }
        let limitDay = RecordingLayout.day(atUs: limitUs)
        var walk = JournalWalk(shipper.remote) { RecordingLayout.day(of: $0).map { $0 > limitDay } ?? false }
        var known: [String: Known] = [:]
        var isWhole = true
        while let page = try await walk.next() {
            for info in page.journals {
                guard !Task.isCancelled else { return }
                let earlier = before.known[info.key.path].flatMap { $0.tag == info.etag ? $0 : nil }
                switch try await judge(info, earlier, nowUs: nowUs) {
                case .notOurs: break
                case .kept(let row):
                    if known.count < Self.knownMax { known[info.key.path] = Known(tag: info.etag, row: row) }
                case .due(let session):
                    if await !remove(session) { isWhole = false }
                }
            }
        }
        let new = State(known: known, lookedUs: isWhole ? nowUs : nil)
        state.withLock { $0 = new }
    }

    /// The steps of every removal, of what the remote store has; here only the row is left, for whoever asks this node.
    func remove(_ session: RecordedSession) async throws(StoreError) {
        try await shipper.remove(session)
        var removed = session
        removed.apply(JournalLine(.deleted, at: environment.clock.next()))
        environment.index.put(removed)
    }

    // MARK: Steps

    private enum Verdict {
        /// Others look after it, or have to be asked again next time.
        case notOurs
        /// Nothing to do before the journal changes or the row is old; nil: ever.
        case kept(RecordingRecord?)
        case due(RecordedSession)
    }

    private func judge(_ info: ObjectInfo, _ earlier: Known?, nowUs: Int64) async throws(StoreError) -> Verdict {
        let nowUs = shipper.boundedUs(nowUs)
        if let earlier, !(earlier.row.map { isOver($0, info, nowUs: nowUs) } ?? false) { return .kept(earlier.row) }
        if try await isInSpool(info.key) { return .notOurs }
        let read: RecordedSession?
        do throws(StoreError) {
            read = try await self.read(info)
        } catch {
            switch error {
            // That says nothing of the store's other objects, nor of this one tomorrow.
            case .notFound, .denied, .failed, .rangeNotSatisfiable: return .notOurs
            default: throw error
            }
        }
        guard let session = read?.shown(modifiedUs: info.modifiedUs, nowUs: nowUs) else { return .kept(nil) }
        if session.isDeleted {
            // Those who ask this node hear of it, and the notice goes in its time like all others.
            environment.index.put(session)
            return .notOurs
        }
        if session.isDeleting { return .due(session) }
        // One without media may be all that was sent of a recording before its disk was lost; objects may lie there all the same.
        guard session.isEnded else { return .notOurs }
        return isOver(session.row, info, nowUs: nowUs) ? .due(session) : .kept(session.row)
    }

    /// Whether a recording has been kept long enough, by what it says itself and by when the store took its journal.
    private func isOver(_ row: RecordingRecord, _ info: ObjectInfo, nowUs: Int64) -> Bool {
        let retention = environment.settings.retention
        guard retention.isOver(row, nowUs: nowUs, ownUs: nowUs),
            let limitUs = retention.limitUs(for: row.stream, nowUs: nowUs)
        else { return false }
        return info.modifiedUs < limitUs
    }

    /// Whatever has its journal in the spool is looked after there, in whatever state it is.
    private func isInSpool(_ journal: ObjectKey) async throws(StoreError) -> Bool {
        if let id = JournalName.id(of: journal), environment.index.has(id) { return true }
        do throws(StoreError) {
            _ = try await environment.store.head(journal)
            return true
        } catch {
            guard error == .notFound else { throw error }
            return false
        }
    }

    /// The session of a journal; nil when it is not this node's, and when not all of it can be read: what stands behind a bad line may own
    /// objects, and go on. Throws what the store says.
    private func read(_ info: ObjectInfo) async throws(StoreError) -> RecordedSession? {
        guard let directory = info.key.parent, info.size > 0 else { return nil }
        let head = try await shipper.remote.read(info.key, first: RecordedSession.outlineBytes)
        guard let known = RecordedSession.read(head, directory: directory.path), known.session.node == environment.node,
            known.session.id == JournalName.id(of: info.key)
        else { return nil }
        if head.count == Int(info.size) { return known.wholeBytes == head.count ? known.session : nil }
        let all = try await shipper.remote.read(info.key, limit: JournalName.bytesMax)
        guard let read = RecordedSession.read(all, directory: directory.path), read.wholeBytes == all.count else { return nil }
        return read.session
    }
}
