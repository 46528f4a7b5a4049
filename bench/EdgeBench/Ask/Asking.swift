import CLinux
import SampleMedia

/// `edge-bench ask`: datagrams from many sockets in turn to a server that only echoes them (`floor --echo`), as regular as the checks of
/// viewers who watch nothing: what those take of a server's kernel.
struct Asking {
    struct Report: Encodable, Sendable {
        var asked = 0
        /// What came back.
        var packets = 0
        var seconds = 0.0
        var busy = 0.0
    }

    private static let tickNs: UInt64 = 10_000_000
    /// Until counting begins.
    private static let calmNs: UInt64 = 2_000_000_000

    let options: AskOptions

    func run() async -> Int32 {
        guard let report = await BlockingThread.run({ [self] in ask() }) else {
            Console.error("no socket for each of \(options.sockets)")
            return 1
        }
        print(report.jsonLine)
        return report.packets > 0 ? 0 : 1
    }

    /// Nil when there aren't as many sockets.
    private func ask() -> Report? {
        let sockets = (0..<options.sockets).compactMap { _ in PeerSocket() }
        guard sockets.count == options.sockets else { return nil }
        let poller = Poller(capacity: 1024)
        for (tag, socket) in sockets.enumerated() {
            // As viewers' sockets do.
            tributary_note_arrivals(socket.descriptor)
            poller.add(socket.descriptor, tag: tag)
        }
        let datagram = [UInt8](repeating: 0, count: options.bytes)
        let batch = DatagramBatch()
        let startNs = tributary_monotonic_ns()
        let countsFromNs = startNs + Self.calmNs
        let endNs = countsFromNs + UInt64(options.durationSeconds) * 1_000_000_000
        var nextTickNs = startNs
        var asked = 0
        var before: Int?
        var time = ThreadTime()
        var report = Report()
        while !Interrupt.isRequested {
            let now = tributary_monotonic_ns()
            if before == nil, now >= countsFromNs {
                Console.error("counting")
                before = asked
                time = ThreadTime()
                report.packets = 0
            }
            if now >= endNs { break }
            if now >= nextTickNs {
                nextTickNs = now + Self.tickNs
                let due = Int(now - startNs) * options.perSecond / 1_000_000_000
                while asked < due {
                    _ = datagram.withUnsafeBytes { sockets[asked % sockets.count].send($0, to: options.address) }
                    asked += 1
                }
            }
            poller.wait(untilNs: min(nextTickNs, endNs)) { report.packets += batch.receive(sockets[$0].descriptor) }
        }
        Console.error("counted")
        // Whoever ends it before counting began has counted nothing.
        if before == nil { report.packets = 0 }
        report.asked = asked - (before ?? asked)
        report.seconds = Double(max(tributary_monotonic_ns(), countsFromNs) - countsFromNs) / 1_000_000_000
        report.busy = time.share(ofSeconds: report.seconds)
        return report
    }
}
