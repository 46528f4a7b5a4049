/// One table of the configuration while it is read: each call names a key, its type and its default.
///
/// A wrong value is reported and its default returned, so that one reading finds every problem. The environment goes
/// before the file. Used on one thread, by a `ConfigSchema`.
public final class ConfigSection {
    /// Such as `recorder.storage` or `nodes[1]`; empty for the whole file.
    public let path: String
    let entries: [String: ConfigEntry]
    /// Holds its sections, and outlives the reading they are for.
    unowned let context: ConfigContext
    private let isEnvironmentRead: Bool
    private(set) var keys: [String] = []

    init(path: String, entries: [String: ConfigEntry], context: ConfigContext, isEnvironmentRead: Bool = true) {
        self.path = path
        self.entries = entries
        self.context = context
        self.isEnvironmentRead = isEnvironmentRead
        context.add(self)
    }

    var isTopLevel: Bool { !path.isEmpty && !path.contains(".") && !path.contains("[") }

    /// Reports a problem of a key of this section, at the place its value comes from.
    public func problem(_ key: String, _ message: String) {
        context.report(full(key), message)
    }

    /// Whether the key, already asked for, stands in the file or the environment.
    public func isSet(_ key: String) -> Bool { context.places[full(key)] != nil }

    func full(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The value of a key from wherever it is set; `convert` reads the text of an environment variable.
    func lookUp(_ key: String, expected: String, convert: (String, ConfigPlace) -> ConfigNode?) -> ConfigNode? {
        keys.append(key)
        let path = full(key)
        if let entry = entries[key] { context.remember(path, at: entry.place) }
        guard isEnvironmentRead, let variable = context.variable(for: path) else { return entries[key]?.node }
        let place = ConfigPlace(file: variable.name, line: nil)
        context.remember(path, at: place)
        guard let node = convert(variable.text, place) else {
            context.report(path, "expected \(expected)")
            return nil
        }
        return node
    }

    func reportType(_ key: String, expected: String, found: ConfigNode) {
        problem(key, "expected \(expected), found \(found.typeName)")
    }

    /// A table below this one; absent means empty.
    public func section(_ key: String) -> ConfigSection {
        keys.append(key)
        var inner: [String: ConfigEntry] = [:]
        if let entry = entries[key] {
            context.remember(full(key), at: entry.place)
            if case .table(let members) = entry.node.value {
                inner = members
            } else {
                reportType(key, expected: "a table", found: entry.node)
            }
        }
        return ConfigSection(path: full(key), entries: inner, context: context, isEnvironmentRead: isEnvironmentRead)
    }

    /// An array of tables, such as `[[nodes]]`; in the environment a JSON array of objects.
    public func sections(_ key: String) -> [ConfigSection] {
        let expected = "a list of tables"
        let node = lookUp(key, expected: "\(expected) as a JSON array") { ConfigNode(json: $0, place: $1) }
        guard let node else { return [] }
        guard case .array(let elements) = node.value else {
            reportType(key, expected: expected, found: node)
            return []
        }
        return elements.enumerated().compactMap { index, element in
            guard case .table(let members) = element.value else {
                context.report("\(full(key))[\(index)]", "expected a table, found \(element.typeName)", at: element.place)
                return nil
            }
            let path = "\(full(key))[\(index)]"
            context.remember(path, at: element.place)
            return ConfigSection(path: path, entries: members, context: context, isEnvironmentRead: false)
        }
    }

    /// A table of tables with free names, such as `[stream.demo]`, by name; in the environment a JSON object. `check` gets each name.
    public func tables(_ key: String, check: (String) -> String? = { _ in nil }) -> [(name: String, section: ConfigSection)] {
        let expected = "a table of tables"
        let node = lookUp(key, expected: "\(expected) as a JSON object") { ConfigNode(json: $0, place: $1) }
        guard let node else { return [] }
        guard case .table(let members) = node.value else {
            reportType(key, expected: expected, found: node)
            return []
        }
        return members.sorted { $0.key < $1.key }.compactMap { name, entry in
            let path = "\(full(key)).\(name)"
            context.remember(path, at: entry.place)
            if let wrong = check(name) {
                context.report(path, wrong, at: entry.place)
                return nil
            }
            guard case .table(let inner) = entry.node.value else {
                context.report(path, "expected a table, found \(entry.node.typeName)", at: entry.place)
                return nil
            }
            return (name, ConfigSection(path: path, entries: inner, context: context, isEnvironmentRead: false))
        }
    }

    func reportUnknownKeys(_ all: [ConfigSection]) {
        let known = Set(keys)
        for (key, entry) in entries where !known.contains(key) {
            context.report(full(key), unknownMessage(key, all), at: entry.place)
        }
    }

    private func unknownMessage(_ key: String, _ all: [ConfigSection]) -> String {
        let here = NearestName.find(key, among: keys)
        if let here, here.distance <= 2 { return "unknown key, did you mean \(here.name)?" }
        if let home = all.first(where: { $0 !== self && $0.keys.contains(key) }) {
            return "unknown key, did you mean \(home.full(key))?"
        }
        return here.map { "unknown key, did you mean \($0.name)?" } ?? "unknown key"
    }
}
