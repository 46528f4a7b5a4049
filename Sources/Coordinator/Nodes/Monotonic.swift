import Dispatch

/// The clock that liveness and picks are measured by; it never steps.
public enum Monotonic {
    /// Nanoseconds since an arbitrary start.
    public static func nowNs() -> UInt64 { DispatchTime.now().uptimeNanoseconds }
}
