import Foundation
import Synchronization
package import Testing

/// Runs the tests of a suite, and the actors they call, away from the few threads that all tasks share (two on a machine of two cores).
///
/// For tests that poll a socket, wait for a program or reckon for long: on the shared threads they would hold up every other test and
/// the code it waits for.
package struct OffThePool: TestTrait, SuiteTrait, TestScoping {
    package let isRecursive = true

    package func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(GrowingExecutor.shared) { try await function() }
    }
}

extension Trait where Self == OffThePool {
    /// Tests that block the thread they run on.
    package static var offThePool: Self { Self() }
}

/// Takes another thread whenever none is idle, so that no job waits for another that blocks; idle threads are used again.
private final class GrowingExecutor: TaskExecutor {
    static let shared = GrowingExecutor()

    private struct State: Sendable {
        var jobs: [UnownedJob] = []
        var idle = 0
    }

    private let state = Mutex(State())
    private let hasWork = DispatchSemaphore(value: 0)

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let needsThread = state.withLock { state in
            state.jobs.append(job)
            if state.idle > 0 {
                state.idle -= 1
                return false
            }
            return true
        }
        if needsThread {
            let thread = Thread { [self] in run() }
            thread.stackSize = 8 << 20
            thread.start()
        } else {
            hasWork.signal()
        }
    }

    private func run() {
        while true {
            if let job = take() { job.runSynchronously(on: asUnownedTaskExecutor()) }
            state.withLock { $0.idle += 1 }
            hasWork.wait()
        }
    }

    private func take() -> UnownedJob? {
        state.withLock { $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }
    }
}
