import Cluster
import EdgeFixtures
import Nodes
import Route
import Testing

@Suite("Route policy")
struct RoutePolicyTests {
    struct Case: CustomTestStringConvertible {
        let testDescription: String
        let nodes: [NodeView]
        var preference = RoutePreference()
        var excluding: Set<String> = []
        let expected: RouteDecision
    }

    @Test("a publisher's node", arguments: Self.publishCases)
    func publish(_ given: Case) {
        let decision = RoutePolicy.publish(
            "demo", in: ClusterView(nodes: given.nodes), preference: given.preference, excluding: given.excluding)
        #expect(decision == given.expected)
    }

    @Test("a viewer's node", arguments: Self.watchCases)
    func watch(_ given: Case) {
        let decision = RoutePolicy.watch(
            "demo", in: ClusterView(nodes: given.nodes), preference: given.preference, excluding: given.excluding)
        #expect(decision == given.expected)
    }

    static let publishCases: [Case] = [
        Case(testDescription: "no nodes", nodes: [], expected: .noNode),
        Case(
            testDescription: "only lost and draining nodes", nodes: [node("a", status: .lost), node("b", status: .draining)],
            expected: .noNode),
        Case(
            testDescription: "the original's node, not a copy's that comes first",
            nodes: [node("a", streams: [stream("demo", isCopy: true)]), node("b", cpu: 0.9, streams: [stream("demo")])],
            expected: .node("b")),
        Case(
            testDescription: "the original is gone: not where a copy still holds the place, viewers or not",
            nodes: [node("a", streams: [stream("demo", isCopy: true, viewers: 3)]), node("b", cpu: 0.9)], expected: .node("b")),
        Case(
            testDescription: "a copy's node when there is no other",
            nodes: [node("a", streams: [stream("demo", isCopy: true)])], expected: .node("a")),
        Case(testDescription: "lower cpu", nodes: [node("a", cpu: 0.5), node("b", cpu: 0.2)], expected: .node("b")),
        Case(
            testDescription: "less egress at equal cpu", nodes: [node("a", egress: 800_000_000), node("b", egress: 1_000_000)],
            expected: .node("b")),
        Case(
            testDescription: "fewer sessions when idle", nodes: [node("a", publishers: 3), node("b", publishers: 2)],
            expected: .node("b")),
        Case(
            testDescription: "other streams' viewers count too", nodes: [node("a", viewers: 100), node("b", publishers: 2)],
            expected: .node("b")),
        Case(
            testDescription: "a full node is passed over however idle",
            nodes: [node("a", publishers: 2, pubMax: 2), node("b", cpu: 0.9, publishers: 50)], expected: .node("b")),
        Case(testDescription: "all full", nodes: [node("a", publishers: 2, pubMax: 2)], expected: .full),
        Case(
            testDescription: "already published elsewhere goes there, also when it is busier",
            nodes: [node("a"), node("b", cpu: 0.9, streams: [stream("demo")])], expected: .node("b")),
        Case(
            testDescription: "published on a lost node goes to a living one",
            nodes: [node("a"), node("b", status: .lost, streams: [stream("demo")])], expected: .node("a")),
        Case(
            testDescription: "viewers waiting for the publisher draw it to them",
            nodes: [node("a"), node("b", cpu: 0.3, streams: [stream("demo", isPublished: false, viewers: 2)])],
            expected: .node("b")),
        Case(
            testDescription: "a recording waiting for the publisher draws it, before viewers",
            nodes: [
                node("a"), node("b", streams: [stream("demo", isPublished: false, viewers: 2)]),
                node("c", cpu: 0.3, streams: [stream("demo", isPublished: false, isRecording: true)]),
            ], expected: .node("c")),
        Case(
            testDescription: "named node only", nodes: [node("a"), node("b", cpu: 0.9)],
            preference: RoutePreference(nodes: ["b"]), expected: .node("b")),
        Case(
            testDescription: "named node is lost", nodes: [node("a"), node("b", status: .lost)],
            preference: RoutePreference(nodes: ["b"]), expected: .noNode),
        Case(
            testDescription: "region before load", nodes: [node("a"), node("b", cpu: 0.5, region: "eu")],
            preference: RoutePreference(region: "eu"), expected: .node("b")),
        Case(
            testDescription: "a region nobody is in doesn't hurt", nodes: [node("a")],
            preference: RoutePreference(region: "eu"), expected: .node("a")),
        Case(
            testDescription: "labels", nodes: [node("a"), node("b", cpu: 0.5, labels: ["gpu": "yes"])],
            preference: RoutePreference(labels: ["gpu": "yes"]), expected: .node("b")),
        Case(
            testDescription: "a node that failed a moment ago", nodes: [node("a"), node("b", cpu: 0.9)], excluding: ["a"],
            expected: .node("b")),
    ]

    static let watchCases: [Case] = [
        Case(testDescription: "nobody has it", nodes: [node("a")], expected: .noSuchStream),
        Case(
            testDescription: "the holder, however busy", nodes: [node("a"), node("b", cpu: 0.9, streams: [stream("demo")])],
            expected: .node("b")),
        Case(
            testDescription: "a lost holder is no holder", nodes: [node("a", status: .lost, streams: [stream("demo")])],
            expected: .noSuchStream),
        Case(
            testDescription: "the holder with the publisher before one where viewers wait",
            nodes: [node("a", streams: [stream("demo", isPublished: false)]), node("b", cpu: 0.9, streams: [stream("demo")])],
            expected: .node("b")),
        Case(
            testDescription: "the less loaded of two copies",
            nodes: [node("a", viewers: 900, streams: [stream("demo")]), node("b", viewers: 10, streams: [stream("demo")])],
            expected: .node("b")),
        Case(
            testDescription: "no room", nodes: [node("a", viewers: 5, subMax: 5, streams: [stream("demo")])],
            expected: .full),
        Case(
            testDescription: "a draining holder only when it is the only one",
            nodes: [node("a", status: .draining, streams: [stream("demo")])], expected: .node("a")),
        Case(
            testDescription: "a running copy before a draining one",
            nodes: [
                node("a", status: .draining, streams: [stream("demo")]), node("b", cpu: 0.9, streams: [stream("demo")]),
            ], expected: .node("b")),
        Case(
            testDescription: "the holder doesn't answer", nodes: [node("a", streams: [stream("demo")])], excluding: ["a"],
            expected: .noNode),
        Case(
            testDescription: "nobody shows it, and a node is named", nodes: [node("a"), node("b", cpu: 0.9)],
            preference: RoutePreference(nodes: ["b"]), expected: .node("b")),
        Case(
            testDescription: "viewers wait for it elsewhere, and a node is named",
            nodes: [node("a", streams: [stream("demo", isPublished: false, viewers: 1)]), node("b")],
            preference: RoutePreference(nodes: ["b"]), expected: .node("b")),
        Case(
            testDescription: "nobody shows it, and the named nodes have been asked", nodes: [node("a"), node("b")],
            preference: RoutePreference(nodes: ["b"]), excluding: ["b"], expected: .noSuchStream),
        Case(
            testDescription: "nobody shows it, and the named nodes are lost, leaving or other software",
            nodes: [node("a", status: .lost), node("b", status: .draining), node("c", software: "live777 0.9.0"), node("d")],
            preference: RoutePreference(nodes: ["a", "b", "c"]), expected: .noSuchStream),
    ]

    @Test("random clusters: never a lost, full, excluded or draining node", arguments: 1...8 as ClosedRange<UInt64>)
    func neverAnUnusableNode(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<500 {
            let nodes = (0..<Int.random(in: 0...6, using: &generator)).map { index in
                node(
                    "n\(index)", status: [.running, .draining, .lost].randomElement(using: &generator) ?? .lost,
                    cpu: Double.random(in: 0...1, using: &generator), publishers: Int.random(in: 0...4, using: &generator),
                    pubMax: Int.random(in: 0...4, using: &generator))
            }
            let excluded = Set(
                nodes.map(\.alias).filter { _ in Bool.random(using: &generator) && Bool.random(using: &generator) })
            let usable = nodes.filter {
                $0.status == .running && !excluded.contains($0.alias)
                    && ($0.record.pubMax == 0 || $0.record.load.publishers < $0.record.pubMax)
            }
            let decision = RoutePolicy.publish(
                "demo", in: ClusterView(nodes: nodes), excluding: excluded, turn: Int.random(in: -9...9, using: &generator))
            if case .node(let alias) = decision {
                #expect(usable.contains { $0.alias == alias })
            } else {
                #expect(usable.isEmpty)
            }
        }
    }
}
