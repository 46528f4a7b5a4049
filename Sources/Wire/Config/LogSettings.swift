import Log

/// `[log]`: the same in both programs.
public struct LogSettings: Sendable, Hashable {
    /// `level`: the least that is written.
    public var level: LogLevel
    /// `format`: the shape of a line.
    public var format: LogFormat

    /// Reads `[log]`; the variable `LOG_LEVEL` stands for `log.level`, the one with the program's prefix goes before it.
    public init(reading root: ConfigSection) {
        let log = root.section("log")
        level = log.choice("level", default: LogLevel.info)
        format = log.choice("format", default: LogFormat.text)
        if !log.isFromEnvironment("level"), let text = root.variable("LOG_LEVEL", for: "log.level") {
            if let other = LogLevel(rawValue: text.lowercased()) {
                level = other
            } else {
                log.problem("level", #"expected one of "debug", "info", "warn", "error""#)
            }
        }
    }
}
