import Synchronization

/// Writes lines about one subsystem to stderr, from any thread.
///
/// A message is only built when its level is on. Never give it a token, a password, an ICE password or a key.
/// The media path doesn't log: it counts, and a reporter logs the counts once a second.
public struct Logger: Sendable {
    private let subsystem: String

    /// - Parameter subsystem: a short lower-case name, the same as the folder that logs, such as `record`.
    public init(_ subsystem: String) {
        self.subsystem = subsystem
    }

    /// Detail for someone looking for a fault.
    public func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        log(.debug, message, fields)
    }

    /// Something an operator likes to see happen: a publisher came, a recording closed.
    public func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        log(.info, message, fields)
    }

    /// Something is wrong but the program copes: Redis is away, a segment was retried.
    public func warning(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        log(.warn, message, fields)
    }

    /// Something failed that someone asked for; the message tells what to do about it.
    public func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        log(.error, message, fields)
    }

    private func log(_ level: LogLevel, _ message: () -> String, _ fields: () -> KeyValuePairs<String, String>) {
        guard LogOutput.isOn(level) else { return }
        LogOutput.write(LogRecord(level: level, subsystem: subsystem, message: message(), fields: fields()))
    }
}
