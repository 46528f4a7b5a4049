/// Everything that is wrong with a configuration, in the order of the file.
public struct ConfigError: Error, Sendable, CustomStringConvertible {
    /// At least one.
    public let problems: [ConfigProblem]

    /// One line a problem.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// One thing that is wrong. Never contains the value of a key, which may be a secret.
public struct ConfigProblem: Sendable, Hashable, CustomStringConvertible {
    /// The file, or the environment variable; nil when the value is a default and there is no file.
    public let file: String?
    /// Line in the file, from 1.
    public let line: Int?
    /// Path of the key, such as `recorder.storage.type`; empty when it is about the whole file.
    public let key: String
    /// What is wrong and, where it can be said, what to write instead.
    public let message: String

    /// `edge.toml:12: recorder.segmnt_seconds: unknown key, did you mean segment_seconds?`
    public var description: String {
        var text = ""
        if let file { text += file + (line.map { ":\($0)" } ?? "") + ": " }
        if !key.isEmpty { text += key + ": " }
        return Self.oneLine(text + message)
    }

    /// Keys and toml++'s messages may hold any character; one problem stays one line of bounded length.
    private static func oneLine(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars.prefix(600) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: line += "\\u{\(String(scalar.value, radix: 16))}"
            default: line.unicodeScalars.append(scalar)
            }
        }
        return line
    }
}

/// Where a value comes from.
struct ConfigPlace: Sendable, Hashable {
    let file: String?
    let line: Int?
}
