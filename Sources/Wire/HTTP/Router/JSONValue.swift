/// A JSON document in the making; object keys keep their order.
enum JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral {
    case string(String)
    case bool(Bool)
    case array([JSONValue])
    case object([(String, JSONValue)])

    init(stringLiteral value: String) { self = .string(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }

    var text: String {
        switch self {
        case .string(let text): HTTPResponse.jsonString(text)
        case .bool(let value): value ? "true" : "false"
        case .array(let values): "[" + values.map(\.text).joined(separator: ",") + "]"
        case .object(let pairs): "{" + pairs.map { HTTPResponse.jsonString($0.0) + ":" + $0.1.text }.joined(separator: ",") + "}"
        }
    }
}
