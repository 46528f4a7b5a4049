import Foundation

/// A program's configuration: says in its initialiser which keys there are, of which type, with which default.
public protocol ConfigSchema: Sendable {
    /// Asks `root` for every key. Problems are reported to the sections, not thrown, so that all are found at once.
    init(reading root: ConfigSection)

    /// Looks at what the values name on this machine: files, directories, ports. Only called when reading found no problem.
    func check(_ machine: ConfigChecks)
}

/// Reads a configuration from a TOML file and the environment.
public enum ConfigLoader {
    /// Reads `file` (nil: only defaults and environment), lays the environment over it and checks the result.
    ///
    /// - Parameters:
    ///   - environmentPrefix: `EDGE` makes `EDGE_HTTP_LISTEN` stand for `http.listen`.
    ///   - checking: which of the machine's things are looked at; leave `.ports` out while the program itself holds them.
    /// - Throws: every problem there is.
    public static func load<T: ConfigSchema>(
        _ type: T.Type, file: String?, environmentPrefix: String, environment: [String: String],
        checking: ConfigChecks.Kinds = .all
    ) throws(ConfigError) -> T {
        var text: [UInt8] = []
        if let file { text = try read(file) }
        return try load(
            type, text: text, file: file, environmentPrefix: environmentPrefix, environment: environment, checking: checking)
    }

    /// The same from text; `file` is only a name for messages.
    package static func load<T: ConfigSchema>(
        _ type: T.Type, text: [UInt8], file: String?, environmentPrefix: String, environment: [String: String],
        checking: ConfigChecks.Kinds
    ) throws(ConfigError) -> T {
        let tree = try TOMLDocument.parse(text, file: file ?? "")
        guard case .table(let entries) = tree.value else { throw ConfigError(problems: []) }
        let context = ConfigContext(file: file, environmentPrefix: environmentPrefix, environment: environment)
        let config = T(reading: ConfigSection(path: "", entries: entries, context: context))
        let problems = context.finish()
        guard problems.isEmpty else { throw ConfigError(problems: problems) }
        let checks = ConfigChecks(context: context, kinds: checking)
        config.check(checks)
        guard context.problems.isEmpty else { throw ConfigError(problems: context.problems) }
        return config
    }

    /// Every key of a schema that isn't a table itself, in the order they are asked for. Elements of arrays of tables are
    /// not among them: there are none without a file.
    package static func keys<T: ConfigSchema>(of type: T.Type) -> [String] {
        let context = ConfigContext(file: nil, environmentPrefix: "", environment: [:])
        _ = T(reading: ConfigSection(path: "", entries: [:], context: context))
        let tables = Set(context.sections.map(\.path))
        return context.sections.flatMap { section in section.keys.map(section.full) }.filter { !tables.contains($0) }
    }

    private static func read(_ file: String) throws(ConfigError) -> [UInt8] {
        do {
            return [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
        } catch {
            let reason = FileManager.default.fileExists(atPath: file) ? "cannot be read" : "no such file"
            throw ConfigError(problems: [ConfigProblem(file: file, line: nil, key: "", message: reason)])
        }
    }
}
