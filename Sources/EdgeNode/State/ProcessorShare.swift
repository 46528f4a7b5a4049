import Glibc

/// Measures how much of the machine's processors this process uses. Not for two threads at once.
public struct ProcessorShare: Sendable {
    private let cores: Int
    private let ticksPerSecond: Int
    private var last: (ticks: UInt64, ns: UInt64)?

    /// Uses the number of processors online now.
    public init() {
        self.init(cores: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), ticksPerSecond: max(1, sysconf(Int32(_SC_CLK_TCK))))
    }

    init(cores: Int, ticksPerSecond: Int) {
        self.cores = cores
        self.ticksPerSecond = ticksPerSecond
    }

    /// The share of all cores used since the last call, 0 to 1; 0 at the first call and where `/proc` can't be read.
    /// - Parameter nowNs: monotonic nanoseconds.
    public mutating func sample(nowNs: UInt64) -> Double {
        guard let ticks = Self.readTicks() else { return 0 }
        return share(ticks: ticks, nowNs: nowNs)
    }

    mutating func share(ticks: UInt64, nowNs: UInt64) -> Double {
        defer { last = (ticks, nowNs) }
        guard let last, nowNs > last.ns, ticks >= last.ticks else { return 0 }
        let used = Double(ticks - last.ticks) / Double(ticksPerSecond)
        let passed = Double(nowNs - last.ns) / 1_000_000_000
        return min(1, used / (passed * Double(cores)))
    }

    private static func readTicks() -> UInt64? {
        let descriptor = open("/proc/self/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1_024)
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return nil }
        return ticks(inStat: Array(buffer.prefix(count)))
    }

    /// Clock ticks in user and kernel mode: fields 14 and 15 of proc(5) `stat`. The second field is the program's name in
    /// parentheses and may hold anything, so counting begins behind the last parenthesis.
    static func ticks(inStat bytes: [UInt8]) -> UInt64? {
        guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
        guard fields.count > 12, let user = UInt64(String(decoding: fields[11], as: UTF8.self)),
            let system = UInt64(String(decoding: fields[12], as: UTF8.self))
        else { return nil }
        let (sum, isOverflow) = user.addingReportingOverflow(system)
        return isOverflow ? nil : sum
    }
}
