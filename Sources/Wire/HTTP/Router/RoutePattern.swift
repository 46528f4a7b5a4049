/// A path pattern: literal segments, `{name}` for one segment, and `{name*}` last for all the rest.
struct RoutePattern: Sendable {
    enum Segment: Sendable, Equatable {
        case literal(String)
        case parameter(String)
        case rest(String)

        /// More exact segments are tried first.
        var rank: Int {
            switch self {
            case .literal: 0
            case .parameter: 1
            case .rest: 2
            }
        }
    }

    let text: String
    let segments: [Segment]

    init(_ text: String) {
        self.text = text
        segments = text.split(separator: "/").map { part in
            guard part.hasPrefix("{"), part.hasSuffix("}") else { return .literal(String(part)) }
            let name = part.dropFirst().dropLast()
            return name.hasSuffix("*") ? .rest(String(name.dropLast())) : .parameter(String(name))
        }
    }

    var parameterNames: [String] {
        segments.compactMap { segment in
            switch segment {
            case .literal: nil
            case .parameter(let name), .rest(let name): name
            }
        }
    }

    /// The pattern as OpenAPI writes it, which has no word for "the rest".
    var openAPIPath: String {
        segments.isEmpty
            ? "/"
            : segments.reduce(into: "") { path, segment in
                switch segment {
                case .literal(let text): path += "/" + text
                case .parameter(let name), .rest(let name): path += "/{" + name + "}"
                }
            }
    }

    func isBefore(_ other: RoutePattern) -> Bool {
        for (mine, theirs) in zip(segments, other.segments) where mine.rank != theirs.rank { return mine.rank < theirs.rank }
        return segments.count > other.segments.count
    }

    /// The parts of a path as they were sent; a trailing slash makes no difference.
    static func parts(ofRawPath path: String) -> [Substring] {
        var parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        if parts.last?.isEmpty == true { parts = parts.dropLast() }
        return Array(parts)
    }

    /// Still encoded parameters when the path fits, else nil.
    func match(_ parts: [Substring]) -> [(name: String, raw: ArraySlice<Substring>)]? {
        var found: [(name: String, raw: ArraySlice<Substring>)] = []
        for (index, segment) in segments.enumerated() {
            if case .rest(let name) = segment {
                guard index < parts.count else { return nil }
                found.append((name, parts[index...]))
                return found
            }
            guard index < parts.count else { return nil }
            switch segment {
            case .literal(let text):
                guard PercentCoding.decode(parts[index]) == text else { return nil }
            case .parameter(let name), .rest(let name):
                guard !parts[index].isEmpty else { return nil }
                found.append((name, parts[index...index]))
            }
        }
        return parts.count == segments.count ? found : nil
    }

    /// Decodes a parameter once. Throws 400 for what could step out of a folder: dot segments, empty ones, an encoded slash within
    /// one segment, NUL, and bytes that are not UTF-8.
    static func decode(_ raw: ArraySlice<Substring>, isRest: Bool) throws(HTTPError) -> String {
        var decoded: [String] = []
        for part in raw {
            guard let text = PercentCoding.decode(part) else { throw HTTPError(.badRequest, "the path is not valid") }
            decoded.append(text)
        }
        let joined = decoded.joined(separator: "/")
        let pieces = joined.split(separator: "/", omittingEmptySubsequences: false)
        guard isRest || pieces.count == 1 else { throw HTTPError(.badRequest, "a name in the path holds a slash") }
        for piece in pieces where piece.isEmpty || piece == "." || piece == ".." {
            throw HTTPError(.badRequest, "the path holds an empty or dot segment")
        }
        return joined
    }
}
