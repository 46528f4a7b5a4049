/// A round trip told by samples that are sometimes too long, because something waited or had to be repeated, and never too short: it
/// falls fast and climbs slowly.
struct RoundTrip {
    /// Nanoseconds; 0 while unknown.
    private(set) var ns: UInt64 = 0

    mutating func take(_ sample: UInt64) {
        ns = ns == 0 ? sample : sample < ns ? (ns + sample) / 2 : (15 * ns + sample) / 16
    }
}
