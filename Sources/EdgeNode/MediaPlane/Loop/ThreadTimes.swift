import Glibc

/// What the kernel counts of the thread that makes this: how long it has run, and how long it was ready and others ran.
final class ThreadTimes {
    private let descriptor: Int32

    init() { descriptor = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC) }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Nanoseconds since the thread began; nil where the kernel doesn't count them. A system call.
    func read() -> (ranNs: UInt64, waitedNs: UInt64)? {
        guard descriptor >= 0 else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: 80, alignment: 1) { place in
            let count = pread(descriptor, place.baseAddress, place.count, 0)
            return count > 0 ? Self.parse(UnsafeRawBufferPointer(rebasing: place[..<count])) : nil
        }
    }

    /// The first two of some decimal numbers with spaces between them.
    static func parse(_ text: UnsafeRawBufferPointer) -> (ranNs: UInt64, waitedNs: UInt64)? {
        let numbers = text.split(separator: UInt8(ascii: " "), maxSplits: 2).prefix(2)
            .compactMap { UInt64(String(decoding: $0, as: UTF8.self)) }
        return numbers.count == 2 ? (numbers[0], numbers[1]) : nil
    }
}
