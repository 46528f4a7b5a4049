import CLinux
import Glibc

/// What a Redis thread runs; hiredis blocks, so it has a thread of its own.
protocol RedisLoop: AnyObject, Sendable {
    /// Returns when the loop is told to stop.
    func run()
}

/// Starts a thread that keeps `loop` alive until it has run.
func startThread(_ loop: any RedisLoop) {
    let context = Unmanaged.passRetained(RedisThreadContext(loop)).toOpaque()
    var thread = pthread_t()
    if pthread_create(&thread, nil, redisThreadMain, context) == 0 {
        pthread_detach(thread)
    } else {
        Unmanaged<RedisThreadContext>.fromOpaque(context).release()
    }
}

private final class RedisThreadContext {
    let loop: any RedisLoop
    init(_ loop: any RedisLoop) { self.loop = loop }
}

private func redisThreadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    // hiredis writes to sockets with `write`, which signals SIGPIPE when the server is gone; other signals are for other threads.
    var signals = sigset_t()
    sigfillset(&signals)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    Unmanaged<RedisThreadContext>.fromOpaque(context).takeRetainedValue().loop.run()
    return nil
}

/// A descriptor that one thread waits for and any thread can make readable.
final class WakeEvent: Sendable {
    private let descriptor: Int32

    init() { descriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK)) }

    deinit { close(descriptor) }

    func wake() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Waits for a wake, for `other` (unless negative) to become readable, or for the time to pass.
    /// - Returns: whether `other` is readable or broken.
    func wait(other: Int32, timeoutMs: Int) -> Bool {
        var descriptors = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: other, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&descriptors, other < 0 ? 1 : 2, Int32(clamping: timeoutMs)) > 0 else { return false }
        if descriptors[0].revents != 0 {
            var count: UInt64 = 0
            _ = read(descriptor, &count, 8)
        }
        return other >= 0 && descriptors[1].revents != 0
    }
}

/// How long to wait before the next attempt: doubling, spread so that many nodes don't come back in step.
struct Backoff {
    static let firstMs = 100
    static let maxMs = 2_000

    private var nextMs = firstMs

    mutating func delayMs() -> Int {
        let delay = Int.random(in: nextMs / 2...nextMs)
        nextMs = min(nextMs * 2, Self.maxMs)
        return delay
    }

    mutating func reset() { nextMs = Self.firstMs }
}
