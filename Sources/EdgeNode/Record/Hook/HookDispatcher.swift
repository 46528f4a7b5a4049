import Log
import Synchronization

/// Tells hooks of events, never making a recorder wait.
///
/// Events of one stream arrive in order, because each stream has its lane; a lane does one thing at a time, so the number of lanes bounds
/// what runs at once. A lane that is full drops what comes, and counts it.
final class HookDispatcher: Sendable {
    private let settings: HookSettings
    private let lanes: [HookLane]
    private let web: WebHook?
    private let script: ScriptHook?
    private let counters: HookCounters

    /// Lanes for each kind of hook.
    static let laneCount = 4
    /// Events that may wait in a lane.
    static let waitingMax = 256

    init(_ settings: HookSettings, retryMs: [Int] = WebHook.retryMs) {
        self.settings = settings
        let counters = HookCounters()
        let web = settings.url.isEmpty ? nil : WebHook(settings, retryMs: retryMs)
        let script = settings.command.isEmpty ? nil : ScriptHook(settings)
        var lanes: [HookLane] = []
        for _ in 0..<Self.laneCount {
            if let web { lanes.append(HookLane(counters) { await web.deliver($0) }) }
            if let script { lanes.append(HookLane(counters) { await script.deliver($0) }) }
        }
        (self.lanes, self.web, self.script, self.counters) = (lanes, web, script, counters)
    }

    var metrics: HookMetrics { counters.value }

    /// Any thread; returns at once.
    func tell(_ event: @autoclosure () -> RecordingEvent?, _ kind: RecordingEvent.Kind) {
        guard settings.events.contains(kind), let event = event() else { return }
        // A hash of our own: the same stream must always take the same lane.
        let hash = event.stream.utf8.reduce(5381) { ($0 &* 33) ^ Int($1) }
        let (each, lane) = (lanes.count / Self.laneCount, Int(hash.magnitude % UInt(Self.laneCount)))
        for index in lane * each..<(lane + 1) * each { lanes[index].add(event) }
    }

    /// Delivers what waits, without trying anything twice, for at most this long, and then gives up.
    func stop(within grace: Duration) async {
        web?.stopRetrying()
        let lanes = lanes
        for lane in lanes { lane.finish() }
        let timer = Task { [script] in
            try? await Task.sleep(for: grace)
            script?.stop()
            for lane in lanes { lane.cancel() }
        }
        for lane in lanes { await lane.ended() }
        timer.cancel()
        await web?.shutdown()
    }
}

/// What all lanes count together.
final class HookCounters: Sendable {
    private let numbers = Mutex(HookMetrics())

    var value: HookMetrics { numbers.withLock { $0 } }

    func count(_ change: (inout HookMetrics) -> Void) {
        numbers.withLock { change(&$0) }
    }
}

/// A bounded queue and the task that empties it.
private struct HookLane: Sendable {
    private let queue: AsyncStream<RecordingEvent>.Continuation
    private let worker: Task<Void, Never>
    private let counters: HookCounters

    init(_ counters: HookCounters, _ deliver: @escaping @Sendable (RecordingEvent) async -> Bool) {
        let (events, queue) = AsyncStream.makeStream(
            of: RecordingEvent.self, bufferingPolicy: .bufferingOldest(HookDispatcher.waitingMax))
        self.queue = queue
        self.counters = counters
        worker = Task {
            for await event in events {
                let isDelivered = await deliver(event)
                counters.count { isDelivered ? ($0.delivered += 1) : ($0.failed += 1) }
            }
        }
    }

    func add(_ event: RecordingEvent) {
        guard case .dropped = queue.yield(event) else { return }
        counters.count { $0.dropped += 1 }
    }

    func finish() { queue.finish() }
    func cancel() { worker.cancel() }
    func ended() async { await worker.value }
}
