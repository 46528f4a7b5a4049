/// The shared `credentials` and `config` files of AWS's tools: sections with keys.
struct SharedFile: Sendable, Equatable {
    /// Section names as they stand, such as `default` or `profile team`, with their keys in lower case.
    private(set) var sections: [String: [String: String]] = [:]

    /// Reads what can be read: lines that are nothing known are passed over, as AWS's tools do.
    init(_ text: String) {
        var section: String?
        for raw in text.split(whereSeparator: \.isNewline) {
            // Nested settings (`s3 =` and indented lines) are for other tools.
            guard let first = raw.first, first != " ", first != "\t", first != "#", first != ";" else { continue }
            let line = Self.trimmed(raw)
            if line.hasPrefix("["), let end = line.firstIndex(of: "]") {
                let name = line[line.index(after: line.startIndex)..<end].split(whereSeparator: { $0 == " " || $0 == "\t" })
                section = name.joined(separator: " ")
                if let section, sections[section] == nil { sections[section] = [:] }
            } else if let section, let equals = line.firstIndex(of: "=") {
                let key = Self.trimmed(line[..<equals]).lowercased()
                sections[section]?[key] = Self.withoutComment(Self.trimmed(line[line.index(after: equals)...]))
            }
        }
    }

    /// The keys of a profile; in `config`, profiles other than `default` have `profile` before their name.
    func profile(_ name: String, isConfig: Bool) -> [String: String]? {
        guard isConfig else { return sections[name] }
        return sections["profile \(name)"] ?? (name == "default" ? sections["default"] : nil)
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let blanks: Set<Character> = [" ", "\t"]
        return String(text.drop { blanks.contains($0) }.reversed().drop { blanks.contains($0) }.reversed())
    }

    private static func withoutComment(_ value: String) -> String {
        for mark in [" #", " ;", "\t#", "\t;"] {
            if let at = value.firstRange(of: mark) { return trimmed(value[..<at.lowerBound]) }
        }
        return value
    }
}
