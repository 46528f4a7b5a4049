import Cluster
import Nodes
import Route

/// Looks after the streams' trees: what lost its source gets another one.
///
/// Keeps nothing that matters: what is to be done follows from the view, and every coordinator may do it. Nodes take the same order twice.
actor CascadeKeeper {
    /// A record is a second old at most, so what looks wrong for longer is wrong.
    private static let graceNs: UInt64 = 1_500_000_000
    /// Until the node's record shows what was done.
    private static let settleNs: UInt64 = 3_000_000_000
    private static let pauseMinNs: UInt64 = 500_000_000
    private static let pauseMaxNs: UInt64 = 8_000_000_000

    private struct Key: Hashable {
        let stream: String
        let alias: String
    }

    private struct Attempt {
        let sinceNs: UInt64
        var isRunning = false
        var notBeforeNs: UInt64 = 0
        var failures: UInt64 = 0
    }

    private let desk: RouteDesk
    private let depthMax: Int
    private var attempts: [Key: Attempt] = [:]

    init(desk: RouteDesk, depthMax: Int) { (self.desk, self.depthMax) = (desk, depthMax) }

    func look(_ view: ClusterView) {
        let nowNs = Monotonic.nowNs()
        let moves = RoutePolicy.moves(in: view, depthMax: depthMax)
        let wanted = Set(moves.map { Key(stream: $0.stream, alias: $0.onto) })
        attempts = attempts.filter { wanted.contains($0.key) || $0.value.isRunning }
        for move in moves {
            let key = Key(stream: move.stream, alias: move.onto)
            var attempt = attempts[key] ?? Attempt(sinceNs: nowNs)
            defer { attempts[key] = attempt }
            guard !attempt.isRunning, nowNs >= attempt.notBeforeNs, move.isUrgent || nowNs >= attempt.sinceNs &+ Self.graceNs
            else { continue }
            attempt.isRunning = true
            Task { self.note(key, await desk.move(move, in: view)) }
        }
    }

    private func note(_ key: Key, _ outcome: CascadeOutcome) {
        guard var attempt = attempts[key] else { return }
        attempt.isRunning = false
        let nowNs = Monotonic.nowNs()
        if outcome == .up {
            (attempt.failures, attempt.notBeforeNs) = (0, nowNs &+ Self.settleNs)
        } else {
            attempt.notBeforeNs = nowNs &+ min(Self.pauseMinNs << min(attempt.failures, 8), Self.pauseMaxNs)
            attempt.failures += 1
        }
        attempts[key] = attempt
    }
}
