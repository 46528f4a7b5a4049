#if canImport(Glibc)
    import Glibc
#endif

/// The two clocks that the registry reads; given to it, so that tests can turn them.
public struct StreamTime: Sendable {
    /// Unix milliseconds, for records.
    public var wallMs: Int64
    /// Monotonic nanoseconds on the media plane's clock (CLOCK_MONOTONIC), for everything that waits.
    public var monotonicNs: UInt64

    /// Takes both readings.
    public init(wallMs: Int64, monotonicNs: UInt64) {
        self.wallMs = wallMs
        self.monotonicNs = monotonicNs
    }

    /// Reads the system's clocks.
    @Sendable public static func system() -> StreamTime {
        var wall = timespec()
        var monotonic = timespec()
        clock_gettime(CLOCK_REALTIME, &wall)
        clock_gettime(CLOCK_MONOTONIC, &monotonic)
        return StreamTime(
            wallMs: Int64(wall.tv_sec) * 1000 + Int64(wall.tv_nsec) / 1_000_000,
            monotonicNs: UInt64(monotonic.tv_sec) * 1_000_000_000 + UInt64(monotonic.tv_nsec))
    }
}
