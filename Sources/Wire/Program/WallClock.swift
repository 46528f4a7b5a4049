#if canImport(Glibc)
    import Glibc
#endif

/// The time of day.
enum WallClock {
    /// Unix seconds.
    static func seconds() -> Int64 { Int64(time(nil)) }
}
