import Glibc

/// Dates as signatures and stores write them, always UTC.
enum BasicDate {
    /// ISO 8601 basic format, such as `20130524T000000Z`.
    static func format(_ seconds: Int64) -> String { text(seconds, "", "") }

    /// ISO 8601 extended format, such as `2013-05-24T00:00:00Z`.
    static func extended(_ seconds: Int64) -> String { text(seconds, "-", ":") }

    private static func text(_ seconds: Int64, _ dash: String, _ colon: String) -> String {
        var time = time_t(clamping: seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return text(0, dash, colon) }
        // Written byte by byte: each request that is signed has one.
        var out: [UInt8] = []
        out.reserveCapacity(20)
        func put(_ value: Int32, _ width: Int, _ end: String) {
            let digits = String(value).utf8
            for _ in 0..<max(0, width - digits.count) { out.append(0x30) }
            out += digits
            out += end.utf8
        }
        put(parts.tm_year + 1900, 4, dash)
        put(parts.tm_mon + 1, 2, dash)
        put(parts.tm_mday, 2, "T")
        put(parts.tm_hour, 2, colon)
        put(parts.tm_min, 2, colon)
        put(parts.tm_sec, 2, "Z")
        return String(decoding: out, as: UTF8.self)
    }

    /// Unix microseconds of RFC 3339 in UTC, such as `2026-11-21T03:04:05.678Z`; nil for anything else.
    static func parse(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == 0x5A, bytes[4] == 0x2D, bytes[7] == 0x2D, bytes[10] == 0x54, bytes[13] == 0x3A,
            bytes[16] == 0x3A
        else { return nil }
        func number(_ range: Range<Int>) -> Int32? {
            bytes[range].reduce(Int32(0)) { sum, byte in
                guard let sum, (0x30...0x39).contains(byte) else { return nil }
                return sum &* 10 &+ Int32(byte - 0x30)
            }
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month), (1...31).contains(day),
            hour < 24,
            minute < 60, second < 61
        else { return nil }
        let fraction = bytes[19..<(bytes.count - 1)]
        var micros: Int64 = 0
        if !fraction.isEmpty {
            guard fraction.first == 0x2E, fraction.count > 1, fraction.dropFirst().allSatisfy({ (0x30...0x39).contains($0) })
            else {
                return nil
            }
            let digits = Array(fraction.dropFirst().prefix(6)) + [UInt8](repeating: 0x30, count: max(0, 7 - fraction.count))
            micros = digits.prefix(6).reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, month - 1, day)
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (hour, minute, second)
        return Int64(timegm(&parts)) * 1_000_000 + micros
    }
}
