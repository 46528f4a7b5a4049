import Cluster
import HTTP
import Log
import Nodes

/// Tells nodes that an operator has drained, until they say so themselves: also one that was away or has been started again.
actor DrainKeeper {
    private static let pauseNs: UInt64 = 2_000_000_000

    private let caller: NodeCaller
    private let log = Logger("drain")
    private var askedNs: [String: UInt64] = [:]
    /// When nodes started that know no drain: such a node just gets nothing new.
    private var unable: [String: Int64] = [:]

    init(caller: NodeCaller) { self.caller = caller }

    func look(_ view: ClusterView) {
        let nowNs = Monotonic.nowNs()
        for node in view.nodes where node.status == .draining && node.record.status == .running {
            guard unable[node.alias] != node.record.startedAtMs, nowNs >= (askedNs[node.alias] ?? 0) &+ Self.pauseNs else {
                continue
            }
            askedNs[node.alias] = nowNs
            Task { await self.ask(node) }
        }
    }

    private func ask(_ node: NodeView) async {
        do throws(HTTPClientError) {
            let status = try await caller.setDraining(node, true)
            guard !status.isSuccess else { return }
            if status == .notFound || status == .methodNotAllowed { unable[node.alias] = node.record.startedAtMs }
            log.warning("a node does not empty itself", ["node": node.alias, "status": String(status.rawValue)])
        } catch {
            log.warning("a node does not hear that it is drained", ["node": node.alias, "reason": error.description])
        }
    }
}
