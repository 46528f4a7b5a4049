import CLinux
import Glibc

/// Anonymous pages that cost nothing until they are touched, and go back to the system at once when freed.
///
/// malloc would do neither for slabs of some megabytes once its threshold has grown.
struct MappedMemory: ~Copyable {
    let start: UnsafeMutableRawPointer
    let byteCount: Int

    /// Ends the process when there is no address space left: nothing sensible can go on then.
    init(byteCount: Int) {
        let mapped = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped, mapped != tributary_map_failed() else {
            preconditionFailure("no address space for a slab of \(byteCount) bytes")
        }
        start = mapped
        self.byteCount = byteCount
    }

    deinit { munmap(start, byteCount) }
}
