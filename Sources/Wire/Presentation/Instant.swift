/// An instant as clients write it in `from` and `to`: RFC 3339, or Unix seconds with an optional fraction, or Unix milliseconds
/// or microseconds.
public enum Instant {
    /// Unix microseconds; nil when the text is neither form or lies outside the years 1970 to 2255.
    public static func parse(_ text: String) -> Int64? {
        // A client that forgot to escape the plus of an offset sends a blank.
        let bytes = Array(text.utf8.map { $0 == 0x20 ? 0x2B : $0 })
        guard bytes.count <= 40 else { return nil }
        let value = bytes.allSatisfy { isDigit($0) || $0 == 0x2E } ? unixSeconds(bytes) : dateTime(bytes)
        guard let value, (0...(1 << 53)).contains(value) else { return nil }
        return value
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    /// Seconds have at most eleven digits before the point; more are milliseconds or, above fourteen, microseconds.
    private static func unixSeconds(_ bytes: [UInt8]) -> Int64? {
        let parts = bytes.split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count <= 2, (1...17).contains(parts[0].count), let whole = number(parts[0]) else { return nil }
        if parts[0].count > 11 {
            guard parts.count == 1 else { return nil }
            return parts[0].count > 14 ? whole : whole * 1_000
        }
        guard parts.count == 2 else { return whole * 1_000_000 }
        return micros(parts[1]).map { whole * 1_000_000 + $0 }
    }

    /// A number too small to be an instant, as seconds since something else begins: below 10⁸, with an optional fraction.
    /// Microseconds; nil for anything else.
    public static func parseOffset(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count <= 16, bytes.allSatisfy({ isDigit($0) || $0 == 0x2E }), bytes.prefix(while: isDigit).count <= 8 else {
            return nil
        }
        return unixSeconds(bytes)
    }

    /// RFC 3339 section 5.6, `T` and `Z` in either case.
    private static func dateTime(_ bytes: [UInt8]) -> Int64? {
        guard bytes.count >= 20, bytes[4] == 0x2D, bytes[7] == 0x2D, bytes[10] | 0x20 == 0x74, bytes[13] == 0x3A,
            bytes[16] == 0x3A, let year = number(bytes[0..<4]), let month = number(bytes[5..<7]),
            let day = number(bytes[8..<10]), let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]),
            let second = number(bytes[17..<19]), (1...12).contains(month), (1...daysIn(month, year)).contains(day),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        var rest = bytes[19...]
        var fraction: Int64 = 0
        if rest.first == 0x2E {
            let digits = rest.dropFirst().prefix { isDigit($0) }
            guard let value = micros(digits) else { return nil }
            fraction = value
            rest = rest.dropFirst(digits.count + 1)
        }
        guard let offset = offsetSeconds(rest) else { return nil }
        let seconds = daysFromEpoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset
        return seconds * 1_000_000 + fraction
    }

    private static func offsetSeconds(_ rest: ArraySlice<UInt8>) -> Int64? {
        let bytes = Array(rest)
        if bytes.count == 1, bytes[0] | 0x20 == 0x7A { return 0 }
        guard bytes.count == 6, bytes[0] == 0x2B || bytes[0] == 0x2D, bytes[3] == 0x3A, let hours = number(bytes[1..<3]),
            let minutes = number(bytes[4..<6]), hours < 24, minutes < 60
        else { return nil }
        return (hours * 3_600 + minutes * 60) * (bytes[0] == 0x2B ? 1 : -1)
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int64? {
        guard !bytes.isEmpty, bytes.count <= 17, bytes.allSatisfy(isDigit) else { return nil }
        return bytes.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }

    /// Digits behind a point as microseconds; what is finer is cut off.
    private static func micros(_ digits: ArraySlice<UInt8>) -> Int64? {
        guard !digits.isEmpty, digits.allSatisfy(isDigit) else { return nil }
        let six = Array(digits.prefix(6)) + [UInt8](repeating: 0x30, count: max(0, 6 - digits.count))
        return number(six[...])
    }

    private static func daysIn(_ month: Int64, _ year: Int64) -> Int64 {
        let isLeap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
        return month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    /// Days since 1970-01-01, counted over years that begin in March so that the leap day comes last.
    private static func daysFromEpoch(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month > 2 ? year : year - 1
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    }
}
