/// A parameter of a route, for the OpenAPI document. Path parameters are described without being named here.
public struct RouteParameter: Sendable {
    /// Where a parameter stands.
    public enum Place: String, Sendable {
        /// After the `?`.
        case query
        /// A header field.
        case header
        /// A `{name}` of the pattern.
        case path
    }

    /// The JSON type of the value.
    public enum Kind: String, Sendable {
        /// Text.
        case string
        /// A whole number.
        case integer
        /// `true` or `false`.
        case boolean
    }

    let name: String
    let place: Place
    let kind: Kind
    let summary: String
    let isRequired: Bool

    /// A query parameter.
    public static func query(_ name: String, _ summary: String, kind: Kind = .string, isRequired: Bool = false) -> RouteParameter
    {
        RouteParameter(name: name, place: .query, kind: kind, summary: summary, isRequired: isRequired)
    }

    /// A header field of the request.
    public static func header(_ name: String, _ summary: String, isRequired: Bool = false) -> RouteParameter {
        RouteParameter(name: name, place: .header, kind: .string, summary: summary, isRequired: isRequired)
    }

    /// Words about a `{name}` of the pattern.
    public static func path(_ name: String, _ summary: String) -> RouteParameter {
        RouteParameter(name: name, place: .path, kind: .string, summary: summary, isRequired: true)
    }
}

/// One answer of a route, for the OpenAPI document.
public struct RouteResponse: Sendable {
    let status: HTTPStatus
    let summary: String
    let contentType: String?

    /// - Parameters:
    ///   - status: its status.
    ///   - summary: when it is given.
    ///   - contentType: the media type of its body; nil for none.
    public init(_ status: HTTPStatus, _ summary: String, contentType: String? = nil) {
        (self.status, self.summary, self.contentType) = (status, summary, contentType)
    }
}

/// What the OpenAPI document says about a route.
public struct RouteDescription: Sendable {
    let summary: String
    let tag: String?
    let requestType: String?
    /// Query and header parameters, and words about those of the path.
    public let parameters: [RouteParameter]
    let responses: [RouteResponse]
    let startsInPlace: Bool

    /// - Parameters:
    ///   - summary: one line.
    ///   - tag: the group the route is listed in.
    ///   - requestType: the media type of the request body; nil for none.
    ///   - parameters: query and header parameters; path parameters need not be named.
    ///   - responses: the answers worth telling; 200 when none is told.
    ///   - startsInPlace: the handler neither blocks nor reckons long, so it may begin on the server's own thread, and go on on the thread
    ///     that brings what it waits for; each saves a change of threads.
    public init(
        _ summary: String, tag: String? = nil, requestType: String? = nil, parameters: [RouteParameter] = [],
        responses: [RouteResponse] = [], startsInPlace: Bool = false
    ) {
        (self.summary, self.tag, self.requestType, self.parameters, self.responses) = (
            summary, tag, requestType, parameters, responses
        )
        self.startsInPlace = startsInPlace
    }
}
