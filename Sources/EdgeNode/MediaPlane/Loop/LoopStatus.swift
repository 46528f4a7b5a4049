import Synchronization

/// What a loop last said of itself; the loop writes once a second, anybody reads.
final class LoopStatus: Sendable {
    private struct Published {
        var loop: LoopSnapshot?
        var sessions: [SessionSnapshot] = []
    }

    private let published = Mutex(Published())

    func publish(_ loop: LoopSnapshot, _ sessions: [SessionSnapshot]) {
        published.withLock { $0 = Published(loop: loop, sessions: sessions) }
    }

    var last: (loop: LoopSnapshot?, sessions: [SessionSnapshot]) {
        published.withLock { ($0.loop, $0.sessions) }
    }
}
