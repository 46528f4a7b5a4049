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
    /// Nodes on which nothing has happened for so many of these intervals are asked only in each of as many: of a thousand nodes most rest.
    static let restingIntervals = 5
    static let pageRows = 200
    /// Rows that share one `updated_at` must fit a page to be got past.
    static let pageRowsMax = 12_800
    static let detailBytesMax = 64 << 20

    private struct Worker {
        let task: Task<Void, Never>
        let kick: AsyncStream<Void>.Continuation
        var streams: [StreamRecord] = []
        var recording: [String] = []
        var recordings = 0
        /// Intervals since something happened.
        var rest = 0
    }

    private let directory: NodeDirectory
    private let index: RecordingIndex
    private let client: HTTPClient
    private let log = Logger("records")
    private var workers: [String: Worker] = [:]
    private var states: [String: Status] = [:]
    /// Nodes that answer and have told of everything they have.
    private var read: Set<String> = []
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

    /// Whether a node has told of all its recordings since it was last away.
    func hasRead(_ alias: String) -> Bool { read.contains(alias) }

    private func see(_ view: ClusterView) {
        let live = view.liveAliases
        read.formIntersection(live)
        for (alias, worker) in workers where !live.contains(alias) {
            worker.task.cancel()
            worker.kick.finish()
            workers[alias] = nil
        }
        for node in view.reachable {
            var worker = workers[node.alias] ?? startWorker(node.alias)
            // Mostly the very same array, which takes no time to find out.
            if worker.streams != node.streams || worker.recordings != node.record.recordings {
                let recording = node.streams.filter(\.recording).map(\.id).sorted()
                let isChange = worker.recording != recording || worker.recordings != node.record.recordings
                (worker.streams, worker.recording, worker.recordings) = (node.streams, recording, node.record.recordings)
                // A recording that began or ended is worth asking for at once.
                if isChange {
                    worker.rest = 0
                    worker.kick.yield()
                }
            }
            workers[node.alias] = worker
        }
    }

    /// Once each interval.
    private func tick(_ alias: String) {
        guard var worker = workers[alias] else { return }
        worker.rest = worker.recordings > 0 || !worker.recording.isEmpty ? 0 : worker.rest + 1
        workers[alias] = worker
        if worker.rest <= Self.restingIntervals || worker.rest % Self.restingIntervals == 0 { worker.kick.yield() }
    }

    private func startWorker(_ alias: String) -> Worker {
        let (kicks, kick) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let ticker = Task { [weak self] in
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.interval)
                await self?.tick(alias)
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
        return Worker(task: task, kick: kick)
    }

    private func round(_ alias: String) async {
        guard let node = await directory.node(alias), node.status != .lost else { return }
        var state = states[alias] ?? Status()
        do {
            let rows = try await sync(node)
            state.rows += rows
            read.insert(alias)
            // The last one is always told again.
            if rows > 1 { workers[alias]?.rest = 0 }
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
        if try await index.isRemoved(directory: row.recordDir, session: row.id) { return await remove(row, from: node) }
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

    /// The recording was removed from the store while its node was away. One that still grows is left out until it ends.
    private func remove(_ row: RecordingRecord, from node: NodeView) async {
        guard row.status != .active else { return }
        let request = HTTPClientRequest(
            .delete, node.record.url + Self.path(row), headers: NodeRequest.headers(token: node.token))
        do throws(HTTPClientError) {
            let answer = try await client.send(request)
            guard answer.status.isSuccess || answer.status == .notFound else { throw .status(answer.status) }
            log.info("a node was told to remove a recording", ["node": node.alias, "recording": row.id])
        } catch {
            log.warning(
                "a node keeps a recording that was removed",
                ["node": node.alias, "recording": row.id, "reason": String(describing: error)])
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
