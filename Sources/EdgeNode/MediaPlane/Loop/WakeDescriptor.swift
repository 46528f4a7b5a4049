import CLinux
import Glibc

/// An eventfd: any thread signals, one thread waits.
final class WakeDescriptor: Sendable {
    let descriptor: Int32

    /// - Throws: ``MediaPlaneError/system(call:errno:)`` when the process is out of descriptors.
    init() throws(MediaPlaneError) {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        if descriptor < 0 { throw .system(call: "eventfd", errno: errno) }
    }

    deinit { close(descriptor) }

    /// Makes the descriptor readable. A full counter already is, so a failure loses nothing.
    func signal() {
        _ = eventfd_write(descriptor, 1)
    }

    /// Makes the descriptor unreadable until the next signal.
    func clear() {
        var value: eventfd_t = 0
        _ = eventfd_read(descriptor, &value)
    }
}
