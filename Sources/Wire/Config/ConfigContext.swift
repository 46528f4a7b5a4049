/// What one reading of a configuration shares between its sections: the environment, the keys asked for and the problems.
final class ConfigContext {
    let file: String?
    let environmentPrefix: String
    let environment: [String: String]
    private(set) var problems: [ConfigProblem] = []
    private(set) var sections: [ConfigSection] = []
    private(set) var places: [String: ConfigPlace] = [:]
    private(set) var variables: [String] = []

    init(file: String?, environmentPrefix: String, environment: [String: String]) {
        self.file = file
        self.environmentPrefix = environmentPrefix
        self.environment = environment
    }

    func add(_ section: ConfigSection) { sections.append(section) }

    func remember(_ path: String, at place: ConfigPlace) { places[path] = place }

    func report(_ path: String, _ message: String, at place: ConfigPlace? = nil) {
        let place = place ?? nearestPlace(of: path)
        problems.append(ConfigProblem(file: place.file, line: place.line, key: path, message: message))
    }

    /// The place of a key, or of the table it is missing from.
    private func nearestPlace(of path: String) -> ConfigPlace {
        var path = path
        while true {
            if let place = places[path] { return place }
            guard let dot = path.lastIndex(of: ".") else { return ConfigPlace(file: file, line: nil) }
            path = String(path[..<dot])
        }
    }

    /// The variable that stands for `path`. An empty one counts as not set: compose files pass those for what is left out.
    func variable(for path: String) -> (name: String, text: String)? {
        let name = "\(environmentPrefix)_\(path.replacing(".", with: "_").uppercased())"
        variables.append(name)
        guard let text = environment[name], !text.isEmpty else { return nil }
        return (name, text)
    }

    /// Adds the problems that only show once every key has been asked for, and puts all in the order of the file.
    func finish() -> [ConfigProblem] {
        for section in sections { section.reportUnknownKeys(sections) }
        reportUnknownVariables()
        let inOrder = problems.enumerated().sorted { left, right in
            let leftLine = left.element.line ?? .max
            let rightLine = right.element.line ?? .max
            return (leftLine, left.offset) < (rightLine, right.offset)
        }
        return inOrder.map(\.element)
    }

    /// Only variables of our own sections are looked at: `EDGE_SOMETHING` may well be someone else's.
    private func reportUnknownVariables() {
        let known = Set(variables)
        let starts = sections.filter { $0.isTopLevel }.map { "\(environmentPrefix)_\($0.path.uppercased())_" }
        for name in environment.keys.sorted() where !known.contains(name) && !Self.isServiceLink(name) {
            guard starts.contains(where: { name.hasPrefix($0) }), let nearest = NearestName.find(name, among: variables) else {
                continue
            }
            problems.append(
                ConfigProblem(file: name, line: nil, key: "", message: "unknown variable, did you mean \(nearest.name)?"))
        }
    }

    /// Kubernetes makes such variables of every service's name.
    private static func isServiceLink(_ name: String) -> Bool {
        name.hasSuffix("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.hasSuffix("_PORT") || name.contains("_PORT_")
    }
}
