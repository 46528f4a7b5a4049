import Config

/// A program's configuration as tests read it: text in, values or messages out.
package struct ConfigReading<Schema: ConfigSchema>: Sendable {
    let file: String
    let environmentPrefix: String

    /// - Parameter file: the name that messages give the text.
    package init(_ schema: Schema.Type, file: String, environmentPrefix: String) {
        self.file = file
        self.environmentPrefix = environmentPrefix
    }

    /// The values; the machine is only looked at when told to.
    package func load(
        _ text: String, _ environment: [String: String] = [:], checking: ConfigChecks.Kinds = []
    ) throws(ConfigError) -> Schema {
        try ConfigLoader.load(
            Schema.self, text: Array(text.utf8), file: file, environmentPrefix: environmentPrefix, environment: environment,
            checking: checking)
    }

    /// The messages; none when all is right.
    package func problems(
        _ text: String, _ environment: [String: String] = [:], checking: ConfigChecks.Kinds = []
    ) -> [String] {
        do {
            _ = try load(text, environment, checking: checking)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    /// Variables of this program that a file of the repository sets though no key goes by them.
    package func unknownVariables(in path: String) throws -> Set<String> {
        let text = try Repository.text(path)
        let known = ConfigLoader.keys(of: Schema.self).map { "\(environmentPrefix)_" + $0.replacing(".", with: "_").uppercased() }
        let used = text.matches(of: /\b([A-Z]+_[A-Z_]+)[:=]/).map { String($0.1) }.filter {
            $0.hasPrefix(environmentPrefix + "_")
        }
        return Set(used).subtracting(known)
    }
}
