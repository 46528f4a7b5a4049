import Dispatch
import Store

/// Runs work that waits for a disk where it holds up no task.
enum BlockingWork {
    private static let queue = DispatchQueue(label: "record.index", attributes: .concurrent)

    static func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws(StoreError) -> Value
    ) async -> Result<Value, StoreError> {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: Result(catching: body)) }
        }
    }
}
