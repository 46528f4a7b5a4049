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
        // Read in place: each object that comes from a bucket has one. Its 29 bytes have their places.
        text.utf8.withContiguousStorageIfAvailable { parse($0) } ?? Array(text.utf8).withUnsafeBufferPointer { parse($0) }
    }

    private static func parse(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
        guard text.count == 29, text[3...4].elementsEqual(", ".utf8), text[25...].elementsEqual(" GMT".utf8) else { return nil }
        guard [7, 11, 16].allSatisfy({ text[$0] == 0x20 }), text[19] == 0x3A, text[22] == 0x3A else { return nil }
        func number(_ range: Range<Int>) -> Int32? {
            text[range].reduce(Int32(0)) { sum, byte in
                guard let sum, (0x30...0x39).contains(byte) else { return nil }
                return sum * 10 + Int32(byte - 0x30)
            }
        }
        guard let month = months.firstIndex(where: { text[8..<11].elementsEqual($0.utf8) }),
            let day = number(5..<7), let year = number(12..<16), let hour = number(17..<19), let minute = number(20..<22),
            let second = number(23..<25), (1...31).contains(day), year >= 1970, hour < 24, minute < 60, second <= 60
        else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, Int32(month), day)
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (hour, minute, second)
        return Int64(timegm(&parts))
    }
}
