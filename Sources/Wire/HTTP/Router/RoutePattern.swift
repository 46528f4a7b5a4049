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

    /// The parts of a path, each decoded once, nil where that can't be done; a trailing slash makes no difference.
    static func parts(ofRawPath path: String) -> [String?] {
        var parts: [String?] = []
        parts.reserveCapacity(12)
        var start = path.utf8.startIndex
        while let slash = path.utf8[start...].firstIndex(of: 0x2F) {
            parts.append(PercentCoding.decode(path[start..<slash]))
            start = path.utf8.index(after: slash)
        }
        if start != path.endIndex || parts.isEmpty { parts.append(PercentCoding.decode(path[start...])) }
        // What stands before the first slash is no part.
        return Array(parts.dropFirst())
    }

    /// The places of the parameters among the parts of a path that fits, else nil.
    func match(_ parts: [String?]) -> [(name: String, place: Range<Int>)]? {
        var found: [(name: String, place: Range<Int>)] = []
        for (index, segment) in segments.enumerated() {
            guard index < parts.count else { return nil }
            switch segment {
            case .literal(let text):
                guard parts[index] == text else { return nil }
            case .parameter(let name):
                guard parts[index] != "" else { return nil }
                found.append((name, index..<index + 1))
            case .rest(let name):
                found.append((name, index..<parts.count))
                return found
            }
        }
        return parts.count == segments.count ? found : nil
    }

    /// The value of a parameter. Throws 400 for what could step out of a folder: dot segments, empty ones, an encoded slash within
    /// one segment, NUL, and bytes that are not UTF-8.
    static func value(_ parts: ArraySlice<String?>, isRest: Bool) throws(HTTPError) -> String {
        var joined = ""
        for part in parts {
            guard let part else { throw HTTPError(.badRequest, "the path is not valid") }
            if !joined.isEmpty || part.isEmpty { joined += "/" }
            joined += part
        }
        guard isRest || !joined.utf8.contains(0x2F) else { throw HTTPError(.badRequest, "a name in the path holds a slash") }
        guard !hasDotSegment(joined.utf8) else {
            throw HTTPError(.badRequest, "the path holds an empty or dot segment")
        }
        return joined
    }

    /// Whether a piece between slashes is empty, `.` or `..`.
    private static func hasDotSegment(_ path: String.UTF8View) -> Bool {
        var (count, dots) = (0, 0)
        for byte in path {
            if byte == 0x2F {
                if count == dots, count <= 2 { return true }
                (count, dots) = (0, 0)
            } else {
                count += 1
                if byte == 0x2E { dots += 1 }
            }
        }
        return count == dots && count <= 2
    }
}
