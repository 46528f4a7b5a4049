/// xs:dateTime and xs:duration, always UTC, to the microsecond.
public enum ISO8601 {
    /// Unix microseconds as `2026-11-20T12:00:00.123456Z`; the fraction is left out when it is 0.
    public static func dateTime(microseconds: Int64) -> String {
        let seconds = microseconds.flooredDivided(by: 1_000_000)
        let day = date(microseconds: microseconds)
        let second = Int(seconds - seconds.flooredDivided(by: 86_400) * 86_400)
        let clock = "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
        let fraction = fraction(microseconds - seconds * 1_000_000)
        return "\(padded(day.year, 4))-\(padded(day.month, 2))-\(padded(day.day, 2))T\(clock)\(fraction)Z"
    }

    /// The UTC day of a time in Unix microseconds, in the proleptic Gregorian calendar.
    public static func date(microseconds: Int64) -> (year: Int, month: Int, day: Int) {
        // Days are counted from 1 March of year 0, so that the leap day is the last of its year.
        let days = microseconds.flooredDivided(by: 86_400_000_000) + 719_468
        let era = days.flooredDivided(by: 146_097)
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (Int(year), Int(month), Int(day))
    }

    /// Microseconds, not negative, as `PT12.5S`.
    public static func duration(microseconds: Int64) -> String {
        let value = max(0, microseconds)
        return "PT\(value / 1_000_000)\(fraction(value % 1_000_000))S"
    }

    /// Seconds as `PT12.5S`, rounded up to the millisecond: what is announced is a most or a least to wait.
    public static func duration(seconds: Double) -> String {
        let bounded = seconds.isFinite ? min(max(0, seconds), 1e9) : 0
        return duration(microseconds: Int64((bounded * 1000 - 0.000_01).rounded(.up)) * 1000)
    }

    private static func fraction(_ microseconds: Int64) -> String {
        guard microseconds > 0 else { return "" }
        var digits = padded(Int(microseconds), 6)
        while digits.hasSuffix("0") { digits.removeLast() }
        return "." + digits
    }

    static func padded(_ value: Int, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

extension Int64 {
    fileprivate func flooredDivided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
