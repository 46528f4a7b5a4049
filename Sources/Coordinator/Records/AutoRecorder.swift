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
    /// After so long a recording ends and another begins; 0 means never.
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
    /// A node ends its recordings at midnight and after the limit it was asked to keep without losing a picture. One of a release that knows no
    /// such limit is told to end the recording and to begin another, and what is published between the two requests is lost; it may have a
    /// shorter limit of its own, of which the index hears with the next segment.
    static let graceUs: Int64 = 60_000_000

    private struct Attempt {
        var failures = 0
        var notBeforeNs: UInt64 = 0
    }

    /// A node between two starts.
    private struct Process: Hashable {
        let alias: String
        let startedAtMs: Int64

        init(_ node: NodeView) { (alias, startedAtMs) = (node.alias, node.record.startedAtMs) }
    }

    private let rules: AutoRecordRules
    private let directory: NodeDirectory
    private let index: RecordingIndex
    private let client: HTTPClient
    private let wallUs: @Sendable () -> Int64
    private let log = Logger("auto-record")
    private var attempts: [String: Attempt] = [:]
    private var busy: Set<String> = []
    /// Those that were asked to keep a limit and did not say they would.
    private var withoutLimits: Set<Process> = []
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
        withoutLimits.formIntersection(view.nodes.map(Process.init))
        for stream in view.mergedStreams() where !stream.isLost && rules.covers(stream.record.id) {
            let name = stream.record.id
            guard let node = view.holders(of: name).first, node.stream(name)?.presence == .original, !busy.contains(name),
                nowNs >= attempts[name]?.notBeforeNs ?? 0
            else { continue }
            let recording = view.reachable.filter { $0.stream(name)?.recording == true }
            // A recording may wait where the publisher was, which is another node now.
            let waiting = recording.filter { $0.stream(name)?.presence == .waiting }
            let isRecording = recording.count > waiting.count
            let needsLimit = isRecording && node.stream(name).map(isUnlimited) ?? false
            if isRecording, waiting.isEmpty, !needsLimit { continue }
            busy.insert(name)
            Task { await self.handle(name, node, isRecording: isRecording, needsLimit: needsLimit, waiting: waiting) }
        }
    }

    /// Whether a recording goes on for longer than the rules say, as far as its node tells. Nobody's shorter limit is made longer.
    private func isUnlimited(_ stream: StreamRecord) -> Bool {
        stream.recording && rules.maxSeconds > 0 && stream.recordingMaxSeconds ?? .max > rules.maxSeconds
    }

    private func handle(_ stream: String, _ node: NodeView, isRecording: Bool, needsLimit: Bool, waiting: [NodeView]) async {
        defer { busy.remove(stream) }
        do {
            if !isRecording { try await begin(stream, node) }
            let isChanged = needsLimit ? try await limit(stream, node) : false
            for other in waiting { _ = try await ask(.delete, stream, other) }
            // View and index learn of it a little later.
            attempts[stream] = isChanged ? Attempt(notBeforeNs: Monotonic.nowNs() &+ Self.settleNs) : nil
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

    private func begin(_ stream: String, _ node: NodeView) async throws {
        let secondsMax = rules.maxSeconds > 0 ? rules.maxSeconds : nil
        _ = try await ask(
            .post, stream, node, RecordingOrder(baseDirectory: rules.directory(stream: stream), secondsMax: secondsMax))
    }

    /// Sees to it that a recording does not go on for too long; false when nothing had to be done.
    private func limit(_ stream: String, _ node: NodeView) async throws -> Bool {
        if node.software == nil, !withoutLimits.contains(Process(node)) {
            // Where it is recorded to: if it has ended meanwhile, this begins another.
            let order = RecordingOrder(baseDirectory: node.stream(stream)?.recordingBaseDir, secondsMax: rules.maxSeconds)
            let answer = try await ask(.post, stream, node, order)
            if (try? ClusterJSON.decode(RecordingOrder.self, from: answer))?.secondsMax != nil { return true }
            withoutLimits.insert(Process(node))
        }
        guard try await isOverdue(stream, node) else { return false }
        _ = try await ask(.delete, stream, node)
        try await begin(stream, node)
        return true
    }

    private func isOverdue(_ stream: String, _ node: NodeView) async throws -> Bool {
        let oldestUs = wallUs() - Int64(rules.maxSeconds) * 1_000_000 - Self.graceUs
        for recording in try await index.activeRecordings(node: node.alias) where recording.stream == stream {
            // Midnight is the node's.
            if recording.startUs + (try await index.correctionUs(of: recording)) < oldestUs { return true }
        }
        return false
    }

    private func ask(
        _ method: HTTPMethod, _ stream: String, _ node: NodeView, _ order: RecordingOrder? = nil
    ) async throws -> [UInt8] {
        var request = HTTPClientRequest(
            method, "\(node.record.url)/api/record/\(PercentCoding.encode(stream))",
            headers: NodeRequest.headers(token: node.token))
        if let order {
            request.headers["Content-Type"] = "application/json"
            request.body = .bytes(try ClusterJSON.encode(order))
        }
        request.connectMs = NodeRequest.connectMs
        request.totalMs = Self.answerMs
        let answer = try await client.send(request)
        let body = try await answer.collect(limit: 1 << 20)
        guard answer.status.isSuccess else { throw HTTPClientError.status(answer.status) }
        return body
    }
}
