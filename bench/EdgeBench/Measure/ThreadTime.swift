import Glibc

/// What the calling thread has wanted of a processor: tells a load that keeps up from one that is the limit of what it measures.
struct ThreadTime {
    private let startNs = Self.wantedNs()

    /// For what share of so many seconds, all since this was made, it ran, or waited for a processor although it had something to do.
    func share(ofSeconds seconds: Double) -> Double {
        seconds > 0 ? Double(max(Self.wantedNs(), startNs) - startNs) / 1_000_000_000 / seconds : 0
    }

    /// Since the thread began, by the kernel's account: the time it ran, the time it was ready to run. 0 where there is no such account.
    private static func wantedNs() -> UInt64 {
        let file = open("/proc/thread-self/schedstat", O_RDONLY)
        guard file >= 0 else { return 0 }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 128)
        let count = read(file, &text, text.count)
        return text.prefix(max(0, count)).split(separator: UInt8(ascii: " ")).prefix(2)
            .reduce(0) { $0 + (UInt64(String(decoding: $1, as: UTF8.self)) ?? 0) }
    }
}
