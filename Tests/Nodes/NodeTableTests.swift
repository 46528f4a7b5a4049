import Cluster
import Testing

@testable import Nodes

@Suite("Node table: who is alive")
struct NodeTableTests {
    private static let second: UInt64 = 1_000_000_000
    private var second: UInt64 { Self.second }

    private func record(_ alias: String, updated: Int64, status: NodeStatus = .running) -> NodeRecord {
        NodeRecord(alias: alias, url: "http://127.0.0.1:7777", status: status, startedAtMs: 1, updatedAtMs: updated)
    }

    private func table() -> NodeTable {
        var table = NodeTable()
        table.configure(alias: "a", url: "http://127.0.0.1:1", token: "secret")
        return table
    }

    @Test("a configured node is listed as lost until it is heard, and keeps its configured address")
    func configured() {
        var table = table()
        #expect(table.view(nowNs: 0).node("a")?.status == .lost)
        table.heard(record("a", updated: 1), from: .events, nowNs: second)
        let node = table.view(nowNs: second).node("a")
        #expect(node?.status == .running)
        #expect(node?.record.url == "http://127.0.0.1:1")
        #expect(node?.token == "secret")
    }

    @Test("the shared token is for nodes that nobody configured")
    func sharedToken() {
        var table = NodeTable(sharedToken: "shared")
        table.configure(alias: "own", url: "http://127.0.0.1:1", token: "secret")
        table.configure(alias: "none", url: "http://127.0.0.1:2", token: nil)
        for source in NodeSource.allCases {
            for alias in ["own", "none", "registered"] { table.heard(record(alias, updated: 1), from: source, nowNs: second) }
        }
        let view = table.view(nowNs: second)
        #expect(view.node("own")?.token == "secret")
        #expect(view.node("none")?.token == nil)
        #expect(view.node("registered")?.token == "shared")
    }

    @Test("silence makes a node lost within 3 s, a word brings it back", arguments: NodeSource.allCases)
    func silence(source: NodeSource) {
        var table = table()
        table.heard(record("a", updated: 1), from: source, nowNs: second)
        #expect(table.view(nowNs: second + 2_499_999_999).node("a")?.status == .running)
        #expect(table.view(nowNs: second + 2_500_000_000).node("a")?.status == .lost)
        table.heard(record("a", updated: 2), from: source, nowNs: 9 * second)
        #expect(table.view(nowNs: 9 * second).node("a")?.status == .running)
    }

    @Test("a broken connection has a second to come back")
    func disconnected() {
        var table = table()
        table.heard(record("a", updated: 1), from: .events, nowNs: second)
        table.disconnected("a", nowNs: second)
        #expect(table.view(nowNs: second + 999_999_999).node("a")?.status == .running)
        #expect(table.view(nowNs: 2 * second).node("a")?.status == .lost)
        table.heard(record("a", updated: 2), from: .events, nowNs: 2 * second)
        #expect(table.view(nowNs: 2 * second).node("a")?.status == .running)
    }

    @Test("nodes are listed and found by their names, in whatever order they came and went")
    func order() {
        var table = NodeTable()
        for alias in ["m", "c", "z", "a", "x"] { table.heard(record(alias, updated: 1), from: .registry, nowNs: second) }
        table.configure(alias: "k", url: "http://k", token: nil)
        table.remove("x")
        table.heard(record("c", updated: 2), from: .registry, nowNs: second)
        let view = table.view(nowNs: second)
        #expect(view.nodes.map(\.alias) == ["a", "c", "k", "m", "z"])
        for alias in ["a", "c", "k", "m", "z"] {
            #expect(view.node(alias)?.alias == alias)
            #expect(table.node(alias, nowNs: second) == view.node(alias))
        }
        for alias in ["", "b", "x", "zz"] { #expect(view.node(alias) == nil) }
        table.forgetOld(nowNs: 2 * second + NodeTable.forgetNs)
        #expect(table.view(nowNs: second).nodes.map(\.alias) == ["k"])
    }

    @Test("reading the same record from Redis again proves no life")
    func staleRegistryRecord() {
        var table = NodeTable()
        for tick in 1...10 as ClosedRange<UInt64> {
            table.heard(record("r", updated: 7), from: .registry, nowNs: tick * second)
        }
        #expect(table.view(nowNs: 10 * second).node("r")?.status == .lost)
    }

    @Test("a node that takes its key out of Redis is lost at once, unless it is heard otherwise")
    func unregistered() {
        var table = NodeTable()
        table.heard(record("r", updated: 1), from: .registry, nowNs: second)
        table.unregistered("r", nowNs: second)
        #expect(table.view(nowNs: second).node("r")?.status == .lost)
        table.heard(record("r", updated: 2), from: .events, nowNs: second)
        #expect(table.view(nowNs: second).node("r")?.status == .running)
    }

    @Test("while Redis is away nodes stay as they were; afterwards they have the usual time")
    func registryOutage() {
        var table = NodeTable()
        table.heard(record("r", updated: 1), from: .registry, nowNs: second)
        table.heard(record("gone", updated: 1), from: .registry, nowNs: second)
        table.unregistered("gone", nowNs: second)
        table.heard(record("silent", updated: 1), from: .registry, nowNs: 0)
        table.registryIsDown(nowNs: 3 * second)
        let later = 100 * second
        #expect(table.view(nowNs: later).node("r")?.status == .running)
        #expect(table.view(nowNs: later).node("gone")?.status == .lost)
        #expect(table.view(nowNs: later).node("silent")?.status == .lost)
        table.registryIsUp(nowNs: later)
        // Redis came back empty: that the key is not there yet says nothing either.
        table.unregistered("r", nowNs: later)
        #expect(table.view(nowNs: later + 2 * second).node("r")?.status == .running)
        #expect(table.view(nowNs: later + 3 * second).node("r")?.status == .lost)
    }

    @Test("a drained node shows as draining while it lives, and a node may say so itself")
    func draining() {
        var table = table()
        table.setDrained("a", true)
        #expect(table.view(nowNs: 0).node("a")?.status == .lost)
        table.heard(record("a", updated: 1), from: .events, nowNs: second)
        #expect(table.view(nowNs: second).node("a")?.status == .draining)
        table.setDrained("a", false)
        #expect(table.view(nowNs: second).node("a")?.status == .running)
        table.heard(record("a", updated: 2, status: .draining), from: .events, nowNs: second)
        #expect(table.view(nowNs: second).node("a")?.status == .draining)
    }

    private func ordered(_ isDrained: Bool, _ number: Int64, startedAtMs: Int64 = 1) -> NodeRecord {
        NodeRecord(
            alias: "a", url: "http://127.0.0.1:7777", status: isDrained ? .draining : .running, startedAtMs: startedAtMs,
            updatedAtMs: 1, drainOrder: DrainOrder(drained: isDrained, number: number))
    }

    @Test("what a node was ordered by others is taken over, and what it has not heard of yet stands")
    func orders() {
        var table = table()
        func hear(_ record: NodeRecord) -> Bool? { table.heard(record, from: .events, nowNs: second) }
        #expect(hear(ordered(true, 1)) == true && hear(ordered(true, 1)) == nil)
        #expect(hear(ordered(false, 2)) == false)
        #expect(table.view(nowNs: second).node("a")?.status == .running)
        // Decided here; the node still says what it was told before.
        table.setDrained("a", true)
        #expect(hear(ordered(false, 2)) == nil && table.drained == ["a"])
        #expect(hear(ordered(true, 3)) == nil && table.drained == ["a"])
        table.setDrained("a", false)
        #expect(hear(ordered(true, 3)) == nil && table.drained.isEmpty)
        #expect(hear(ordered(false, 4)) == nil && table.drained.isEmpty)
        // Another process counts anew. What it has not been told it is told, so that it stays.
        #expect(hear(ordered(true, 5)) == true)
        #expect(table.heard(record("a", updated: 2), from: .events, nowNs: second) == nil && table.drained == ["a"])
        #expect(hear(ordered(false, 1, startedAtMs: 2)) == false && table.drained.isEmpty)
    }

    @Test("where coordinators share a memory, that one counts")
    func ordersBesideMemory() {
        var table = NodeTable(followsOrders: false)
        table.configure(alias: "a", url: "http://127.0.0.1:1", token: nil)
        table.setDrained("a", true)
        #expect(table.heard(ordered(false, 2), from: .events, nowNs: second) == nil && table.drained == ["a"])
    }

    @Test("a node is gone after a minute without a word; nobody is before there was a minute to hear of it")
    func presence() {
        var table = table()
        table.heard(record("b", updated: 1), from: .events, nowNs: 10 * second)
        func presence(_ alias: String, at seconds: UInt64) -> NodePresence {
            table.presences(sinceNs: 5 * second, nowNs: seconds * second)[alias]
        }
        #expect(["a", "b", "nobody"].map { presence($0, at: 11) } == [.away, .here, .away])
        #expect(["a", "b", "nobody"].map { presence($0, at: 64) } == [.away, .away, .away])
        #expect(["a", "b", "nobody"].map { presence($0, at: 65) } == [.gone, .away, .gone])
        #expect(presence("b", at: 70) == .gone)
    }

    @Test("a lost node's streams are still shown, marked with its alias, but nobody holds them")
    func lostStreams() {
        var table = table()
        table.heard(record("a", updated: 1), from: .events, nowNs: second)
        table.heard([StreamRecord(id: "demo", createdAt: 1)], alias: "a")
        #expect(table.view(nowNs: second).holders(of: "demo").map(\.alias) == ["a"])
        let later = table.view(nowNs: 10 * second)
        #expect(later.holders(of: "demo").isEmpty)
        #expect(later.node("a")?.stream("demo")?.node == "a")
        #expect(later.mergedStreams().first?.isLost == true)
    }

    @Test("what an earlier look at the registry found and tells later is left out; what the node says itself is not")
    func overtaken() {
        var table = table()
        table.heard(record("a", updated: 1), from: .registry, nowNs: second)
        func isTaken(_ name: String, reading: UInt64?) -> Bool {
            table.heard([StreamRecord(id: name, createdAt: 1)], alias: "a", reading: reading)
        }
        let taken = [("new", 2), ("old", 1), ("newer", 3), ("own", nil)].map { isTaken($0, reading: $1) }
        #expect(taken == [true, false, true, true])
        #expect(table.node("a", nowNs: second)?.streams.map(\.id) == ["own"])
    }

    @Test("streams alone are no sign of life: the node may be one whose record can't be read")
    func streamsAlone() {
        var table = table()
        table.heard([StreamRecord(id: "demo", createdAt: 1)], alias: "a")
        #expect(table.view(nowNs: second).node("a")?.status == .lost)
        table.heard(record("a", updated: 1), from: .events, nowNs: second)
        #expect(table.view(nowNs: second).holders(of: "demo").map(\.alias) == ["a"])
    }

    @Test("old registry nodes are forgotten, configured ones never")
    func forgetting() {
        var table = table()
        table.heard(record("r", updated: 1), from: .registry, nowNs: second)
        table.forgetOld(nowNs: 3_000 * second)
        #expect(table.knows("r"))
        table.forgetOld(nowNs: 4_000 * second)
        #expect(!table.knows("r"))
        #expect(table.knows("a"))
    }
}
