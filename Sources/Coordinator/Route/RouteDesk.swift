import Cluster
import Nodes

/// Where a request goes, and when.
public struct RoutePick: Sendable {
    /// The node, or why there is none.
    public let decision: RouteDecision
    /// Brings the stream to the node; nil when it is there.
    public let arrival: Task<CascadeOutcome, Never>?
    /// What `release` takes back; nil when nothing new is counted, as for a publisher of a name that another has just been sent away with.
    let claim: Claim?

    enum Claim: Sendable, Equatable {
        case publisher(number: Int)
        case viewer(number: Int)
    }

    init(_ decision: RouteDecision, arrival: Task<CascadeOutcome, Never>? = nil, claim: Claim? = nil) {
        self.decision = decision
        self.arrival = arrival
        self.claim = claim
    }
}

/// Hands out nodes to requests and remembers those it has just handed out, because a node's own record is a second
/// old: without that a burst would all go to one node, and two publishers of one name to two.
public actor RouteDesk {
    /// How long a publisher's pick counts; by then the node's record shows the session or there is none.
    static let publisherNs: UInt64 = 3_000_000_000

    /// A publisher that was sent to a node.
    private struct Pick {
        let number: Int
        let alias: String
        let stream: String
        let atNs: UInt64
        /// The node's name for what came of it.
        var session: String?
    }

    private var picks: [Pick] = []
    private var lastNumber = 0
    private var viewers = ViewerPicks()
    private var turn = 0
    private let cascades: (any CascadeStarting)?
    private var flights = CascadeFlights()
    private var tally = CascadeTally()

    /// A desk that remembers nothing yet.
    /// - Parameter cascades: brings streams to nodes that don't have them; nil where that isn't done.
    public init(cascades: (any CascadeStarting)? = nil) { self.cascades = cascades }

    /// The node for a new publisher, which is counted as taken until it shows or `release` is called.
    /// - Parameter nowNs: monotonic nanoseconds.
    public func publish(
        _ stream: String, in view: ClusterView, preference: RoutePreference, excluding: Set<String> = [],
        nowNs: UInt64
    ) -> RoutePick {
        expire(nowNs)
        let claim = picks.last { $0.stream == stream && !excluding.contains($0.alias) }
        if let claim, view.node(claim.alias).map({ $0.status != .lost }) ?? false {
            return RoutePick(.node(claim.alias))
        }
        turn &+= 1
        let decision = RoutePolicy.publish(
            stream, in: view, preference: preference, pending: unseenPublishers(in: view), excluding: excluding, turn: turn)
        guard case .node(let alias) = decision else { return RoutePick(decision) }
        return RoutePick(decision, claim: count(stream, on: alias, isPublisher: true, nowNs))
    }

    /// The node for a new viewer. A publisher that was sent to a node a moment ago counts as being there, and so does a stream that is
    /// being brought to a node: the pick's `arrival` has to be awaited.
    /// - Parameters:
    ///   - busy: nodes that have just said that they take no more.
    ///   - nowNs: monotonic nanoseconds.
    public func watch(
        _ stream: String, in view: ClusterView, preference: RoutePreference, excluding: Set<String> = [],
        busy: Set<String> = [], nowNs: UInt64
    ) -> RoutePick {
        expire(nowNs)
        turn &+= 1
        var decision = RoutePolicy.watch(
            stream, in: flights.applied(to: withPicked(stream, view, excluding: excluding)), preference: preference,
            pending: viewers.counts, excluding: excluding, busy: busy, depthMax: cascades?.depthMax ?? 0, turn: turn)
        if case .cascade(let target, let source) = decision {
            _ = begin(CascadeMove(stream: stream, onto: target, from: source), in: view)
            decision = .node(target)
        }
        guard case .node(let alias) = decision else { return RoutePick(decision) }
        return RoutePick(
            decision, arrival: flights.task(stream, onto: alias), claim: count(stream, on: alias, isPublisher: false, nowNs))
    }

    /// Counts a session that went to a node the client named, so that whoever comes next finds it there.
    /// - Parameter nowNs: monotonic nanoseconds.
    @discardableResult
    public func note(_ stream: String, on alias: String, isPublisher: Bool, nowNs: UInt64) -> RoutePick {
        expire(nowNs)
        return RoutePick(.node(alias), claim: count(stream, on: alias, isPublisher: isPublisher, nowNs))
    }

    /// A session came of a pick; `session` is the node's name for it.
    public func opened(_ session: String, _ pick: RoutePick) {
        switch pick.claim {
        case .viewer(let number): viewers.opened(session, number: number)
        case .publisher(let number):
            if let index = picks.firstIndex(where: { $0.number == number }) { picks[index].session = session }
        case nil: break
        }
    }

    /// A session has ended: what was counted for it isn't there, though the node's record may still say so.
    public func ended(_ session: String, on alias: String) {
        viewers.ended(session, on: alias)
        picks.removeAll { $0.session == session && $0.alias == alias }
    }

    /// Takes back what a pick counted, because it came to nothing.
    public func release(_ pick: RoutePick) {
        switch pick.claim {
        case .viewer(let number): viewers.takeBack(number)
        case .publisher(let number): picks.removeAll { $0.number == number }
        case nil: break
        }
    }

    private func count(_ stream: String, on alias: String, isPublisher: Bool, _ nowNs: UInt64) -> RoutePick.Claim {
        guard isPublisher else { return .viewer(number: viewers.add(alias, nowNs: nowNs)) }
        lastNumber += 1
        picks.append(Pick(number: lastNumber, alias: alias, stream: stream, atNs: nowNs))
        return .publisher(number: lastNumber)
    }

    // MARK: Cascades

    /// Brings a stream to a node, or waits for what is bringing it there already.
    public func move(_ move: CascadeMove, in view: ClusterView) async -> CascadeOutcome {
        if let flight = flights.task(move.stream, onto: move.onto) { return await flight.value }
        return await begin(move, in: view)?.value ?? .failed("streams are not brought to other nodes here")
    }

    /// What has been begun so far.
    public var counts: CascadeTally { tally }

    private func begin(_ move: CascadeMove, in view: ClusterView) -> Task<CascadeOutcome, Never>? {
        guard let cascades, let number = flights.begin(move, { await cascades.start(move, in: view) }) else { return nil }
        let task = flights.task(move.stream, onto: move.onto)
        if move.isReplacing { tally.moved += 1 } else { tally.started += 1 }
        Task {
            guard let outcome = await task?.value else { return }
            self.end(move, number, outcome)
        }
        return task
    }

    private func end(_ move: CascadeMove, _ number: Int, _ outcome: CascadeOutcome) {
        flights.end(move, number: number, outcome, nowNs: Monotonic.nowNs())
        if outcome != .up { tally.failed += 1 }
    }

    private func expire(_ nowNs: UInt64) {
        flights.expire(nowNs)
        viewers.expire(nowNs)
        picks.removeAll { $0.atNs &+ Self.publisherNs <= nowNs }
    }

    /// The view as it will be when a node has told of the stream's publisher that was sent there; as it is when the stream shows already.
    private func withPicked(_ stream: String, _ view: ClusterView, excluding: Set<String>) -> ClusterView {
        guard let pick = picks.last(where: { $0.stream == stream }), !excluding.contains(pick.alias),
            !view.reachable.contains(where: { $0.stream(stream)?.isPublished == true })
        else { return view }
        var view = view
        view.add(SessionRecord(id: "", createdAt: 0), to: stream, at: pick.alias)
        return view
    }

    private func unseenPublishers(in view: ClusterView) -> [String: Int] {
        picks.reduce(into: [:]) { counts, pick in
            let isSeen = view.node(pick.alias)?.stream(pick.stream)?.presence == .original
            if !isSeen { counts[pick.alias, default: 0] += 1 }
        }
    }
}

/// How many cascades a coordinator has begun.
public struct CascadeTally: Sendable, Equatable {
    /// For viewers that found no room or were far.
    public var started = 0
    /// For copies that had lost their source.
    public var moved = 0
    /// Of both, those that came to nothing.
    public var failed = 0
}
