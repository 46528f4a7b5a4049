import Glibc
import Synchronization

/// How long after they were due frames had left, of all streams of this process.
///
/// A publisher that waits for a processor in the middle of a picture makes its server look slow; this tells one from the other.
final class Lateness: Sendable {
    private struct Report: Encodable {
        let lateMs: Times?

        private enum CodingKeys: String, CodingKey {
            case lateMs = "late_ms"
        }
    }

    private let samples = Mutex(Samples())

    /// A frame's last packet has left so long after the frame was due. Any thread.
    func add(_ ns: UInt64) { samples.withLock { $0.add(ns) } }

    /// One line of JSON about what came since the last call.
    func report() -> String {
        let taken = samples.withLock { samples in
            defer { samples.removeAll() }
            return samples
        }
        return Report(lateMs: Times(taken)).jsonLine
    }

    /// Prints a report each time somebody asks, until the task is cancelled.
    func answer() async {
        while (try? await Task.sleep(for: .milliseconds(20))) != nil {
            guard Inquiry.take() else { continue }
            print(report())
            fflush(nil)
        }
    }
}
