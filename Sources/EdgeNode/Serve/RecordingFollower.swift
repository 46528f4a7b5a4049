import Record
import Streams
import Synchronization

/// Keeps recorder, streams and node record of one mind: tells the recorder of publishers, and the others of what it records.
final class RecordingFollower: Sendable {
    private let recorder: Recorder
    private let registry: StreamRegistry
    private let node: NodeReporter
    private let tasks = Mutex<[Task<Void, Never>]>([])

    init(recorder: Recorder, registry: StreamRegistry, node: NodeReporter) {
        self.recorder = recorder
        self.registry = registry
        self.node = node
    }

    /// Begins to follow.
    func start() async {
        let publications = await registry.publications()
        let (recorder, follower) = (recorder, self)
        let following = [
            Task {
                for await event in publications {
                    // A copy is recorded where it comes from.
                    guard case .published(let stream, let key, isCopy: false) = event else { continue }
                    await recorder.streamPublished(stream, key: key)
                    await follower.update()
                }
            },
            // Recordings also end by themselves: with their publisher, or when there is no space left.
            Task {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .seconds(1))
                    await follower.update()
                }
            },
        ]
        tasks.withLock { $0 = following }
    }

    /// Takes over what is being recorded now.
    func update() async {
        let recorded = recorder.orders
        await registry.setRecording(recorded)
        await node.setRecordings(recorded.count)
    }

    func stop() {
        tasks.withLock { tasks in
            tasks.forEach { $0.cancel() }
            tasks = []
        }
    }
}
