import Foundation

extension ConfigSection {
    /// A string. `check` returns what is wrong with a value, or nil.
    public func string(_ key: String, default fallback: String = "", check: (String) -> String? = { _ in nil }) -> String {
        let node = lookUp(key, expected: "a string") { ConfigNode(value: .string($0), place: $1) }
        guard let node else { return fallback }
        guard case .string(let text) = node.value else {
            reportType(key, expected: "a string", found: node)
            return fallback
        }
        if let wrong = text.utf8.contains(0) ? "contains a NUL" : check(text) {
            problem(key, wrong)
            return fallback
        }
        return text
    }

    /// `true` or `false`; in the environment also `1` and `0`.
    public func flag(_ key: String, default fallback: Bool) -> Bool {
        let node = lookUp(key, expected: "true or false") { text, place in
            switch text.lowercased() {
            case "true", "1": ConfigNode(value: .bool(true), place: place)
            case "false", "0": ConfigNode(value: .bool(false), place: place)
            default: nil
            }
        }
        guard let node else { return fallback }
        guard case .bool(let flag) = node.value else {
            reportType(key, expected: "true or false", found: node)
            return fallback
        }
        return flag
    }

    /// A whole number within `range`.
    public func integer(_ key: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
        let node = lookUp(key, expected: "an integer") { text, place in
            Int(text).map { ConfigNode(value: .integer($0), place: place) }
        }
        guard let node else { return fallback }
        guard case .integer(let number) = node.value else {
            reportType(key, expected: "an integer", found: node)
            return fallback
        }
        return within(range, number, key, fallback)
    }

    /// A number, with or without a fraction, within `range`.
    public func number(_ key: String, default fallback: Double, in range: ClosedRange<Double>) -> Double {
        let node = lookUp(key, expected: "a number") { text, place in
            Double(text).map { ConfigNode(value: .float($0), place: place) }
        }
        guard let node else { return fallback }
        switch node.value {
        case .integer(let number): return within(range, Double(number), key, fallback)
        case .float(let number): return within(range, number, key, fallback)
        default:
            reportType(key, expected: "a number", found: node)
            return fallback
        }
    }

    /// A size in bytes: an integer, or a string such as `"512 MiB"` (KiB, MiB, GiB, TiB, kB, MB, GB, TB).
    public func bytes(_ key: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
        let expected = #"bytes, such as 1048576 or "1 MiB""#
        let node = lookUp(key, expected: expected) { text, place in
            ByteSize.parse(text).map { ConfigNode(value: .integer($0), place: place) }
        }
        guard let node else { return fallback }
        switch node.value {
        case .integer(let count): return within(range, count, key, fallback)
        case .string(let text):
            guard let count = ByteSize.parse(text) else {
                problem(key, "expected \(expected)")
                return fallback
            }
            return within(range, count, key, fallback)
        default:
            reportType(key, expected: expected, found: node)
            return fallback
        }
    }

    /// One of the cases of an enumeration, by its raw value.
    public func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, default fallback: Choice) -> Choice
    where Choice.RawValue == String {
        let names = Choice.allCases.map(\.rawValue)
        let wanted = names.count == 1 ? "\"\(names[0])\"" : "one of \(names.map { "\"\($0)\"" }.joined(separator: ", "))"
        let text = string(key, default: fallback.rawValue) { Choice(rawValue: $0) == nil ? "expected \(wanted)" : nil }
        return Choice(rawValue: text) ?? fallback
    }

    /// A list of strings; in the environment comma separated or a JSON array. `check` is asked for each.
    public func strings(_ key: String, default fallback: [String] = [], check: (String) -> String? = { _ in nil }) -> [String] {
        let expected = "a list of strings"
        let node = lookUp(key, expected: expected) { text, place in
            if text.hasPrefix("[") { return ConfigNode(json: text, place: place) }
            let trimmed = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
            return ConfigNode(value: .array(trimmed.map { ConfigNode(value: .string($0), place: place) }), place: place)
        }
        guard let node else { return fallback }
        guard case .array(let elements) = node.value else {
            reportType(key, expected: expected, found: node)
            return fallback
        }
        var texts: [String] = []
        for (index, element) in elements.enumerated() {
            guard case .string(let text) = element.value else {
                context.report("\(full(key))[\(index)]", "expected a string, found \(element.typeName)", at: element.place)
                continue
            }
            if let wrong = text.utf8.contains(0) ? "contains a NUL" : check(text) {
                context.report("\(full(key))[\(index)]", wrong, at: element.place)
            }
            texts.append(text)
        }
        return texts
    }

    /// A table of strings with free keys; in the environment a JSON object, or `key=value` or `key:value` pairs separated
    /// by `,` or `;`. `check` gets key and value.
    public func pairs(_ key: String, check: (String, String) -> String? = { _, _ in nil }) -> [String: String] {
        let expected = "a table of strings"
        let node = lookUp(key, expected: expected) { Self.pairs(text: $0, place: $1) }
        guard let node else { return [:] }
        guard case .table(let members) = node.value else {
            reportType(key, expected: expected, found: node)
            return [:]
        }
        var found: [String: String] = [:]
        for (name, entry) in members.sorted(by: { $0.key < $1.key }) {
            guard case .string(let text) = entry.node.value else {
                context.report("\(full(key)).\(name)", "expected a string, found \(entry.node.typeName)", at: entry.place)
                continue
            }
            if let wrong = check(name, text) { context.report("\(full(key)).\(name)", wrong, at: entry.place) }
            found[name] = text
        }
        return found
    }

    private static func pairs(text: String, place: ConfigPlace) -> ConfigNode? {
        if text.hasPrefix("{") { return ConfigNode(json: text, place: place) }
        var members: [String: ConfigEntry] = [:]
        for part in text.split(whereSeparator: { $0 == "," || $0 == ";" }) {
            guard let cut = part.firstIndex(where: { $0 == "=" || $0 == ":" }) else { return nil }
            let name = part[..<cut].trimmingCharacters(in: .whitespaces)
            let value = part[part.index(after: cut)...].trimmingCharacters(in: .whitespaces)
            members[name] = ConfigEntry(node: ConfigNode(value: .string(value), place: place), place: place)
        }
        return ConfigNode(value: .table(members), place: place)
    }

    private func within<Number: Comparable>(_ range: ClosedRange<Number>, _ number: Number, _ key: String, _ fallback: Number)
        -> Number
    {
        guard range.contains(number) else {
            problem(key, "must be \(range.lowerBound) to \(range.upperBound)")
            return fallback
        }
        return number
    }
}

/// Sizes as people write them.
enum ByteSize {
    private static let units: [String: Int] = [
        "": 1, "b": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000,
        "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
    ]

    /// Bytes, or nil when the text is no size or doesn't fit.
    static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).trimmingCharacters(in: .whitespaces).lowercased()
        guard let count = Int(digits), let factor = units[unit] else { return nil }
        let (product, isOverflow) = count.multipliedReportingOverflow(by: factor)
        return isOverflow ? nil : product
    }
}
