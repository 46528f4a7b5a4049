/// The version of all programs of this repository, which are built and released together.
public enum ProgramVersion {
    /// Semantic version.
    public static let current = "0.1.0"
}

/// What is said of a program in `--help`, `--version`, `/metrics` and the OpenAPI document.
public struct ProgramDescription: Sendable {
    /// The executable's name.
    public let name: String
    /// What it does, in a sentence.
    public let purpose: String
    /// `EDGE` makes `EDGE_HTTP_LISTEN` stand for `http.listen`.
    public let environmentPrefix: String
    /// How the names of its metrics begin, without the last underscore.
    public let metricPrefix: String

    /// - Parameters:
    ///   - name: the executable's name.
    ///   - purpose: what it does, in a sentence.
    ///   - environmentPrefix: how the variables that stand for its keys begin, without the underscore.
    ///   - metricPrefix: how the names of its metrics begin, without the last underscore.
    public init(name: String, purpose: String, environmentPrefix: String, metricPrefix: String) {
        self.name = name
        self.purpose = purpose
        self.environmentPrefix = environmentPrefix
        self.metricPrefix = metricPrefix
    }
}
