import Foundation

/// Files of the repository.
enum Repository {
    static func text(_ path: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }
}

/// A configuration file that ships as documentation: `#key = value` shows a default; prose begins with `# `, examples with `## `.
package struct ConfigSample: Sendable {
    /// As it ships.
    package let text: String

    /// - Parameter path: from the repository's root.
    package init(_ path: String) throws { text = try Repository.text(path) }

    /// With the shown defaults set.
    package var uncommented: String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.wholeMatch(of: /#([a-z_]+ = .*)/).map { String($0.1) } ?? String(line)
        }.joined(separator: "\n")
    }

    /// Every key it shows, with its section.
    package var keys: Set<String> {
        var section = ""
        var shown: Set<String> = []
        for line in uncommented.split(separator: "\n") {
            if let match = line.wholeMatch(of: /\[([a-z._]+)\]/) { section = String(match.1) + "." }
            if let match = line.wholeMatch(of: /([a-z_]+) = .*/) { shown.insert(section + match.1) }
        }
        return shown
    }
}
