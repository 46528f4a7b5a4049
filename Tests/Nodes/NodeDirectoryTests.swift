import Cluster
import EdgeFixtures
import HTTP
import Nodes
import Testing

@Suite("Node directory over SSE", .timeLimit(.minutes(5)))
struct NodeDirectoryTests {
    private func following(
        _ edges: [TestEdge], _ body: (NodeDirectory) async throws -> Void
    ) async throws {
        let client = HTTPClient()
        let directory = NodeDirectory(
            nodes: edges.map { ConfiguredNode(alias: $0.alias, url: $0.url + "/", token: $0.token) }, client: client)
        await directory.start()
        do {
            try await body(directory)
        } catch {
            Issue.record(error)
        }
        await directory.stop()
        for edge in edges { await edge.stop() }
        await client.shutdown()
    }

    private func status(_ alias: String, _ directory: NodeDirectory) async -> NodeStatus? {
        await directory.view().node(alias)?.status
    }

    @Test("nodes appear with their streams, with a token and without; a change shows")
    func followsNodes() async throws {
        let edges = [try TestEdge("a"), try TestEdge("b", token: "secret")]
        edges[0].setStreams([TestRecords.stream("demo")])
        try await following(edges) { directory in
            try await eventually("both nodes run and a has demo") {
                let view = await directory.view()
                return view.reachable.count == 2 && view.holders(of: "demo").map(\.alias) == ["a"]
            }
            #expect(await directory.view().node("a")?.record.url == edges[0].url)
            edges[1].setStreams([TestRecords.stream("other")])
            try await eventually("b has the new stream") { await !directory.view().holders(of: "other").isEmpty }
        }
    }

    @Test("a node whose socket closes is lost, another is not, and it comes back on the same port")
    func losesAndRegains() async throws {
        let first = try TestEdge("a")
        let second = try TestEdge("b")
        first.setStreams([TestRecords.stream("demo")])
        try await following([first, second]) { directory in
            try await eventually("both run") { await directory.view().reachable.count == 2 }
            let port = first.port
            await first.stop()
            try await eventually("a is lost") { await status("a", directory) == .lost }
            #expect(await status("b", directory) == .running)
            #expect(await directory.view().node("a")?.stream("demo") != nil)
            #expect(await directory.view().holders(of: "demo").isEmpty)
            let again = try TestEdge("a", listen: "127.0.0.1:\(port)", startedAtMs: 2)
            try await eventually("a runs again") { await status("a", directory) == .running }
            await again.stop()
        }
    }

    @Test("a node that keeps its connection but says nothing is lost")
    func losesSilent() async throws {
        let edge = try TestEdge("a")
        try await following([edge]) { directory in
            try await eventually("a runs") { await status("a", directory) == .running }
            edge.setSilent(true)
            try await eventually("a is lost") { await status("a", directory) == .lost }
            edge.setSilent(false)
            try await eventually("a runs again") { await status("a", directory) == .running }
        }
    }

    @Test("the change feed tells each change and skips what nobody waited for")
    func changeFeed() async throws {
        let edge = try TestEdge("a")
        try await following([edge]) { directory in
            let changes = await directory.changes()
            var seen: [NodeStatus?] = []
            for await view in changes {
                seen.append(view.node("a")?.status)
                if view.node("a")?.status == .running { break }
            }
            #expect(seen.first == .lost)
            #expect(seen.last == .running)
        }
    }

    @Test("a drain holds until it is taken back; an unknown alias has none")
    func drains() async throws {
        let edge = try TestEdge("a")
        try await following([edge]) { directory in
            try await eventually("a runs") { await status("a", directory) == .running }
            #expect(await directory.setDraining("a", true)?.status == .draining)
            #expect(await status("a", directory) == .draining)
            #expect(await directory.setDraining("a", false)?.status == .running)
            #expect(await directory.setDraining("nobody", true) == nil)
        }
    }

    @Test(
        "records of a later minor version are taken; of another major neither the node nor its streams, which stay as understood")
    func versions() async throws {
        func stream(_ name: String, _ major: Int, _ minor: Int) -> StreamRecord {
            var record = TestRecords.stream(name)
            record.version = RecordVersion(major: major, minor: minor)
            return record
        }
        let later = try TestEdge("later")
        later.setVersion(RecordVersion(major: 1, minor: 99))
        let other = try TestEdge("other")
        other.setVersion(RecordVersion(major: 2, minor: 0))
        try await following([later, other]) { directory in
            later.setStreams([stream("first", 1, 99)])
            try await eventually("the later one runs") { await directory.view().node("later")?.stream("first") != nil }
            #expect(await status("later", directory) == .running)
            later.setStreams([stream("second", 2, 0)])
            later.setLoad(NodeLoad(viewers: 3))
            try await eventually("its records come on") { await directory.view().node("later")?.record.load.viewers == 3 }
            // Its streams were told before its load.
            #expect(await directory.view().node("later")?.streams.map(\.id) == ["first"])
            other.setLoad(NodeLoad(viewers: 3))
            #expect(await status("other", directory) == .lost)
            other.setVersion(.current)
            try await eventually("the other runs") { await status("other", directory) == .running }
        }
    }

    /// Remembers in memory, for any number of directories, when it answers.
    private actor SharedMemory: NodeMemory {
        private var kept = NodeDecisions()
        private var isAway = false

        func setAway(_ isAway: Bool) { self.isAway = isAway }

        func decisions() -> NodeDecisions? { isAway ? nil : kept }

        func remember(_ node: ConfiguredNode) -> Bool {
            change { $0.added = $0.added.filter { $0.alias != node.alias } + [node] }
        }

        func forget(_ alias: String) -> Bool { change { $0.added.removeAll { $0.alias == alias } } }

        func setDrained(_ alias: String, _ isDrained: Bool) -> Bool {
            change { if isDrained { $0.drained.insert(alias) } else { $0.drained.remove(alias) } }
        }

        private func change(_ body: (inout NodeDecisions) -> Void) -> Bool {
            if !isAway { body(&kept) }
            return !isAway
        }
    }

    @Test("what is decided while the memory is away holds, and is remembered and known to others when it is back")
    func memoryAway() async throws {
        let edges = [try TestEdge("a"), try TestEdge("b")]
        let (client, memory) = (HTTPClient(), SharedMemory())
        func directory() -> NodeDirectory {
            NodeDirectory(nodes: [ConfiguredNode(alias: "a", url: edges[0].url)], client: client, memory: memory)
        }
        let directories = [directory(), directory()]
        for each in directories { await each.start() }
        let added = ConfiguredNode(alias: "b", url: edges[1].url)
        await memory.setAway(true)
        _ = try await directories[0].add(added)
        _ = await directories[0].setDraining("a", true)
        await memory.setAway(false)
        try await eventually("remembered") { await memory.decisions() == NodeDecisions(added: [added], drained: ["a"]) }
        try await eventually("the other follows the added one") { await status("b", directories[1]) == .running }
        #expect(await status("a", directories[0]) != .running)
        #expect(try await directories[1].remove("b"))
        try await eventually("the first follows it no longer") { await status("b", directories[0]) == nil }
        for each in directories { await each.stop() }
        for edge in edges { await edge.stop() }
        await client.shutdown()
    }

    @Test("a node that refuses us stays lost, and stopping while it does ends at once")
    func refused() async throws {
        let edge = try TestEdge("a", token: "secret")
        let client = HTTPClient()
        let directory = NodeDirectory(
            nodes: [ConfiguredNode(alias: "a", url: edge.url, token: "wrong")], client: client)
        await directory.start()
        try await Task.sleep(for: .milliseconds(200))
        #expect(await status("a", directory) == .lost)
        await directory.stop()
        await edge.stop()
        await client.shutdown()
    }
}
