import Synchronization

/// Hands out times of change, Unix microseconds, each one only once, because an index asks for what changed since one of them.
package final class UpdateClock: Sendable {
    private let last = Mutex<Int64>(0)
    /// The time of day, Unix microseconds.
    package let now: @Sendable () -> Int64

    package init(now: @escaping @Sendable () -> Int64) {
        self.now = now
    }

    package func next() -> Int64 {
        last.withLock { last in
            last = max(last + 1, now())
            return last
        }
    }

    /// Times up to this one have been used, by an earlier process.
    package func skip(past time: Int64) {
        last.withLock { $0 = max($0, time) }
    }
}
