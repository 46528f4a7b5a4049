import Foundation

/// A value of the configuration and the place it comes from.
struct ConfigNode: Sendable, Hashable {
    indirect enum Value: Sendable, Hashable {
        case table([String: ConfigEntry])
        case array([ConfigNode])
        case string(String)
        case integer(Int)
        case float(Double)
        case bool(Bool)
        case date
    }

    let value: Value
    let place: ConfigPlace

    /// With its article, for "expected …, found …".
    var typeName: String {
        switch value {
        case .table: "a table"
        case .array: "a list"
        case .string: "a string"
        case .integer: "an integer"
        case .float: "a number"
        case .bool: "true or false"
        case .date: "a date"
        }
    }
}

/// A value with the place of its key, which is what a message points at.
struct ConfigEntry: Sendable, Hashable {
    let node: ConfigNode
    let place: ConfigPlace
}

extension ConfigNode {
    /// A value given as JSON in an environment variable; nil when it isn't JSON.
    init?(json: String, place: ConfigPlace) {
        guard json.utf8.count <= 1 << 20,
            let parsed = try? JSONDecoder().decode(JSONValue.self, from: Data(json.utf8))
        else { return nil }
        self.init(parsed, place: place)
    }

    private init(_ json: JSONValue, place: ConfigPlace) {
        self.place = place
        switch json {
        case .bool(let flag): value = .bool(flag)
        case .integer(let number): value = .integer(number)
        case .float(let number): value = .float(number)
        case .string(let text): value = .string(text)
        case .array(let values): value = .array(values.map { ConfigNode($0, place: place) })
        case .object(let members):
            value = .table(members.mapValues { ConfigEntry(node: ConfigNode($0, place: place), place: place) })
        }
    }
}

/// JSON of any shape.
private indirect enum JSONValue: Decodable {
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let flag = try? container.decode(Bool.self) {
            self = .bool(flag)
        } else if let number = try? container.decode(Int.self) {
            self = .integer(number)
        } else if let number = try? container.decode(Double.self) {
            self = .float(number)
        } else if let text = try? container.decode(String.self) {
            self = .string(text)
        } else if let values = try? container.decode([JSONValue].self) {
            self = .array(values)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }
}
