#if canImport(Glibc)
    import Glibc
#endif

/// One line, before it has a shape.
struct LogRecord {
    let level: LogLevel
    let subsystem: String
    let message: String
    let fields: KeyValuePairs<String, String>

    func line(format: LogFormat, time: String) -> String {
        switch format {
        case .text: text(time: time)
        case .json: json(time: time)
        }
    }

    private func text(time: String) -> String {
        let padded = level.rawValue + String(repeating: " ", count: 5 - level.rawValue.utf8.count)
        var line = "\(time) \(padded) \(subsystem): \(Self.oneLine(message))"
        for (key, value) in fields {
            let plain = value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3D } && !value.isEmpty
            line += plain ? " \(key)=\(value)" : " \(key)=\"\(Self.escaped(value))\""
        }
        return line + "\n"
    }

    private func json(time: String) -> String {
        var line = "{\"time\":\"\(time)\",\"level\":\"\(level.rawValue)\",\"subsystem\":\"\(subsystem)\""
        line += ",\"message\":\"\(Self.escaped(message))\""
        for (key, value) in fields { line += ",\"\(Self.escaped(key))\":\"\(Self.escaped(value))\"" }
        return line + "}\n"
    }

    /// A peer's text must not be able to forge a second line.
    private static func oneLine(_ text: String) -> String {
        text.utf8.contains { $0 < 0x20 } ? escaped(text) : text
    }

    /// JSON string escapes (RFC 8259 section 7).
    static func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    /// The current UTC time with milliseconds, RFC 3339.
    static func now() -> String {
        var spec = timespec()
        clock_gettime(CLOCK_REALTIME, &spec)
        var parts = tm()
        gmtime_r(&spec.tv_sec, &parts)
        func padded(_ value: Int, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
        let clock = "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))"
        return "\(date)T\(clock).\(padded(spec.tv_nsec / 1_000_000, 3))Z"
    }
}
