import Cluster
import Nodes
import Synchronization
import Testing

@testable import Route

@Suite("Route desk: cascades")
struct CascadeDeskTests {
    /// Holds every order until it is let go.
    private final class Gate: CascadeStarting {
        let depthMax = 4
        private let outcome: CascadeOutcome
        private let orders = Mutex<[CascadeMove]>([])
        private let release: AsyncStream<Void>
        private let releaser: AsyncStream<Void>.Continuation

        init(_ outcome: CascadeOutcome = .up) {
            self.outcome = outcome
            (release, releaser) = AsyncStream.makeStream(of: Void.self)
        }

        var seen: [CascadeMove] { orders.withLock { $0 } }
        func open() { releaser.finish() }

        func start(_ move: CascadeMove, in view: ClusterView) async -> CascadeOutcome {
            orders.withLock { $0.append(move) }
            for await _ in release {}
            return outcome
        }
    }

    private let second: UInt64 = 1_000_000_000
    private let view = ClusterView(nodes: [
        node("a", viewers: 1, subMax: 1, streams: [stream("demo", viewers: 1)]), node("b", subMax: 3), node("c", subMax: 3),
    ])

    @Test("one cascade for all who come while it is set up, then the next node's")
    func shared() async {
        let gate = Gate()
        let desk = RouteDesk(cascades: gate)
        var picked: [RoutePick] = []
        for _ in 0..<4 { picked.append(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second)) }
        let (first, other) = picked[0].decision == .node("b") ? ("b", "c") : ("c", "b")
        // Three have room on the node, the fourth gets the next one.
        #expect(picked.map(\.decision) == [.node(first), .node(first), .node(first), .node(other)])
        gate.open()
        for pick in picked { #expect(await pick.arrival?.value == .up) }
        #expect(gate.seen.map(\.onto).sorted() == ["b", "c"] && gate.seen.allSatisfy { $0.from == "a" })
        #expect(await desk.counts.started == 2)
    }

    @Test("who waits for a cascade that fails hears why, and the next request starts anew")
    func failing() async {
        let gate = Gate(.failed("no"))
        let desk = RouteDesk(cascades: gate)
        let first = await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second)
        guard case .node(let alias) = first.decision else {
            Issue.record("no node")
            return
        }
        gate.open()
        #expect(await first.arrival?.value == .failed("no"))
        let other = await desk.watch("demo", in: view, preference: RoutePreference(), busy: [alias], nowNs: second)
        #expect(other.decision == .node(alias == "b" ? "c" : "b"))
    }

    @Test("one order for a node at a time; once it is carried out, the next")
    func singleFlight() async {
        let gate = Gate()
        var flights = CascadeFlights()
        let move = CascadeMove(stream: "demo", onto: "b", from: "a")
        let view = view
        let number = flights.begin(move) { await gate.start(move, in: view) }
        #expect(number != nil && flights.begin(move) { .up } == nil)
        #expect(flights.applied(to: view).node("b")?.stream("demo")?.upstream == ["a"])
        gate.open()
        #expect(await flights.task("demo", onto: "b")?.value == .up)
        flights.end(move, number: number ?? 0, .up, nowNs: second)
        #expect(flights.applied(to: view).node("b")?.stream("demo")?.presence == .copy)
        flights.expire(10 * second)
        #expect(flights.applied(to: view) == view)
        #expect(flights.begin(move) { .up } != nil)
    }

    @Test("a stream whose publisher was sent to a node a moment ago is brought from there to the nodes that viewers name")
    func behindPublisher() async {
        let gate = Gate()
        let desk = RouteDesk(cascades: gate)
        let view = ClusterView(nodes: [node("a"), node("b"), node("c"), node("d")])
        await desk.note("demo", on: "a", isPublisher: true, nowNs: second)
        let pick = await desk.watch("demo", in: view, preference: RoutePreference(nodes: ["c"]), nowNs: second)
        let other = await desk.watch("demo", in: view, preference: RoutePreference(nodes: ["d"]), nowNs: second)
        #expect(pick.decision == .node("c") && other.decision == .node("d"))
        gate.open()
        #expect(await pick.arrival?.value == .up)
        #expect(await other.arrival?.value == .up)
        #expect(gate.seen.map(\.onto).sorted() == ["c", "d"] && gate.seen.allSatisfy { $0.from == "a" })
    }

    @Test("where the publisher was just sent and no viewer has room, the stream is taken from")
    func behindPublisherWithoutRoom() async {
        let gate = Gate()
        let desk = RouteDesk(cascades: gate)
        let view = ClusterView(nodes: [node("a"), node("b")])
        await desk.note("demo", on: "a", isPublisher: true, nowNs: second)
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == .node("a"))
        let other = await desk.watch("demo", in: view, preference: RoutePreference(), busy: ["a"], nowNs: second)
        gate.open()
        #expect(await other.arrival?.value == .up)
        #expect(other.decision == .node("b") && gate.seen == [CascadeMove(stream: "demo", onto: "b", from: "a")])
    }

    @Test("without cascades a full holder is full")
    func off() async {
        let desk = RouteDesk()
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == .full)
    }
}
