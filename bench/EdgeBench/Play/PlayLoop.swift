import CLinux
import Log
import MediaPlane
import SDP
import Synchronization

/// A viewer whose offer was answered, on its way to the loop.
struct Joined: Sendable {
    let session: String
    let negotiated: NegotiatedSession
    let identity: ClientIdentity
    let startNs: UInt64
}

/// Hands viewers from the joining tasks to the loop's thread.
final class JoinQueue: Sendable {
    private struct State {
        var waiting: [Joined] = []
        var failures = 0
    }

    private let state = Mutex(State())

    func add(_ joined: Joined) { state.withLock { $0.waiting.append(joined) } }
    func fail() { state.withLock { $0.failures += 1 } }
    var failures: Int { state.withLock { $0.failures } }

    func take() -> [Joined] {
        state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
    }
}

/// All viewers on one thread.
final class PlayLoop {
    private static let tickNs: UInt64 = 10_000_000

    private let queue: JoinQueue
    private var viewers: [ViewerSession] = []
    private var output = TransportOutput()
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)

    init(queue: JoinQueue) { self.queue = queue }

    deinit { scratch.deallocate() }

    /// Runs until `endNs` or an interrupt and says what came of it.
    func run(wanted: Int, endNs: UInt64) -> PlayReport {
        let poller = Poller(capacity: 1024)
        let startNs = tributary_monotonic_ns()
        var nextTickNs = startNs
        while !Interrupt.isRequested {
            let now = tributary_monotonic_ns()
            if now >= endNs || hasNothingLeft(wanted: wanted) { break }
            if now >= nextTickNs {
                nextTickNs = now + Self.tickNs
                admit(poller)
                for viewer in viewers { viewer.tick(now: now, output: &output, scratch: scratch) }
            }
            poller.wait(untilNs: min(nextTickNs, endNs)) { tag in
                self.viewers[tag].receive(now: tributary_monotonic_ns(), output: &self.output, scratch: self.scratch)
            }
        }
        let seconds = Double(tributary_monotonic_ns() - startNs) / 1_000_000_000
        for viewer in viewers where viewer.closed == nil { viewer.close(output: &output) }
        return PlayReport(viewers, wanted: wanted, seconds: seconds)
    }

    /// Every viewer has come and gone, or could not come.
    private func hasNothingLeft(wanted: Int) -> Bool {
        viewers.count + queue.failures >= wanted && viewers.allSatisfy { $0.closed != nil }
    }

    private func admit(_ poller: Poller) {
        for joined in queue.take() {
            do throws(TransportError) {
                let viewer = try ViewerSession(joined)
                viewers.append(viewer)
                poller.add(viewer.socket.descriptor, tag: viewers.count - 1)
            } catch {
                Program.log.error("cannot set up a viewer", ["reason": "\(error)"])
                queue.fail()
            }
        }
    }
}
