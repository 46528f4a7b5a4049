import Cluster
import Foundation
import HTTP
import Testing

@testable import EdgeServe

@Suite("A node is drained and taken back", .timeLimit(.minutes(5)))
struct DrainTests {
    private static func ordered(_ method: HTTPMethod, _ node: TestNode) async throws -> NodeRecord {
        let answer = try await node.send(method, "/api/drain")
        #expect(answer.status == 200)
        return try JSONDecoder().decode(NodeRecord.self, from: Data(answer.body.utf8))
    }

    @Test("each order that changes something has a number of its own; while it is drained clients are refused")
    func orders() async throws {
        try await TestNode.with { node in
            #expect(await node.services.node.record().drainOrder == nil)
            for _ in 0..<2 {
                let record = try await Self.ordered(.post, node)
                #expect(record.status == .draining && record.drainOrder == DrainOrder(drained: true, number: 1))
            }
            let refused = try await node.post("/whip/demo", sdp: TestOffer.publish())
            #expect(refused.status == 503 && refused.headers["Retry-After"] != nil)
            for _ in 0..<2 {
                let record = try await Self.ordered(.delete, node)
                #expect(record.status == .running && record.drainOrder == DrainOrder(drained: false, number: 2))
            }
            #expect(try await node.post("/whip/demo", sdp: TestOffer.publish()).status == 201)
            #expect(try await Self.ordered(.post, node).drainOrder == DrainOrder(drained: true, number: 3))
        }
    }

    @Test("whoever follows the node hears of it then, not with its next heartbeat; that it stops is no order")
    func tells() async throws {
        try await TestNode.with { node in
            var changes = await node.services.node.changes().makeAsyncIterator()
            _ = try await Self.ordered(.post, node)
            #expect(await changes.next() != nil)
            #expect(await node.services.node.record().status == .draining)
            _ = try await Self.ordered(.delete, node)
            #expect(await changes.next() != nil)
            await node.services.node.setStatus(.draining)
            #expect(await changes.next() != nil)
            #expect(await node.services.node.record().drainOrder == DrainOrder(drained: false, number: 2))
        }
    }

    @Test("its event stream tells it")
    func events() async throws {
        try await TestNode.with { node in
            var isOrdered = false
            for try await event in node.client.events("\(node.services.url)/api/sse/streams") where event.event == "node" {
                let record = try ClusterJSON.decode(NodeRecord.self, from: Array(event.data.utf8))
                if record.drainOrder == DrainOrder(drained: true, number: 1) { break }
                if !isOrdered { _ = try await Self.ordered(.post, node) }
                isOrdered = true
            }
            #expect(isOrdered)
        }
    }
}
