import CLinux
import Dispatch
import Glibc
import Synchronization

/// A few threads that carry out handshake steps for all loops, so that joins cost media nothing but processor time.
///
/// In a node they run below the loops' priority (``ControlPriority``): a join may wait a little, media may not.
final class HandshakePool: Sendable {
    /// Carries a step back to where it came from; called on a thread of the pool.
    typealias Return = @Sendable (HandshakeStep) -> Void

    private struct Order: Sendable {
        let step: HandshakeStep
        let done: Return
    }

    private struct State: Sendable {
        var orders: [Order] = []
        var isStopping = false
        var threads: [pthread_t] = []
    }

    private let state = Mutex(State())
    private let hasWork = DispatchSemaphore(value: 0)

    /// - Parameter threads: 0 for a pool whose owner calls ``runOne(_:)`` itself.
    init(threads: Int) throws(MediaPlaneError) {
        for _ in 0..<threads {
            var started = pthread_t()
            let context = Unmanaged.passRetained(self).toOpaque()
            let result = pthread_create(&started, nil, runPool, context)
            guard result == 0 else {
                Unmanaged<HandshakePool>.fromOpaque(context).release()
                stop()
                throw .system(call: "pthread_create", errno: result)
            }
            let thread = started
            state.withLock { $0.threads.append(thread) }
        }
    }

    /// Queues a step; the loops bound how many there are.
    func submit(_ step: HandshakeStep, _ done: @escaping Return) {
        state.withLock { $0.orders.append(Order(step: step, done: done)) }
        hasWork.signal()
    }

    /// Carries out the oldest step; false when there is none.
    func runOne(_ scratch: inout TransportOutput) -> Bool {
        let order: Order? = state.withLock { $0.orders.isEmpty ? nil : $0.orders.removeFirst() }
        guard let order else { return false }
        order.step.run(now: tributary_monotonic_ns(), scratch: &scratch)
        order.done(order.step)
        return true
    }

    /// Ends the threads; steps that still wait are let go.
    func stop() {
        let threads = state.withLock { state in
            state.isStopping = true
            state.orders = []
            return state.threads
        }
        for _ in threads { hasWork.signal() }
        for thread in threads { pthread_join(thread, nil) }
        state.withLock { $0.threads = [] }
    }

    fileprivate func run() {
        var scratch = TransportOutput()
        while true {
            hasWork.wait()
            if state.withLock({ $0.isStopping }) { return }
            _ = runOne(&scratch)
        }
    }
}

/// A thread's body; it holds the pool until ``HandshakePool/stop()``.
private func runPool(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    tributary_name_thread("handshakes")
    Unmanaged<HandshakePool>.fromOpaque(context).takeRetainedValue().run()
    return nil
}
