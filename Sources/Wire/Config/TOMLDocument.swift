import CTomlPlusPlus
import Foundation

/// TOML text as a tree in which every key and value knows its line.
enum TOMLDocument {
    /// Throws one problem when the text isn't TOML: toml++ stops at the first.
    static func parse(_ text: [UInt8], file: String) throws(ConfigError) -> ConfigNode {
        let json: [UInt8]? = text.withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                // A null base means empty text, for which any address does.
                guard let result = ctoml_parse(characters.baseAddress ?? UnsafePointer(bitPattern: 1), UInt(bytes.count)) else {
                    return nil
                }
                defer { ctoml_free(result) }
                return Array(UnsafeRawBufferPointer(start: result, count: strlen(result)))
            }
        }
        guard let json, let document = try? JSONDecoder().decode(TOMLResult.self, from: Data(json)) else {
            throw ConfigError(problems: [ConfigProblem(file: file, line: nil, key: "", message: "cannot be parsed")])
        }
        if let root = document.root { return ConfigNode(root, file: file) }
        let line = document.line.flatMap { $0 > 0 ? $0 : nil }
        throw ConfigError(problems: [
            ConfigProblem(file: file, line: line, key: "", message: message(document.error ?? "cannot be parsed"))
        ])
    }

    /// toml++'s words, without its inner names, and our own for a key that stands twice.
    private static func message(_ parserMessage: String) -> String {
        if parserMessage.contains("cannot redefine existing"), let name = parserMessage.split(separator: "'").dropFirst().first {
            return "\(name): stands twice"
        }
        let parts = parserMessage.split(separator: ": ", maxSplits: 1)
        let reason = parts.count == 2 && parts[0].hasPrefix("Error while parsing") ? String(parts[1]) : parserMessage
        if reason.hasPrefix("exceeded maximum nested") || reason == "nested too deep" { return "nested too deep" }
        if reason == "larger than 1 MiB" { return reason }
        return "not TOML: " + reason.prefix(1).lowercased() + reason.dropFirst()
    }
}

/// What `ctoml_parse` returns.
private struct TOMLResult: Decodable {
    let root: TOMLNode?
    let error: String?
    let line: Int?
}

private struct TOMLNode: Decodable {
    indirect enum Content {
        case table([TOMLMember])
        case array([TOMLNode])
        case text(String)
    }

    let type: String
    let line: Int
    let content: Content

    enum CodingKeys: String, CodingKey {
        case type = "t"
        case line = "l"
        case value = "v"
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        type = try container.decode(String.self, forKey: .type)
        line = try container.decode(Int.self, forKey: .line)
        content =
            switch type {
            case "table": .table(try container.decode([TOMLMember].self, forKey: .value))
            case "array": .array(try container.decode([TOMLNode].self, forKey: .value))
            default: .text(try container.decode(String.self, forKey: .value))
            }
    }
}

private struct TOMLMember: Decodable {
    let k: String
    let l: Int
    let n: TOMLNode
}

extension ConfigNode {
    fileprivate init(_ toml: TOMLNode, file: String) {
        place = ConfigPlace(file: file, line: toml.line)
        switch toml.content {
        case .table(let members):
            let entries = members.map {
                ($0.k, ConfigEntry(node: ConfigNode($0.n, file: file), place: ConfigPlace(file: file, line: $0.l)))
            }
            value = .table(Dictionary(entries) { first, _ in first })
        case .array(let nodes):
            value = .array(nodes.map { ConfigNode($0, file: file) })
        case .text(let text):
            switch toml.type {
            case "string": value = .string(text)
            case "bool": value = .bool(text == "true")
            case "integer": value = Int(text).map { .integer($0) } ?? .string(text)
            case "float": value = Double(text).map { .float($0) } ?? .string(text)
            default: value = .date
            }
        }
    }
}
