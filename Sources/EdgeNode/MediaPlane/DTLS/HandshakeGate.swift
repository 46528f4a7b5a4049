/// How many handshake steps of one loop are with the pool, in all and for each host; the others wait, hosts in turn.
///
/// A handshake counts only while it costs something: a peer that is silent between two flights holds nobody up.
struct HandshakeGate {
    enum Entry: Equatable {
        /// May go now; ``leave(_:)`` must follow.
        case now
        /// Waits; ``next()`` names it when there is room, or it waits already.
        case later
        /// Too many wait.
        case refused
    }

    private struct Host {
        var underWay = 0
        var waiting: [UInt64] = []
    }

    private let underWayMax: Int
    private let perHostMax: Int
    private let waitingMax: Int
    private var hosts: [UInt64: Host] = [:]
    /// Hosts with sessions that wait, in the order of their turns.
    private var turns: [UInt64] = []
    private var waitingSessions: Set<UInt64> = []
    private(set) var underWay = 0

    init(
        underWayMax: Int = MediaLimits.handshakesUnderWay, perHostMax: Int = MediaLimits.handshakesPerHost,
        waitingMax: Int = MediaLimits.handshakesWaiting
    ) {
        self.underWayMax = underWayMax
        self.perHostMax = perHostMax
        self.waitingMax = waitingMax
    }

    /// How many wait.
    var waiting: Int { waitingSessions.count }

    /// Whether nothing is kept of anybody.
    var isEmpty: Bool { hosts.isEmpty && turns.isEmpty && waitingSessions.isEmpty }

    /// A session has a step to give away.
    mutating func enter(_ session: UInt64, host: UInt64) -> Entry {
        if waitingSessions.contains(session) { return .later }
        var entry = hosts[host] ?? Host()
        if underWay < underWayMax, entry.underWay < perHostMax, entry.waiting.isEmpty {
            entry.underWay += 1
            underWay += 1
            hosts[host] = entry
            return .now
        }
        guard waitingSessions.count < waitingMax else { return .refused }
        waitingSessions.insert(session)
        if entry.waiting.isEmpty { turns.append(host) }
        entry.waiting.append(session)
        hosts[host] = entry
        return .later
    }

    /// A step has come back, or its session was gone.
    mutating func leave(host: UInt64) {
        guard var entry = hosts[host], entry.underWay > 0 else { return }
        entry.underWay -= 1
        underWay -= 1
        hosts[host] = entry.underWay == 0 && entry.waiting.isEmpty ? nil : entry
    }

    /// Who goes next, its place taken; nil when there is no room or nobody waits.
    mutating func next() -> (session: UInt64, host: UInt64)? {
        guard underWay < underWayMax else { return nil }
        for position in turns.indices {
            let host = turns[position]
            guard var entry = hosts[host], entry.underWay < perHostMax, !entry.waiting.isEmpty else { continue }
            turns.remove(at: position)
            let session = entry.waiting.removeFirst()
            waitingSessions.remove(session)
            if !entry.waiting.isEmpty { turns.append(host) }
            entry.underWay += 1
            underWay += 1
            hosts[host] = entry
            return (session, host)
        }
        return nil
    }
}
