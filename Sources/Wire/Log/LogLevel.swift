/// How much a line matters; `log.level` names the least that is written.
public enum LogLevel: String, Sendable, CaseIterable, Comparable {
    case debug, info, warn, error

    var rank: Int {
        switch self {
        case .debug: 0
        case .info: 1
        case .warn: 2
        case .error: 3
        }
    }

    /// Orders levels from `debug` up to `error`.
    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rank < right.rank }
}

/// The shape of a line; `log.format` names it.
public enum LogFormat: String, Sendable, CaseIterable {
    /// `2026-11-20T10:11:12.345Z info  record: segment written stream=demo`
    case text
    /// One JSON object a line: `time`, `level`, `subsystem`, `message` and the fields as strings.
    case json
}
