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
        var isClosed = false
    }

    private let state = Mutex(State())

    func add(_ joined: Joined) { state.withLock { $0.waiting.append(joined) } }
    func fail() { state.withLock { $0.failures += 1 } }
    var failures: Int { state.withLock { $0.failures } }

    /// Nobody need come any more.
    func close() { state.withLock { $0.isClosed = true } }
    var isClosed: Bool { state.withLock { $0.isClosed } }

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
    private static let progressNs: UInt64 = 1_000_000_000
    /// From the last viewer's first picture until counting begins: it is still sent pictures from before it came.
    private static let calmNs: UInt64 = 2_000_000_000

    private let queue: JoinQueue
    private let options: PlayOptions
    private var viewers: [ViewerSession] = []
    private var output = TransportOutput()
    private var delays = Samples()
    private let batch = DatagramBatch()
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    private let startNs = tributary_monotonic_ns()
    /// When counting began, and what had come by then.
    private var countsFromNs: UInt64
    private var before = PacketCounts()
    private var time = ThreadTime()
    private var isCounting: Bool
    /// Since when all viewers have what they came for.
    private var thereSinceNs: UInt64?
    private var shown = PacketCounts()
    private var shownNs: UInt64

    init(queue: JoinQueue, _ options: PlayOptions) {
        self.queue = queue
        self.options = options
        isCounting = options.settleSeconds == nil
        countsFromNs = startNs
        shownNs = startNs
    }

    deinit { scratch.deallocate() }

    /// Runs until the duration is over, or an interrupt, and says what came of it.
    func run() -> PlayReport {
        let poller = Poller(capacity: 1024)
        var nextTickNs = startNs
        while !Interrupt.isRequested {
            let now = tributary_monotonic_ns()
            if now >= endNs || hasNothingLeft { break }
            if now >= nextTickNs {
                nextTickNs = now + Self.tickNs
                admit(poller)
                for viewer in viewers { viewer.tick(now: now, output: &output, scratch: scratch) }
                follow(now)
            }
            poller.wait(untilNs: min(nextTickNs, endNs)) { tag in
                let viewer = self.viewers[tag]
                viewer.receive(now: tributary_monotonic_ns(), batch: self.batch, delays: &self.delays, output: &self.output)
                if self.options.isDeaf, viewer.connectedMs != nil {
                    poller.remove(viewer.socket.descriptor)
                    viewer.socket.dropAll()
                }
            }
        }
        let seconds = Double(tributary_monotonic_ns() - countsFromNs) / 1_000_000_000
        let report = PlayReport(
            viewers, wanted: options.viewers, counts: counts, delays: delays, seconds: seconds,
            busy: time.share(ofSeconds: seconds))
        queue.close()
        if options.settleSeconds != nil { Console.error("counted") }
        for viewer in viewers where viewer.closed == nil { viewer.close(output: &output) }
        return report
    }

    private var endNs: UInt64 {
        guard isCounting, let seconds = options.durationSeconds else { return .max }
        return countsFromNs + UInt64(seconds) * 1_000_000_000
    }

    /// Since counting began.
    private var counts: PacketCounts {
        var counts = viewers.reduce(into: PacketCounts()) { $0 += $1.counts }
        counts -= before
        return counts
    }

    /// Every viewer has come and gone, or could not come.
    private var hasNothingLeft: Bool {
        viewers.count + queue.failures >= options.viewers && viewers.allSatisfy { $0.closed != nil }
    }

    private func admit(_ poller: Poller) {
        for joined in queue.take() {
            do throws(TransportError) {
                let viewer = try ViewerSession(joined, stayNs: options.stayMs.map { UInt64($0) * 1_000_000 })
                viewers.append(viewer)
                poller.add(viewer.socket.descriptor, tag: viewers.count - 1)
            } catch {
                Program.log.error("cannot set up a viewer", ["reason": "\(error)"])
                queue.fail()
            }
        }
    }

    /// Begins to count when it is time, and shows progress.
    private func follow(_ now: UInt64) {
        if !isCounting, let seconds = options.settleSeconds {
            let isThere = viewers.count + queue.failures >= options.viewers && viewers.allSatisfy { $0.isSettled(options) }
            if isThere, thereSinceNs == nil { thereSinceNs = now }
            let isCalm = thereSinceNs.map { now - $0 >= Self.calmNs } ?? false
            if isCalm || now - startNs >= UInt64(seconds) * 1_000_000_000 { beginCounting(now) }
        }
        guard now - shownNs >= Self.progressNs else { return }
        let counts = counts
        let seconds = Double(now - shownNs) / 1_000_000_000
        let rate = Int(Double(counts.packets - shown.packets) / seconds)
        let delay = delays.percentileMs(0.99).map { ", delay p99 \(PlayReport.rounded($0)) ms" } ?? ""
        Console.error(
            "\((now - startNs) / 1_000_000_000) s: \(viewers.count { $0.isSettled(options) }) of \(options.viewers) are there, "
                + "\(rate) packets/s, \(counts.lost) lost\(delay)")
        (shown, shownNs) = (counts, now)
    }

    private func beginCounting(_ now: UInt64) {
        isCounting = true
        countsFromNs = now
        time = ThreadTime()
        before = viewers.reduce(into: PacketCounts()) { $0 += $1.counts }
        delays.removeAll()
        shown = PacketCounts()
        Console.error("counting")
    }
}
