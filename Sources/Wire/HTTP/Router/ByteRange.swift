/// The `Range` header for a body of known size (RFC 9110 section 14).
public enum ByteRange: Sendable, Equatable {
    /// No usable `Range`: send all of it with 200. Several ranges and unknown units mean this too.
    case whole
    /// One range to send with 206: first byte and end (one past the last).
    case part(Range<Int64>)
    /// 416 with `Content-Range: bytes */size`.
    case unsatisfiable

    /// - Parameters:
    ///   - header: the value of `Range`, nil when there is none.
    ///   - size: the size of the whole body in bytes.
    public init(_ header: String?, size: Int64) {
        guard let header, header.lowercased().hasPrefix("bytes=") else { self = .whole; return }
        let spec = trimBlanks(header.dropFirst(6))
        let sides = spec.split(separator: "-", omittingEmptySubsequences: false)
        guard !spec.contains(","), sides.count == 2 else { self = .whole; return }
        let (first, last) = (trimBlanks(sides[0]), trimBlanks(sides[1]))
        if first.isEmpty {
            guard let suffix = Self.number(last) else { self = .whole; return }
            self = suffix > 0 && size > 0 ? .part(max(0, size - suffix)..<size) : .unsatisfiable
            return
        }
        guard let start = Self.number(first) else { self = .whole; return }
        guard let end = last.isEmpty ? Int64.max : Self.number(last), end >= start else { self = .whole; return }
        self = start < size ? .part(start..<(min(end, size - 1) + 1)) : .unsatisfiable
    }

    /// Digits only; what overflows counts as very large.
    private static func number(_ text: String) -> Int64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(text) ?? Int64.max
    }
}
