import Journal
import Media
import Store

/// A journal as it is in the store.
struct StoredJournal {
    var session: RecordedSession
    /// Its whole lines.
    var lines: [UInt8]
}

/// What of a session arrived in the store after its journal did so last: a journal is sent now and then, segments are sent as they are
/// finished, and their node did not live to tell of the last of them.
extension StoredRecordings {
    /// Larger segments are not looked into.
    private static let segmentBytesMax = 64 << 20
    /// Hours of media; a journal that lags behind so far has other troubles.
    private static let tailMax = 4_000

    /// Adds to an unfinished session what has come to its last Period since, and says so in its journal, unless that has changed meanwhile.
    ///
    /// In a folder that nodes write to themselves the journal is never behind.
    /// - Returns: the journal's tag as it is now.
    func complete(_ journal: inout StoredJournal, _ listed: ListedJournal) async throws(StoreError) -> ListedJournal {
        guard !journal.session.isEnded, !isFolder, let period = journal.session.periods.last,
            let directory = try ObjectKey(listed.path).parent
        else { return listed }
        var found: [UInt8] = []
        for track in period.tracks {
            var (number, expected) = (track.nextNumber, track.endTicks)
            for _ in 0..<Self.tailMax {
                let key = try directory.appending(track.objectName(number))
                guard let scan = try await segment(key),
                    let line = track.line(
                        salvaging: scan, number: number, ofPeriod: period.number, after: expected, at: journal.session.updatedUs)
                else { break }
                journal.session.apply(line)
                let grown = journal.session.periods.last?.tracks.first { $0.kind == track.kind }
                guard let grown, grown.segments.last?.number == number else { break }
                found += line.encoded()
                number += 1
                expected = grown.endTicks
            }
        }
        guard !found.isEmpty else { return listed }
        journal.lines += found
        return try await put(journal, listed)
    }

    /// Nil when there is none, or not all of it can be read.
    private func segment(_ key: ObjectKey) async throws(StoreError) -> FragmentScanner? {
        do throws(StoreError) {
            let bytes = try await store.read(key, limit: Self.segmentBytesMax)
            let scan = FragmentScanner(bytes)
            return scan.wholeBytes == bytes.count ? scan : nil
        } catch {
            switch error {
            case .notFound, .failed, .denied: return nil
            default: throw error
            }
        }
    }

    /// Its node, should it live, writes its own over it: that tells of these segments too.
    private func put(_ journal: StoredJournal, _ listed: ListedJournal) async throws(StoreError) -> ListedJournal {
        do throws(StoreError) {
            let info = try await store.put(try ObjectKey(listed.path), journal.lines, condition: .matches(listed.etag))
            return ListedJournal(info) ?? listed
        } catch {
            // Who may only read lists the segments all the same.
            switch error {
            case .preconditionFailed, .exists, .denied, .notFound: return listed
            default: throw error
            }
        }
    }
}
