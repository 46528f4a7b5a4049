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

    /// The first two of some decimal numbers with spaces between them. Allocates nothing: it runs on a loop's thread.
    static func parse(_ text: UnsafeRawBufferPointer) -> (ranNs: UInt64, waitedNs: UInt64)? {
        var rest = text[...]
        // A kernel without CONFIG_SCHEDSTATS shows zeros, and a thread that reads this has run.
        guard let ran = number(&rest), ran > 0, rest.popFirst() == UInt8(ascii: " "), let waited = number(&rest) else {
            return nil
        }
        return (ran, waited)
    }

    /// Takes the digits in front; nil when there is none, or when they are more than 64 bits.
    private static func number(_ text: inout Slice<UnsafeRawBufferPointer>) -> UInt64? {
        var value: UInt64?
        while let byte = text.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            let shifted = (value ?? 0).multipliedReportingOverflow(by: 10)
            let next = shifted.partialValue.addingReportingOverflow(UInt64(byte & 15))
            guard !shifted.overflow, !next.overflow else { return nil }
            value = next.partialValue
            text.removeFirst()
        }
        return value
    }
}
