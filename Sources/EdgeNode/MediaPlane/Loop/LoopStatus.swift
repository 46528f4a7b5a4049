import Synchronization

/// What a loop last said of itself; the loop writes once a second, anybody reads.
final class LoopStatus: Sendable {
    private struct Published {
        var loop: LoopSnapshot?
        var sessions: [SessionSnapshot] = []
    }

    private let published = Mutex(Published())

    /// - Parameter update: brings the sessions up to date.
    func publish(_ loop: LoopSnapshot, update: (inout [SessionSnapshot]) -> Void) {
        published.withLock {
            $0.loop = loop
            update(&$0.sessions)
        }
    }

    /// The sessions that were sampled after `mark`, or last heard of before `silentNs`; with the newest sample's time.
    func news(after mark: UInt64, silentNs: UInt64) -> (sessions: [SessionSnapshot], newest: UInt64) {
        let sessions = published.withLock(\.sessions)
        var newest = mark
        var news: [SessionSnapshot] = []
        // By place: of thousands that have no news none is copied.
        for place in sessions.indices {
            newest = max(newest, sessions[place].sampledNs)
            if sessions[place].sampledNs > mark || sessions[place].lastReceivedNs < silentNs { news.append(sessions[place]) }
        }
        return (news, newest)
    }

    var last: (loop: LoopSnapshot?, sessions: [SessionSnapshot]) {
        published.withLock { ($0.loop, $0.sessions) }
    }
}
