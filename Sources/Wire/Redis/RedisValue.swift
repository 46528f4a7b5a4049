/// One command: its name and arguments as bytes, so that nothing needs quoting.
public struct RedisCommand: Sendable, Hashable {
    let arguments: [[UInt8]]

    /// As an array of bulk strings (RESP, "Sending commands to a Redis server").
    func encode(into bytes: inout [UInt8]) {
        bytes += "*\(arguments.count)\r\n".utf8
        for argument in arguments {
            bytes += "$\(argument.count)\r\n".utf8
            bytes += argument
            bytes += [13, 10]
        }
    }

    /// A command of text.
    public init(_ parts: String...) {
        arguments = parts.map { Array($0.utf8) }
    }

    /// A command with an argument of bytes at its end, such as the value of `SET`, and more text behind it.
    public init(_ parts: [String], bytes: [UInt8], _ rest: [String] = []) {
        arguments = parts.map { Array($0.utf8) } + [bytes] + rest.map { Array($0.utf8) }
    }

    /// `EVAL` of a Lua script, which the server carries out as one step.
    public init(script: String, keys: [String], arguments: [[UInt8]]) {
        self.arguments = ["EVAL", script, String(keys.count)].map { Array($0.utf8) } + keys.map { Array($0.utf8) } + arguments
    }
}

/// What the server answered (RESP 2).
public enum RedisValue: Sendable, Hashable {
    /// No such key.
    case null
    /// `OK` and the like.
    case status(String)
    /// A count.
    case integer(Int64)
    /// A value.
    case bytes([UInt8])
    /// Several.
    case array([RedisValue])
    /// The server refused this command, such as `WRONGTYPE …`.
    case error(String)

    /// The bytes of a value; nil when it is none.
    public var bytes: [UInt8]? {
        if case .bytes(let bytes) = self { bytes } else { nil }
    }

    /// A value, status or error as text; nil when it is none.
    public var text: String? {
        switch self {
        case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
        case .status(let text), .error(let text): text
        case .null, .integer, .array: nil
        }
    }

    /// Whether it is the refusal of a server that was the master once.
    var tellsOfReplica: Bool {
        if case .error(let text) = self { text.hasPrefix("READONLY ") } else { false }
    }

    /// The elements of an array; nil when it is none.
    public var elements: [RedisValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }
}

/// Why a command has no answer.
public enum RedisError: Error, Sendable, Hashable, CustomStringConvertible {
    /// There is no connection, or it broke before the answer came: the command may or may not have been carried out.
    case unavailable(String)
    /// The server refused the command.
    case refused(String)
    /// More commands are waiting than are kept.
    case overloaded
    /// `close()` was called.
    case closed

    /// One line for a log.
    public var description: String {
        switch self {
        case .unavailable(let reason): reason
        case .refused(let reason): "refused: \(reason)"
        case .overloaded: "too many commands are waiting"
        case .closed: "closed"
        }
    }
}

/// Whether there is a connection.
public enum RedisStatus: Sendable, Hashable {
    /// The first attempt is under way.
    case connecting
    /// Commands are answered.
    case ready
    /// They are not, and why; attempts go on.
    case unavailable(String)
}
