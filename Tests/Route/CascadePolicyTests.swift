import Cluster
import Nodes
import Route
import Testing

@Suite("Route policy: cascades")
struct CascadePolicyTests {
    struct WatchCase: CustomTestStringConvertible {
        let testDescription: String
        let nodes: [NodeView]
        var preference = RoutePreference()
        var excluding: Set<String> = []
        var busy: Set<String> = []
        var depthMax = 4
        let expected: RouteDecision
    }

    @Test("a viewer's node, where the stream has to be brought to one", arguments: Self.watchCases)
    func watch(_ given: WatchCase) {
        let decision = RoutePolicy.watch(
            "demo", in: ClusterView(nodes: given.nodes), preference: given.preference, excluding: given.excluding,
            busy: given.busy, depthMax: given.depthMax)
        #expect(decision == given.expected)
    }

    private static let full = node("a", viewers: 2, subMax: 2, streams: [stream("demo")])
    private static let fullCopy = node("b", viewers: 3, subMax: 3, streams: [stream("demo", from: ["a"])])

    static let watchCases: [WatchCase] = [
        WatchCase(
            testDescription: "the only holder is full: onto the least loaded other node",
            nodes: [full, node("b", cpu: 0.5), node("c")], expected: .cascade(onto: "c", from: "a")),
        WatchCase(
            testDescription: "a holder with room before a cascade",
            nodes: [full, node("b", cpu: 0.9, streams: [stream("demo", from: ["a"])]), node("c")], expected: .node("b")),
        WatchCase(
            testDescription: "from the original, however full, rather than from a copy",
            nodes: [full, fullCopy, node("c")], expected: .cascade(onto: "c", from: "a")),
        WatchCase(
            testDescription: "the original is lost: from the copy that is nearest to it",
            nodes: [
                node("a", status: .lost, streams: [stream("demo")]),
                node("b", viewers: 1, subMax: 1, streams: [stream("demo", from: ["c", "a"])]),
                node("c", viewers: 1, subMax: 1, streams: [stream("demo", from: ["a"])]), node("d"),
            ], expected: .cascade(onto: "d", from: "c")),
        WatchCase(
            testDescription: "the holder has just said that it is full",
            nodes: [node("a", streams: [stream("demo")]), node("b")],
            busy: ["a"], expected: .cascade(onto: "b", from: "a")),
        WatchCase(
            testDescription: "the holder does not answer: nowhere to take it from",
            nodes: [node("a", streams: [stream("demo")]), node("b")], excluding: ["a"], expected: .noNode),
        WatchCase(
            testDescription: "a node that could not get it is not asked again", nodes: [full, node("b"), node("c", cpu: 0.9)],
            busy: ["b"], expected: .cascade(onto: "c", from: "a")),
        WatchCase(
            testDescription: "no other node has room",
            nodes: [full, node("b", viewers: 1, subMax: 1), node("c", publishers: 1, pubMax: 1)], expected: .full),
        WatchCase(
            testDescription: "not onto a live777, which would keep it for ever; from one",
            nodes: [
                node("a", viewers: 2, subMax: 2, streams: [stream("demo")], software: "live777 0.9.0"),
                node("b", software: "live777 0.9.0"), node("c", cpu: 0.9),
            ], expected: .cascade(onto: "c", from: "a")),
        WatchCase(
            testDescription: "not onto lost and draining nodes",
            nodes: [full, node("b", status: .lost), node("c", status: .draining)],
            expected: .full),
        WatchCase(
            testDescription: "no deeper than allowed",
            nodes: [node("b", viewers: 1, subMax: 1, streams: [stream("demo", from: ["x", "y"])]), node("c")], depthMax: 2,
            expected: .full),
        WatchCase(testDescription: "cascades are off", nodes: [full, node("b")], depthMax: 0, expected: .full),
        WatchCase(
            testDescription: "a holder in the region",
            nodes: [
                node("a", region: "us", streams: [stream("demo")]),
                node("b", cpu: 0.9, region: "eu", streams: [stream("demo", from: ["a"])]),
                node("c", region: "eu"),
            ], preference: RoutePreference(region: "eu"), expected: .node("b")),
        WatchCase(
            testDescription: "no holder in the region, but a node",
            nodes: [
                node("a", region: "us", streams: [stream("demo")]), node("b", cpu: 0.9, region: "eu"), node("c", region: "us"),
            ], preference: RoutePreference(region: "eu"), expected: .cascade(onto: "b", from: "a")),
        WatchCase(
            testDescription: "nobody in the region: a holder elsewhere",
            nodes: [node("a", region: "us", streams: [stream("demo")]), node("b", region: "asia")],
            preference: RoutePreference(region: "eu"), expected: .node("a")),
        WatchCase(
            testDescription: "the region's node could not get it: a holder elsewhere",
            nodes: [node("a", region: "us", streams: [stream("demo")]), node("b", region: "eu")],
            preference: RoutePreference(region: "eu"), busy: ["b"], expected: .node("a")),
        WatchCase(
            testDescription: "onto the node that was named", nodes: [node("a", streams: [stream("demo")]), node("b"), node("c")],
            preference: RoutePreference(nodes: ["c"]), expected: .cascade(onto: "c", from: "a")),
        WatchCase(
            testDescription: "only a draining node has it: onto another, from there",
            nodes: [node("a", status: .draining, streams: [stream("demo")]), node("b")], expected: .cascade(onto: "b", from: "a")),
        WatchCase(
            testDescription: "viewers that wait for a publisher are no holders to take from",
            nodes: [node("a", viewers: 1, subMax: 1, streams: [stream("demo", isPublished: false, viewers: 1)]), node("b")],
            expected: .full),
        WatchCase(
            testDescription: "of two that say they have the publisher, the newer hold",
            nodes: [
                node("a", viewers: 1, subMax: 1, streams: [stream("demo", fence: 3)]),
                node("b", viewers: 1, subMax: 1, streams: [stream("demo", fence: 9)]), node("c"),
            ], expected: .cascade(onto: "c", from: "b")),
    ]

    struct MoveCase: CustomTestStringConvertible {
        let testDescription: String
        let nodes: [NodeView]
        var expected: [CascadeMove] = []
    }

    @Test("what gets another source", arguments: Self.moveCases)
    func moves(_ given: MoveCase) {
        #expect(RoutePolicy.moves(in: ClusterView(nodes: given.nodes), depthMax: 4) == given.expected)
    }

    private static func move(_ target: String, _ source: String, isUrgent: Bool = true) -> CascadeMove {
        CascadeMove(stream: "demo", onto: target, from: source, isReplacing: true, isUrgent: isUrgent)
    }

    private static func copy(_ alias: String, from upstream: String..., viewers: Int = 1) -> NodeView {
        node(alias, streams: [stream("demo", from: upstream, viewers: viewers)])
    }

    /// A live777: it tells nobody where a stream has been.
    private static func foreign(_ status: NodeStatus = .running, _ streams: [StreamRecord] = [stream("demo")]) -> NodeView {
        node("f", status: status, streams: streams, software: "live777 0.9.0", url: "http://f:7777")
    }

    private static func foreignCopy(_ alias: String, of name: String = "demo") -> NodeView {
        node(alias, streams: [stream("demo", viewers: 1, source: "http://f:7777/whep/\(name)")])
    }

    private static let original = node("a", streams: [stream("demo")])
    private static let newOriginal = node("n", streams: [stream("demo")])

    static let moveCases: [MoveCase] = [
        MoveCase(testDescription: "a tree that stands", nodes: [original, copy("b", from: "a"), copy("c", from: "b", "a")]),
        MoveCase(
            testDescription: "the source is lost, and the publisher not back",
            nodes: [node("a", status: .lost, streams: [stream("demo")]), copy("b", from: "a")]),
        MoveCase(
            testDescription: "the source is lost, and the publisher is back elsewhere",
            nodes: [node("a", status: .lost, streams: [stream("demo")]), copy("b", from: "a"), newOriginal],
            expected: [move("b", "n")]),
        MoveCase(
            testDescription: "a node in the middle is lost: its children go to the original, those below stay",
            nodes: [
                original, node("b", status: .lost, streams: [stream("demo", from: ["a"])]), copy("c", from: "b", "a"),
                copy("d", from: "c", "b", "a"),
            ], expected: [move("c", "a")]),
        MoveCase(
            testDescription: "a node in the middle is leaving",
            nodes: [original, node("b", status: .draining, streams: [stream("demo", from: ["a"])]), copy("c", from: "b", "a")],
            expected: [move("c", "a")]),
        MoveCase(
            testDescription: "the original is leaving: nobody else has what it sends",
            nodes: [node("a", status: .draining, streams: [stream("demo")]), copy("b", from: "a"), copy("c", from: "a")]),
        MoveCase(
            testDescription: "the publisher went to another node and left viewers and nodes behind",
            nodes: [
                node("a", streams: [stream("demo", isPublished: false, viewers: 1, relays: 1)]), copy("b", from: "a"),
                newOriginal,
            ], expected: [move("a", "n"), move("b", "n")]),
        MoveCase(
            testDescription: "only other nodes wait there: they go by themselves",
            nodes: [node("a", streams: [stream("demo", isPublished: false, relays: 1)]), copy("b", from: "a"), newOriginal],
            expected: [move("b", "n")]),
        MoveCase(
            testDescription: "the source does not know the stream: perhaps not yet",
            nodes: [node("a"), copy("b", from: "a"), newOriginal], expected: [move("b", "n", isUrgent: false)]),
        MoveCase(
            testDescription: "viewers wait and nobody has it",
            nodes: [node("a", streams: [stream("demo", isPublished: false, viewers: 2)])]),
        MoveCase(
            testDescription: "never from a node that has it from there",
            nodes: [node("a", streams: [stream("demo", isPublished: false, viewers: 1)]), copy("b", from: "a")]),
        MoveCase(testDescription: "a copy of a live777", nodes: [foreign(), foreignCopy("b"), copy("c", from: "b")]),
        MoveCase(
            testDescription: "a live777 is lost: its copies go to the new publisher's node, those below stay",
            nodes: [foreign(.lost), foreignCopy("b"), copy("c", from: "b"), newOriginal], expected: [move("b", "n")]),
        MoveCase(
            testDescription: "a live777 is lost, and nobody else has the stream but by it",
            nodes: [foreign(.lost), foreignCopy("b"), foreignCopy("c"), copy("d", from: "b")]),
        MoveCase(
            testDescription: "a live777's publisher is gone, and back elsewhere",
            nodes: [foreign(.running, []), foreignCopy("b"), newOriginal], expected: [move("b", "n", isUrgent: false)]),
        MoveCase(
            testDescription: "a node below a copy of a live777 loses it: to the live777",
            nodes: [
                foreign(), node("b", status: .lost, streams: [stream("demo", source: "http://f:7777/whep/demo")]),
                copy("c", from: "b"),
            ],
            expected: [move("c", "f")]),
        MoveCase(
            testDescription: "another stream of a live777 under this name is somebody's own order",
            nodes: [foreign(.lost, [stream("other")]), foreignCopy("b", of: "other"), newOriginal]),
        MoveCase(
            testDescription: "below a copy from outside, a node in the middle is lost",
            nodes: [
                copy("b", from: "elsewhere"), node("c", status: .lost, streams: [stream("demo", from: ["b"])]),
                copy("d", from: "c", "b"),
            ], expected: [move("d", "b")]),
        MoveCase(testDescription: "what comes from outside is left alone", nodes: [copy("b", from: "elsewhere"), newOriginal]),
        MoveCase(
            testDescription: "a leaving node gets nothing new",
            nodes: [node("a", status: .draining, streams: [stream("demo", isPublished: false, viewers: 1)]), newOriginal]),
    ]
}
