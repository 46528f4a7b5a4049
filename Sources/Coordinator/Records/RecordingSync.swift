import Cluster
import HTTP
import Log
import Nodes
import Presentation

/// Brings every node's recordings into the index: pages by `updated_at` from a cursor that is kept in the index, so a
/// restart goes on where it stopped, and a page that could not be stored is asked for again.
public actor RecordingSync {
    /// How a node's sync stands.
    public struct Status: Sendable, Equatable {
        /// Rows stored since the start.
        public var rows = 0
        /// Rounds that failed since the start.
        public var failures = 0
        /// Why the last round failed; nil when it did not.
        public var lastFailure: String?
    }

    /// Growing recordings are asked for this often when nothing calls for it sooner.
    static let interval = Duration.seconds(2)
    static let pageRows = 200
    /// Rows that share one `updated_at` must fit a page to be got past.
    static let pageRowsMax = 12_800
    static let detailBytesMax = 64 << 20

    private struct Worker {
        let task: Task<Void, Never>
        let kick: AsyncStream<Void>.Continuation
        var recording: [String]
    }

    private let directory: NodeDirectory
    private let index: RecordingIndex
    private let client: HTTPClient
    private let log = Logger("records")
    private var workers: [String: Worker] = [:]
    private var states: [String: Status] = [:]
    private var follow: Task<Void, Never>?

    /// A sync of all nodes of `directory` into `index`, which must be open. Nothing runs before `start()`.
    public init(directory: NodeDirectory, index: RecordingIndex, client: HTTPClient) {
        self.directory = directory
        self.index = index
        self.client = client
    }

    /// Begins to sync each node as soon as it answers.
    public func start() {
        guard follow == nil else { return }
        follow = Task { [weak self, directory] in
            for await view in await directory.changes() {
                guard let self, !Task.isCancelled else { return }
                await self.see(view)
            }
        }
    }

    /// Stops; rounds under way are given up, their rows are asked for again next time.
    public func stop() async {
        follow?.cancel()
        for worker in workers.values {
            worker.task.cancel()
            worker.kick.finish()
        }
        for worker in workers.values { await worker.task.value }
        workers = [:]
    }

    /// How each node's sync stands, by alias.
    public func status() -> [String: Status] { states }

    private func see(_ view: ClusterView) {
        let reachable = view.reachable
        for (alias, worker) in workers where !reachable.contains(where: { $0.alias == alias }) {
            worker.task.cancel()
            worker.kick.finish()
            workers[alias] = nil
        }
        for node in reachable {
            let recording = node.streams.filter(\.recording).map(\.id).sorted()
            if let worker = workers[node.alias] {
                // A recording that began or ended is worth asking for at once.
                if worker.recording != recording { worker.kick.yield() }
                workers[node.alias]?.recording = recording
            } else {
                workers[node.alias] = startWorker(node.alias, recording)
            }
        }
    }

    private func startWorker(_ alias: String, _ recording: [String]) -> Worker {
        let (kicks, kick) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let ticker = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.interval)
                kick.yield()
            }
        }
        kick.onTermination = { _ in ticker.cancel() }
        kick.yield()
        let task = Task { [weak self] in
            for await _ in kicks {
                guard let self, !Task.isCancelled else { return }
                await self.round(alias)
            }
        }
        return Worker(task: task, kick: kick, recording: recording)
    }

    private func round(_ alias: String) async {
        guard let node = await directory.view().node(alias), node.status != .lost else { return }
        var state = states[alias] ?? Status()
        do {
            state.rows += try await sync(node)
            if state.lastFailure != nil { log.info("recordings are read again", ["node": alias]) }
            state.lastFailure = nil
        } catch {
            guard !Task.isCancelled else { return }
            let reason = String(describing: error)
            if state.lastFailure != reason {
                log.warning("can't read recordings", ["node": alias, "reason": reason])
            }
            state.failures += 1
            state.lastFailure = reason
        }
        states[alias] = state
    }

    /// One round: everything that changed since the cursor.
    private func sync(_ node: NodeView) async throws -> Int {
        let incarnation = node.record.startedAtMs
        let stored = try await index.cursor(node: node.alias)
        // A restarted node may have repaired rows under a clock that was set back: read it all again.
        var sinceUs = stored?.incarnationMs == incarnation ? stored?.sinceUs ?? 0 : 0
        var limit = Self.pageRows
        var count = 0
        while true {
            let page: RecordingsPage = try await get(node, "/api/recordings?since_ts=\(sinceUs)&limit=\(limit)")
            for row in page.sessions { try await store(row, of: node) }
            count += page.sessions.count
            guard let last = page.sessions.map(\.updatedAt).max() else { return count }
            // One less, because a later change may bear the same microsecond; what is read twice changes nothing.
            let nextUs = max(sinceUs, last &- 1)
            if page.sessions.count >= limit, nextUs == sinceUs {
                guard limit < Self.pageRowsMax else { return count }
                limit *= 2
                continue
            }
            sinceUs = nextUs
            try await index.setCursor(SyncCursor(sinceUs: sinceUs, incarnationMs: incarnation), node: node.alias)
            if page.sessions.count < limit { return count }
        }
    }

    private func store(_ row: RecordingRecord, of node: NodeView) async throws {
        if row.status == .deleted { return try await index.remove(node: node.alias, session: row.id) }
        guard let recording = IndexedRecording(row, node: node.alias) else {
            log.warning("a recording's row makes no sense and is left out", ["node": node.alias, "recording": row.id])
            return
        }
        guard try await index.upsert(recording) else { return }
        do {
            if try await extend(row, of: node) { return }
            try await replace(row, of: node)
        } catch HTTPClientError.status(.notFound) {
            // Deleted between the two requests.
        }
    }

    /// Fetches only what has come to a recording since last time. False when that is not known or does not continue what is stored.
    private func extend(_ row: RecordingRecord, of node: NodeView) async throws -> Bool {
        guard let after = try await index.detailNext(node: node.alias, session: row.id) else { return false }
        let detail: RecordingDetail = try await get(node, Self.path(row) + "?after=\(PercentCoding.encode(after))")
        // A node may tell everything all the same.
        guard detail.first != nil else {
            try await keep(detail, row, of: node)
            return true
        }
        guard let growth = RecordingGrowth(detail) else { return false }
        return try await index.extendDetail(
            node: node.alias, session: row.id, after: after, growth, updatedUs: detail.updatedAt, next: detail.next)
    }

    private func replace(_ row: RecordingRecord, of node: NodeView) async throws {
        try await keep(try await get(node, Self.path(row)), row, of: node)
    }

    private func keep(_ detail: RecordingDetail, _ row: RecordingRecord, of node: NodeView) async throws {
        try await index.setDetail(
            node: node.alias, session: row.id, periods: IndexedPeriod.periods(of: detail), updatedUs: detail.updatedAt,
            next: detail.next)
    }

    private static func path(_ row: RecordingRecord) -> String { "/api/recordings/\(PercentCoding.encode(row.id))" }

    private func get<Value: Decodable>(_ node: NodeView, _ path: String) async throws -> Value {
        let request = HTTPClientRequest(.get, node.record.url + path, headers: NodeRequest.headers(token: node.token))
        let response = try await client.send(request)
        guard response.status == .ok else { throw HTTPClientError.status(response.status) }
        return try ClusterJSON.decode(Value.self, from: try await response.collect(limit: Self.detailBytesMax))
    }
}
