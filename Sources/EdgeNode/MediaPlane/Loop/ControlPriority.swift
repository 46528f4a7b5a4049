import CLinux
import Glibc

/// Everything else in a process gives way to media loops: it takes no right to let others go first, while it takes one to go before them.
package enum ControlPriority {
    /// A third of a loop's weight: where processors are short, HTTP and handshakes still go on beside loops that are always busy.
    private static let steps: Int32 = 5
    /// The kernel's lowest.
    private static let niceMax: Int32 = 19

    /// The nice value of all else in a process that was started with this one.
    static func nice(below own: Int32) -> Int32 { min(niceMax, own + steps) }

    /// Lowers all threads of the process but loops, once. Those that they start later are as low.
    package static func lower() {
        let nice = nice(below: tributary_own_nice())
        guard let folder = opendir("/proc/self/task") else { return }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let thread = Int32(name), !isLoop(thread) else { continue }
            tributary_lower_priority_of(thread, nice)
        }
    }

    private static func isLoop(_ thread: Int32) -> Bool {
        let descriptor = open("/proc/self/task/\(thread)/comm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = read(descriptor, &bytes, bytes.count)
        return bytes.prefix(max(0, count)).starts(with: MediaLoop.threadName.utf8)
    }
}
