import Cluster
import Nodes
import Route
import Testing

@Suite("Route desk")
struct RouteDeskTests {
    private let second: UInt64 = 1_000_000_000

    /// Sends `count` publishers to `nodes`, whose records are refreshed each `refresh` picks; returns picks by alias.
    private func spread(_ nodes: [NodeView], count: Int, refresh: Int) async -> [String: Int] {
        let desk = RouteDesk()
        var placed: [String: Int] = [:]
        var view = ClusterView(nodes: nodes)
        var nowNs = second
        for number in 0..<count {
            if number % refresh == 0 {
                nowNs += 4 * second
                for index in view.nodes.indices {
                    view.nodes[index].record.load.publishers = placed[view.nodes[index].alias] ?? 0
                }
            }
            let pick = await desk.publish("s\(number)", in: view, preference: RoutePreference(), nowNs: nowNs)
            if case .node(let alias) = pick.decision { placed[alias, default: 0] += 1 }
        }
        return placed
    }

    @Test("a burst spreads over equal nodes: no node gets more than 1.1 of the mean", arguments: [1, 7, 50, 1_000])
    func burstSpreads(refresh: Int) async {
        let placed = await spread((1...5).map { node("n\($0)") }, count: 500, refresh: refresh)
        #expect(placed.values.reduce(0, +) == 500)
        #expect(placed.count == 5)
        #expect(placed.values.max() ?? 0 <= 110)
    }

    @Test("a burst against limits fills every node and no further")
    func burstStopsAtLimits() async {
        let placed = await spread((1...3).map { node("n\($0)", pubMax: 4 * $0) }, count: 100, refresh: 10)
        #expect(placed == ["n1": 4, "n2": 8, "n3": 12])
    }

    @Test("two publishers of one name at once go to one node, which refuses the second")
    func sameNameSameNode() async {
        let desk = RouteDesk()
        let view = ClusterView(nodes: (1...5).map { node("n\($0)") })
        let first = await desk.publish("demo", in: view, preference: RoutePreference(), nowNs: second)
        for _ in 0..<10 {
            let another = await desk.publish("demo", in: view, preference: RoutePreference(), nowNs: second)
            #expect(another.decision == first.decision)
            // The node has refused it, which is nothing to the first.
            await desk.release(another)
        }
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == first.decision)
    }

    @Test("a viewer that comes before the node's record shows the stream finds it")
    func viewerRightBehindPublisher() async {
        let desk = RouteDesk()
        let view = ClusterView(nodes: (1...5).map { node("n\($0)") })
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == .noSuchStream)
        let published = await desk.publish("demo", in: view, preference: RoutePreference(), nowNs: second)
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == published.decision)
        let later = second + 4 * second
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: later).decision == .noSuchStream)
    }

    @Test("a viewer finds at once what a client published on a node of its own choice")
    func viewerBehindNamedNode() async {
        let desk = RouteDesk()
        let view = ClusterView(nodes: (1...5).map { node("n\($0)") })
        await desk.note("demo", on: "n4", isPublisher: true, nowNs: second)
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == .node("n4"))
    }

    @Test("a publisher whose session has ended is not believed to be where it was sent")
    func ended() async {
        let desk = RouteDesk()
        let view = ClusterView(nodes: [node("a")])
        let pick = await desk.publish("demo", in: view, preference: RoutePreference(), nowNs: second)
        await desk.opened("s1", pick)
        await desk.ended("s2", on: "a")
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == .node("a"))
        await desk.ended("s1", on: "a")
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == .noSuchStream)
    }

    @Test("a released pick is forgotten, and a claim on a node that died is not honoured")
    func releaseAndDeath() async {
        let desk = RouteDesk()
        let view = ClusterView(nodes: [node("a"), node("b", cpu: 0.5)])
        let pick = await desk.publish("demo", in: view, preference: RoutePreference(), nowNs: second)
        #expect(pick.decision == .node("a"))
        await desk.release(pick)
        #expect(await desk.watch("demo", in: view, preference: RoutePreference(), nowNs: second).decision == .noSuchStream)
        #expect(await desk.publish("demo", in: view, preference: RoutePreference(), nowNs: second).decision == .node("a"))
        let afterwards = ClusterView(nodes: [node("a", status: .lost), node("b", cpu: 0.5)])
        #expect(await desk.publish("demo", in: afterwards, preference: RoutePreference(), nowNs: second).decision == .node("b"))
    }
}
