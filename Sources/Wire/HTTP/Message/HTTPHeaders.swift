/// Header fields in their order; names compare without case (RFC 9110 section 5.1).
public struct HTTPHeaders: Sendable, Equatable, Sequence, ExpressibleByDictionaryLiteral, CustomStringConvertible {
    /// One field line.
    public struct Field: Sendable, Equatable {
        /// The name as it was written.
        public let name: String
        /// The value without surrounding blanks.
        public let value: String
    }

    private var fields: [Field] = []

    /// No fields.
    public init() {}

    /// Fields in the order of the literal; a name may repeat.
    public init(dictionaryLiteral elements: (String, String)...) {
        // Most answers get some more on their way.
        fields.reserveCapacity(elements.count + 6)
        for element in elements { fields.append(Field(name: element.0, value: element.1)) }
    }

    /// Makes room for so many field lines.
    mutating func reserve(_ count: Int) { fields.reserveCapacity(count) }

    /// The number of field lines.
    public var count: Int { fields.count }

    /// The first value of `name`; setting replaces all of that name, and nil removes them.
    public subscript(_ name: String) -> String? {
        get { fields.first { Self.same($0.name, name) }?.value }
        set {
            fields.removeAll { Self.same($0.name, name) }
            if let newValue { fields.append(Field(name: name, value: newValue)) }
        }
    }

    /// Adds a field line unless one of that name is there.
    mutating func complete(_ name: String, _ value: @autoclosure () -> String) {
        if self[name] == nil { add(name, value()) }
    }

    /// Every value of `name`, one for each field line.
    public func all(_ name: String) -> [String] {
        fields.compactMap { Self.same($0.name, name) ? $0.value : nil }
    }

    /// Appends a field line and keeps those of the same name.
    public mutating func add(_ name: String, _ value: String) {
        fields.append(Field(name: name, value: value))
    }

    /// The members of a comma-separated list field over all its lines, trimmed, without empty ones (RFC 9110 section 5.6.1).
    /// Not for fields whose members may hold quoted commas.
    public func list(_ name: String) -> [String] {
        all(name).flatMap { $0.split(separator: ",") }.map { trimBlanks($0) }.filter { !$0.isEmpty }
    }

    /// The media type of `Content-Type` in lower case without parameters, or nil.
    public var mediaType: String? {
        guard let value = self["Content-Type"] else { return nil }
        return trimBlanks(value.prefix { $0 != ";" }).lowercased()
    }

    /// Iterates over the field lines in order.
    public func makeIterator() -> IndexingIterator<[Field]> { fields.makeIterator() }

    /// The fields as lines, for logs of tests; it would show credentials, so never log a request's.
    public var description: String { fields.map { "\($0.name): \($0.value)" }.joined(separator: "\n") }

    /// ASCII comparison without case.
    static func same(_ left: String, _ right: String) -> Bool {
        guard left.utf8.count == right.utf8.count else { return false }
        if left == right { return true }
        var (lefts, rights) = (left.utf8.makeIterator(), right.utf8.makeIterator())
        while let one = lefts.next(), let other = rights.next() {
            if lowered(one) != lowered(other) { return false }
        }
        return true
    }

    private static func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}

/// `text` without spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
func trimBlanks(_ text: some StringProtocol) -> String {
    String(decoding: trimBlanks(Array(text.utf8)), as: UTF8.self)
}

/// `bytes` without spaces and tabs at both ends.
func trimBlanks<Bytes: BidirectionalCollection<UInt8>>(_ bytes: Bytes) -> Bytes.SubSequence {
    guard let first = bytes.firstIndex(where: { !isBlank($0) }), let last = bytes.lastIndex(where: { !isBlank($0) }) else {
        return bytes[bytes.endIndex...]
    }
    return bytes[first...last]
}

private func isBlank(_ unit: UInt8) -> Bool { unit == 0x20 || unit == 0x09 }
