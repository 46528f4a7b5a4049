import Cluster
import HTTP
import Log
import Synchronization

/// Follows one node's `/api/sse/streams` for as long as the coordinator runs: it never gives up, whatever the node answers, and asks
/// with each connection whose software it is.
struct EventFollower {
    /// A node sends its record each second, so a connection silent this long leads nowhere.
    static let idleSeconds = 4
    static let backoffMs = [100, 250, 500, 1_000, 2_000]
    /// After a refusal that only an operator can mend.
    static let refusedMs = 5_000

    let node: ConfiguredNode
    let client: HTTPClient
    let directory: NodeDirectory

    private static let log = Logger("nodes")

    func run() async {
        var failures = 0
        var lastReason = ""
        while !Task.isCancelled {
            let outcome = await followOnce()
            if outcome.heardAnything { (failures, lastReason) = (0, "") } else { failures += 1 }
            // The same reason is not told again with each attempt.
            if !Task.isCancelled, outcome.reason != lastReason {
                Self.log.warning("can't follow node", ["node": node.alias, "url": node.url, "reason": outcome.reason])
                lastReason = outcome.reason
            }
            await directory.disconnected(node.alias)
            let backoff = Self.backoffMs[min(failures, Self.backoffMs.count - 1)]
            try? await Task.sleep(for: .milliseconds(outcome.isRefusal ? Self.refusedMs : backoff))
        }
    }

    private struct Outcome {
        var heardAnything = false
        var reason = "the event stream ended"
        var isRefusal = false
    }

    private func followOnce() async -> Outcome {
        var outcome = Outcome()
        let wasHeard = Atomic(false)
        do {
            if let software = try await Live777Follower.software(of: node, client) {
                let follower = Live777Follower(node: node, client: client, directory: directory, software: software)
                try await follower.follow { wasHeard.store(true, ordering: .relaxed) }
            } else {
                try await followEdge { wasHeard.store(true, ordering: .relaxed) }
            }
        } catch HTTPClientError.status(let status) {
            outcome.reason = "the node answered \(status)"
            outcome.isRefusal = (400..<500).contains(status.rawValue)
        } catch {
            outcome.reason = String(describing: error)
        }
        outcome.heardAnything = wasHeard.load(ordering: .relaxed)
        return outcome
    }

    private func followEdge(heard: () -> Void) async throws {
        let events = client.events(
            "\(node.url)/api/sse/streams", headers: NodeRequest.headers(token: node.token), idleSeconds: Self.idleSeconds)
        var problems: [String: String] = [:]
        for try await event in events {
            heard()
            let problem = await take(event)
            // A node of another release says it each second.
            if let problem, problem != problems[event.event] {
                Self.log.warning("node sent something unreadable", ["node": node.alias, "reason": problem])
            }
            problems[event.event] = problem
        }
    }

    /// - Returns: what can't be read, in words; nil when all is well.
    private func take(_ event: ServerSentEvent) async -> String? {
        do throws(ClusterJSONError) {
            switch event.event {
            case "node":
                var record = try ClusterJSON.decode(NodeRecord.self, from: Array(event.data.utf8))
                record.alias = node.alias
                await directory.heard(record, from: .events)
            case "message":
                let streams = try ClusterJSON.streams(from: Array(event.data.utf8))
                await directory.heard(streams, alias: node.alias)
            default: break
            }
            return nil
        } catch {
            return error.description
        }
    }
}
