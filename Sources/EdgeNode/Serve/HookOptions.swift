import Config
import Record

/// `[recorder.hooks]`: who is told of recordings.
public struct HookOptions: Sendable, Hashable {
    /// `url` of a server that gets events by POST; empty: none.
    public var url: String
    /// `command`: a program and its arguments; empty: none.
    public var command: [String]
    /// `events` that are told.
    public var events: Set<RecordingEvent.Kind>
    /// `timeout_seconds` for one request or one run.
    public var timeoutSeconds: Double
    /// `secret` that signs requests; empty: none.
    public var secret: String

    init(reading recorder: ConfigSection) {
        let hooks = recorder.section("hooks")
        url = hooks.pageURL("url")
        command = hooks.strings("command") { $0.isEmpty ? "must not be empty" : nil }
        if let program = command.first, !program.hasPrefix("/") { hooks.problem("command", "must begin with an absolute path") }
        let all = RecordingEvent.Kind.allCases.map(\.rawValue)
        let names = hooks.strings("events", default: all) {
            RecordingEvent.Kind(rawValue: $0) == nil ? "expected one of \(all.joined(separator: ", "))" : nil
        }
        events = Set(names.compactMap(RecordingEvent.Kind.init))
        timeoutSeconds = hooks.number("timeout_seconds", default: 10, in: 0.1...300)
        secret = hooks.string("secret")
    }
}
