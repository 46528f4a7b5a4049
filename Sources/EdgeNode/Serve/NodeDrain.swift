import Auth
import Cluster
import HTTP
import Log
import Program
import Record
import State
import Streams

/// Takes the node out of service while it runs: nothing new, sessions moved on step by step, recordings finished and uploaded, until
/// nothing is left that its end would lose.
actor NodeDrain {
    private let registry: StreamRegistry
    private let recorder: Recorder
    private let node: NodeReporter
    private let following: RecordingFollower
    private let log = Logger("drain")
    private var task: Task<Void, Never>?

    private static let step = Duration.milliseconds(250)
    /// All are gone after so many steps, half a minute, however many there are; a few a step are never too many.
    private static let steps = 120
    private static let perStepMin = 5

    init(registry: StreamRegistry, recorder: Recorder, node: NodeReporter, following: RecordingFollower) {
        (self.registry, self.recorder, self.node, self.following) = (registry, recorder, node, following)
    }

    /// Begins; asking again changes nothing.
    func begin() async {
        guard task == nil else { return }
        task = Task { await self.run() }
        await node.take(order: true)
        await registry.beginDrain()
        log.info("node is drained")
    }

    /// Ends it, however far it got: the node takes sessions again.
    func end() async {
        guard let running = task else { return }
        task = nil
        running.cancel()
        await running.value
        await registry.endDrain()
        await node.take(order: false)
        log.info("node is back in service")
    }

    /// Ends the work without going back into service.
    func stop() { task?.cancel() }

    private func run() async {
        let sinceNs = StreamTime.system().monotonicNs
        let counts = await registry.counts
        let perStep = max(Self.perStepMin, (counts.publishers + counts.viewers) / Self.steps + 1)
        var wasEmpty = false
        while !Task.isCancelled {
            await registry.moveClients(perStep, sinceNs: sinceNs)
            await finishRecordings()
            let isEmpty = await isEmpty()
            if isEmpty, !wasEmpty { log.info("nothing is left on the node") }
            wasEmpty = isEmpty
            await node.setDrained(isEmpty)
            try? await Task.sleep(for: Self.step)
        }
    }

    /// A recording whose publisher is gone waits for no other here.
    private func finishRecordings() async {
        for stream in recorder.streams where !(await registry.hasPublisher(stream)) {
            await recorder.stop(stream: stream)
            await following.update()
        }
    }

    private func isEmpty() async -> Bool {
        let counts = await registry.counts
        let numbers = recorder.metrics
        return counts == (0, 0) && recorder.streams.isEmpty && numbers.writing == 0 && numbers.uploads?.pendingObjects ?? 0 == 0
    }
}

/// `/api/drain`: what a coordinator, or an operator, asks of the node.
struct DrainRoutes {
    let drain: NodeDrain
    let node: NodeReporter
    let gate: Gate

    func add(to router: inout Router) {
        let answer = [
            RouteResponse(.ok, "The node's record: status, and drained once it is empty", contentType: "application/json")
        ]
        let begin = RouteDescription("Take nothing new and move everything on", tag: "node", responses: answer)
        router.post("/api/drain", begin) { request in
            try gate.check(request, .cluster)
            await drain.begin()
            return try StreamRoutes.json(await node.record())
        }
        let end = RouteDescription("Take sessions again", tag: "node", responses: answer)
        router.delete("/api/drain", end) { request in
            try gate.check(request, .cluster)
            await drain.end()
            return try StreamRoutes.json(await node.record())
        }
    }
}
