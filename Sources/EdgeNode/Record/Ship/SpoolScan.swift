import Foundation
import Journal

/// What of a recording in the spool is still to be sent, read from its journal and its upload log.
struct SpoolScan {
    let session: RecordedSession
    /// In the order of the journal.
    private(set) var waiting: [ShipPlan.Object] = []
    /// Names that are in the remote store.
    private(set) var uploaded: [String] = []
    /// How much of the journal speaks of nothing that waits.
    private(set) var shipped: Int64 = 0
    let journalBytes: Int64

    private struct Lane: Hashable {
        let period: Int
        let kind: LaneKind
    }

    /// Nil when the journal cannot be read.
    init?(journal: [UInt8], log: UploadLog.Contents, directory: String) {
        guard let (session, whole) = RecordedSession.read(journal, directory: directory) else { return nil }
        self.session = session
        journalBytes = Int64(whole)
        var tracks: [Lane: RecordedSession.Track] = [:]
        var announced: Set<String> = []
        for period in session.periods {
            for track in period.tracks { tracks[Lane(period: period.number, kind: track.kind)] = track }
        }
        let decoder = JSONDecoder()
        var start = 0
        while start < whole, let feed = journal[start...].firstIndex(of: 0x0A) {
            defer { start = feed + 1 }
            guard let line = try? decoder.decode(JournalLine.self, from: Data(journal[start..<feed])), line.event == .segment,
                let number = line.number, let period = line.period, let kind = line.kind,
                let track = tracks[Lane(period: period, kind: kind)], let place = track.place(ofSegment: number)
            else { continue }
            let bytes = track.segments[place].bytes
            // A session's objects and those of its salvage are in the journal once; what was lost is not in the session.
            let names: [(String, Int64?)] = [(track.initialization, nil), (track.objectName(number), bytes)]
            for (name, size) in names where announced.insert(name).inserted {
                if log.has(name, bytes: size) {
                    uploaded.append(name)
                } else {
                    let end = size == nil ? 0 : Int64(feed + 1)
                    waiting.append(ShipPlan.Object(name: name, bytes: size ?? 0, finishedUs: line.at, journalEnd: end))
                }
            }
            if waiting.isEmpty { shipped = Int64(feed + 1) }
        }
    }
}
