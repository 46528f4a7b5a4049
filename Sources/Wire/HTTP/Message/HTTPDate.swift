#if canImport(Glibc)
    import Glibc
#endif

/// HTTP dates, always GMT with whole seconds (RFC 9110 section 5.6.7).
public enum HTTPDate {
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    /// - Parameter seconds: Unix seconds.
    public static func format(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return format(0) }
        let year = Int(parts.tm_year) + 1900
        guard (0...9999).contains(year) else { return format(0) }
        // Written byte by byte: each file that is sent has one.
        return String(unsafeUninitializedCapacity: 29) { buffer in
            var count = 0
            func put(_ text: String) {
                for byte in text.utf8 {
                    buffer[count] = byte
                    count += 1
                }
            }
            func two(_ value: Int, _ end: String) {
                buffer[count] = 0x30 + UInt8(value / 10)
                buffer[count + 1] = 0x30 + UInt8(value % 10)
                count += 2
                put(end)
            }
            put(days[Int(parts.tm_wday)])
            put(", ")
            two(Int(parts.tm_mday), " ")
            put(months[Int(parts.tm_mon)])
            put(" ")
            two(year / 100, "")
            two(year % 100, " ")
            two(Int(parts.tm_hour), ":")
            two(Int(parts.tm_min), ":")
            two(Int(parts.tm_sec), " GMT")
            return count
        }
    }

    /// Unix seconds of an IMF-fixdate; nil for anything else, the two obsolete forms included.
    /// Deviation: RFC 9110 wants those read too; no client of this project sends them.
    public static func parse(_ text: String) -> Int64? {
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", words[0].utf8.count == 4, words[0].hasSuffix(","),
            let month = months.firstIndex(of: String(words[2])), words[3].utf8.count == 4,
            let day = Int32(words[1]), let year = Int32(words[3]), (1...31).contains(day), year >= 1970
        else { return nil }
        let clock = words[4].split(separator: ":", omittingEmptySubsequences: false).map { $0.utf8.count == 2 ? Int32($0) : nil }
        guard clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2],
            (0...23).contains(hour), (0...59).contains(minute), (0...60).contains(second)
        else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, Int32(month), day)
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (hour, minute, second)
        return Int64(timegm(&parts))
    }
}
