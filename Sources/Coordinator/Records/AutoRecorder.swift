import Cluster
import HTTP
import Log
import Nodes
import Presentation

/// What is to be recorded without being asked, from `[auto_record]`.
public struct AutoRecordRules: Sendable {
    /// Patterns of stream names.
    public var patterns: [StreamPattern]
    /// First part of the directories asked for; empty leaves the layout to the nodes.
    public var basePrefix: String
    /// How often to look, milliseconds.
    public var tickMs: Int
    /// After so long, and a minute in which its node may do so by itself, a recording ends and another begins; 0 means never.
    public var maxSeconds: Int

    /// Rules as configured.
    public init(patterns: [StreamPattern], basePrefix: String = "", tickMs: Int = 5_000, maxSeconds: Int = 0) {
        self.patterns = patterns
        self.basePrefix = basePrefix
        self.tickMs = tickMs
        self.maxSeconds = maxSeconds
    }

    /// Whether a stream is recorded by these rules.
    public func covers(_ stream: String) -> Bool { patterns.contains { $0.matches(stream) } }

    /// The directory asked for; nil leaves it to the node. The stream's name and the day, which the node puts in, are in it, so that
    /// recordings of two streams or days never share one.
    func directory(stream: String) -> String? { basePrefix.isEmpty ? nil : "\(basePrefix)/\(stream)/%Y/%m/%d" }
}

/// Asks nodes to record what the rules say. Each node is asked by a task of its own, so that a slow one holds nobody up.
public actor AutoRecorder {
    static let retryMinNs: UInt64 = 5_000_000_000
    static let retryMaxNs: UInt64 = 60_000_000_000
    static let settleNs: UInt64 = 15_000_000_000
    static let answerMs = 10_000
    /// A node ends its own recordings at midnight or after its own limit without losing a picture, which the index hears of with the next
    /// segment; only one that did not is told to, and what is published between the two requests is lost.
    static let graceUs: Int64 = 60_000_000

    private struct Attempt {
        var failures = 0
        var notBeforeNs: UInt64 = 0
    }

    private let rules: AutoRecordRules
    private let directory: NodeDirectory
    private let index: RecordingIndex
    private let client: HTTPClient
    private let wallUs: @Sendable () -> Int64
    private let log = Logger("auto-record")
    private var attempts: [String: Attempt] = [:]
    private var busy: Set<String> = []
    private var task: Task<Void, Never>?

    /// - Parameter wallUs: the time of day, Unix microseconds.
    public init(
        _ rules: AutoRecordRules, directory: NodeDirectory, index: RecordingIndex, client: HTTPClient,
        wallUs: @escaping @Sendable () -> Int64
    ) {
        self.rules = rules
        self.directory = directory
        self.index = index
        self.client = client
        self.wallUs = wallUs
    }

    /// Begins to look, at once and then each tick.
    public func start() {
        guard task == nil else { return }
        task = Task { [weak self, rules] in
            while !Task.isCancelled {
                await self?.look()
                try? await Task.sleep(for: .milliseconds(rules.tickMs))
            }
        }
    }

    /// Stops looking; recordings go on.
    public func stop() async {
        task?.cancel()
        await task?.value
        task = nil
    }

    private func look() async {
        let view = await directory.view()
        let nowNs = Monotonic.nowNs()
        attempts = attempts.filter { name, _ in !view.holders(of: name).isEmpty }
        for stream in view.mergedStreams() where !stream.isLost && rules.covers(stream.record.id) {
            let name = stream.record.id
            guard let node = view.holders(of: name).first, node.stream(name)?.presence == .original, !busy.contains(name),
                nowNs >= attempts[name]?.notBeforeNs ?? 0
            else { continue }
            let recording = view.reachable.filter { $0.stream(name)?.recording == true }
            // A recording may wait where the publisher was, which is another node now.
            let waiting = recording.filter { $0.stream(name)?.presence == .waiting }
            let isRecording = recording.count > waiting.count
            if isRecording, waiting.isEmpty, rules.maxSeconds == 0 { continue }
            busy.insert(name)
            Task { await self.handle(name, node, isRecording: isRecording, waiting: waiting) }
        }
    }

    private func handle(_ stream: String, _ node: NodeView, isRecording: Bool, waiting: [NodeView]) async {
        defer { busy.remove(stream) }
        do {
            let isOld = isRecording && rules.maxSeconds > 0 ? try await isOverdue(stream, node) : false
            if isOld { try await ask(.delete, stream, node) }
            if isOld || !isRecording { try await ask(.post, stream, node) }
            for other in waiting { try await ask(.delete, stream, other) }
            // The index learns of the new recording a little later; until then the old one still looks overdue.
            attempts[stream] = isOld ? Attempt(notBeforeNs: Monotonic.nowNs() &+ Self.settleNs) : nil
        } catch {
            var attempt = attempts[stream] ?? Attempt()
            attempt.failures += 1
            let waitNs = min(Self.retryMinNs << UInt64(min(attempt.failures - 1, 8)), Self.retryMaxNs)
            attempt.notBeforeNs = Monotonic.nowNs() &+ waitNs
            attempts[stream] = attempt
            log.warning(
                "can't record", ["stream": stream, "node": node.alias, "reason": String(describing: error)])
        }
    }

    private func isOverdue(_ stream: String, _ node: NodeView) async throws -> Bool {
        let oldestUs = wallUs() - Int64(rules.maxSeconds) * 1_000_000 - Self.graceUs
        for recording in try await index.activeRecordings(node: node.alias) where recording.stream == stream {
            // Midnight is the node's.
            if recording.startUs + (try await index.correctionUs(of: recording)) < oldestUs { return true }
        }
        return false
    }

    private struct StartRequest: Encodable {
        let baseDirectory: String?

        enum CodingKeys: String, CodingKey { case baseDirectory = "base_dir" }
    }

    private func ask(_ method: HTTPMethod, _ stream: String, _ node: NodeView) async throws {
        var request = HTTPClientRequest(
            method, "\(node.record.url)/api/record/\(PercentCoding.encode(stream))",
            headers: NodeRequest.headers(token: node.token))
        if method == .post {
            request.headers["Content-Type"] = "application/json"
            request.body = .bytes(
                try ClusterJSON.encode(StartRequest(baseDirectory: rules.directory(stream: stream))))
        }
        request.connectMs = NodeRequest.connectMs
        request.totalMs = Self.answerMs
        let answer = try await client.send(request)
        _ = try await answer.collect(limit: 1 << 20)
        guard answer.status.isSuccess else { throw HTTPClientError.status(answer.status) }
    }
}
