import Cluster
import HTTP
import Log
import Nodes
import Program
import Route

/// Has one node pull a stream from another, or the other push it.
struct CascadeStarter: CascadeStarting {
    let caller: NodeCaller
    let settings: CascadeSettings
    var depthMax: Int { settings.depthMax }

    /// A viewer waits for the answer.
    private static let totalMs = 5_000
    private static let log = Logger("cascade")

    private struct Order: Encodable {
        var sourceUrl: String?
        var targetUrl: String?
        let token: String?
        let idleSeconds: Int
        let replace: Bool
    }

    private struct Refusal: Decodable {
        let error: String
    }

    func start(_ move: CascadeMove, in view: ClusterView) async -> CascadeOutcome {
        guard let source = view.node(move.from), let target = view.node(move.onto) else { return .failed("a node is gone") }
        // Other software would push for ever, and the copy would look like a publisher.
        let isPull = settings.mode == .pull || source.software != nil
        let path = "/\(isPull ? "whep" : "whip")/\(PercentCoding.encode(move.stream))"
        // Who connects shows the other one's token.
        let (asked, other) = isPull ? (target, source) : (source, target)
        // With its scheme, as live777 wants it.
        let token = other.token.flatMap { $0.isEmpty ? nil : "Bearer \($0)" }
        var order = Order(token: token, idleSeconds: settings.idleSeconds, replace: move.isReplacing)
        if isPull { order.sourceUrl = other.record.url + path } else { order.targetUrl = other.record.url + path }
        let outcome = await ask(asked, order, move.stream)
        switch outcome {
        case .up:
            Self.log.info("stream goes to another node", ["stream": move.stream, "onto": move.onto, "from": move.from])
        case .failed(let why):
            Self.log.warning(
                "stream does not get to a node", ["stream": move.stream, "onto": move.onto, "from": move.from, "reason": why])
        }
        return outcome
    }

    private func ask(_ node: NodeView, _ order: Order, _ stream: String) async -> CascadeOutcome {
        guard let body = try? ClusterJSON.encode(order) else { return .failed("the order can't be written") }
        var request = HTTPClientRequest(
            .post, "\(node.record.url)/api/cascade/\(PercentCoding.encode(stream))",
            headers: NodeRequest.headers(token: node.token), body: .bytes(body))
        request.headers["Content-Type"] = "application/json"
        request.connectMs = NodeRequest.connectMs
        request.totalMs = Self.totalMs
        do throws(HTTPClientError) {
            let answer = try await caller.send(request, to: node)
            // Somebody else was faster, such as another coordinator: what the viewer wants is there.
            let isThere = answer.status == .conflict && order.sourceUrl != nil && !order.replace
            if answer.status.isSuccess || isThere { return .up }
            let words = (try? ClusterJSON.decode(Refusal.self, from: answer.body))?.error ?? ""
            return .failed("\(node.alias) answered \(answer.status.rawValue) \(words)")
        } catch {
            return .failed(NodeRequest.failure(error, of: node).message)
        }
    }
}
