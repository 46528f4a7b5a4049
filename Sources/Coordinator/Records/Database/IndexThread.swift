import Dispatch

/// The one thread all calls of a connection run on: they block on the disk or the network, so they may not sit on the
/// cooperative pool, and a connection may not be shared.
final class IndexThread: SerialExecutor {
    private let queue: DispatchQueue

    init(_ name: String) { queue = DispatchQueue(label: name) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
