import Dispatch

/// The one thread all SQLite calls of an index run on: they block on the disk, so they may not sit on the
/// cooperative pool, and a connection may not be shared.
final class IndexThread: SerialExecutor {
    private let queue = DispatchQueue(label: "recording-index")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
