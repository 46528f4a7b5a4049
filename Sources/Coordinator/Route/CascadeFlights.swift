import Cluster
import Nodes

/// How bringing a stream to a node ended.
public enum CascadeOutcome: Sendable, Equatable {
    /// The node has it, or had it before.
    case up
    /// It hasn't; in words for the client.
    case failed(String)
}

/// Asks nodes for cascades.
public protocol CascadeStarting: Sendable {
    /// Nodes that a stream may go through after the one it was published on.
    var depthMax: Int { get }
    /// Brings a stream to a node; returns when the node has been answered by its source.
    func start(_ move: CascadeMove, in view: ClusterView) async -> CascadeOutcome
}

/// Cascades that were begun a moment ago, each once however many ask for it. Their nodes count as having the stream before they show it.
struct CascadeFlights {
    private struct Key: Hashable {
        let stream: String
        let alias: String
    }

    private struct Flight {
        let number: Int
        let from: String
        /// Nil once it has arrived.
        var task: Task<CascadeOutcome, Never>?
        var untilNs = UInt64.max
    }

    /// As long as a node's record may take to show the copy.
    private static let arrivedNs: UInt64 = 3_000_000_000

    private var flights: [Key: Flight] = [:]
    private var lastNumber = 0

    /// The cascade that is bringing a stream to a node.
    func task(_ stream: String, onto alias: String) -> Task<CascadeOutcome, Never>? {
        flights[Key(stream: stream, alias: alias)]?.task
    }

    /// Begins one unless there is one; returns its number when it is new.
    mutating func begin(_ move: CascadeMove, _ start: @escaping @Sendable () async -> CascadeOutcome) -> Int? {
        let key = Key(stream: move.stream, alias: move.onto)
        guard flights[key]?.task == nil else { return nil }
        lastNumber += 1
        flights[key] = Flight(number: lastNumber, from: move.from, task: Task { await start() })
        return lastNumber
    }

    /// Takes over how it ended.
    mutating func end(_ move: CascadeMove, number: Int, _ outcome: CascadeOutcome, nowNs: UInt64) {
        let key = Key(stream: move.stream, alias: move.onto)
        guard flights[key]?.number == number else { return }
        flights[key]?.task = nil
        flights[key]?.untilNs = nowNs &+ Self.arrivedNs
        if outcome != .up { flights[key] = nil }
    }

    mutating func expire(_ nowNs: UInt64) { flights = flights.filter { $0.value.untilNs > nowNs } }

    /// The view as it will be when the nodes have told of these cascades.
    func applied(to view: ClusterView) -> ClusterView {
        guard !flights.isEmpty else { return view }
        var view = view
        for (key, flight) in flights {
            guard view.node(key.alias)?.stream(key.stream)?.isPublished != true else { continue }
            let upstream = [flight.from] + (view.node(flight.from)?.stream(key.stream)?.upstream ?? [])
            let session = SessionRecord(id: "", createdAt: 0, cascade: CascadeRecord())
            view.add(session, to: key.stream, at: key.alias, upstream: upstream)
        }
        return view
    }
}
