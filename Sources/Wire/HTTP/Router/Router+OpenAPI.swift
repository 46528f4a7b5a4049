extension Router {
    /// The OpenAPI 3.1 document of all routes, as JSON text.
    /// - Parameters:
    ///   - title: the name of the program.
    ///   - version: its version.
    public func openAPI(title: String, version: String) -> String {
        let paths = endpoints.sorted { $0.pattern.openAPIPath < $1.pattern.openAPIPath }.map { endpoint in
            let operations = endpoint.routes.sorted { $0.key.rawValue < $1.key.rawValue }.map { method, route in
                (method.rawValue.lowercased(), Self.operation(method, endpoint.pattern, route.description))
            }
            return (endpoint.pattern.openAPIPath, JSONValue.object(operations))
        }
        let document = JSONValue.object([
            ("openapi", "3.1.0"),
            ("info", .object([("title", .string(title)), ("version", .string(version))])),
            ("paths", .object(Self.merged(paths))),
            ("components", .object([("schemas", .object([("Error", Self.errorSchema)]))])),
        ])
        return document.text
    }

    /// `/a/{x}` and `/a/{x*}` are one path to OpenAPI.
    private static func merged(_ paths: [(String, JSONValue)]) -> [(String, JSONValue)] {
        paths.reduce(into: []) { merged, path in
            if let last = merged.last, last.0 == path.0, case .object(let old) = last.1, case .object(let new) = path.1 {
                merged[merged.count - 1].1 = .object(old + new.filter { pair in !old.contains { $0.0 == pair.0 } })
            } else {
                merged.append(path)
            }
        }
    }

    private static let errorSchema = JSONValue.object([
        ("type", "object"),
        ("required", .array(["error"])),
        ("properties", .object([("error", .object([("type", "string"), ("description", "What went wrong, in words.")]))])),
    ])

    private static func operation(_ method: HTTPMethod, _ pattern: RoutePattern, _ description: RouteDescription) -> JSONValue {
        var fields: [(String, JSONValue)] = [
            ("operationId", .string(operationID(method, pattern))), ("summary", .string(description.summary)),
        ]
        if let tag = description.tag { fields.append(("tags", .array([.string(tag)]))) }
        let parameters = allParameters(pattern, description)
        if !parameters.isEmpty { fields.append(("parameters", .array(parameters))) }
        if let type = description.requestType { fields.append(("requestBody", .object([("content", content(type))]))) }
        let responses = description.responses.isEmpty ? [RouteResponse(.ok, "Success")] : description.responses
        fields.append(("responses", .object(responses.map { ("\($0.status)", response($0)) })))
        return .object(fields)
    }

    private static func operationID(_ method: HTTPMethod, _ pattern: RoutePattern) -> String {
        let words = pattern.openAPIPath.split { !$0.isLetter && !$0.isNumber }.map { $0.prefix(1).uppercased() + $0.dropFirst() }
        return method.rawValue.lowercased() + words.joined()
    }

    private static func allParameters(_ pattern: RoutePattern, _ description: RouteDescription) -> [JSONValue] {
        let inPath = pattern.parameterNames.map { name in
            description.parameters.first { $0.place == .path && $0.name == name } ?? .path(name, "")
        }
        return (inPath + description.parameters.filter { $0.place != .path }).map { parameter in
            var fields: [(String, JSONValue)] = [
                ("name", .string(parameter.name)), ("in", .string(parameter.place.rawValue)),
                ("required", .bool(parameter.isRequired)),
                ("schema", .object([("type", .string(parameter.kind.rawValue))])),
            ]
            if !parameter.summary.isEmpty { fields.append(("description", .string(parameter.summary))) }
            return .object(fields)
        }
    }

    private static func response(_ response: RouteResponse) -> JSONValue {
        var fields: [(String, JSONValue)] = [("description", .string(response.summary))]
        if let type = response.contentType {
            fields.append(("content", content(type)))
        } else if response.status.rawValue >= 400 {
            let schema = JSONValue.object([("schema", .object([("$ref", "#/components/schemas/Error")]))])
            fields.append(("content", .object([("application/json", schema)])))
        }
        return .object(fields)
    }

    private static func content(_ type: String) -> JSONValue { .object([(type, .object([]))]) }
}
