/// What reads itself from JSON as it passes by.
protocol JSONReadable {
    /// Reads one value; the cursor stands behind it then.
    init(from cursor: inout JSONCursor) throws(ClusterJSONError)
}

/// Reads JSON (RFC 8259) from front to back, with no tree in between.
///
/// Only for records that come by the hundred thousand: a coordinator that starts beside a large cluster reads the streams of all of it at
/// once, and `JSONDecoder`, which makes a dictionary of each object, takes several times as long for them.
struct JSONCursor {
    private let bytes: [UInt8]
    private var place = 0
    /// How deep it stands; ends what would nest without end.
    private var depth = 0
    private static let depthMax = 64

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    // MARK: Values

    /// Hands each member's name to `member`, which reads the value or skips it.
    mutating func object(
        _ member: (_ name: String, _ cursor: inout JSONCursor) throws(ClusterJSONError) -> Void
    ) throws(ClusterJSONError) {
        try enter("{")
        guard !take("}") else { return leave() }
        repeat {
            let name = try string()
            try expect(":")
            do throws(ClusterJSONError) { try member(name, &self) } catch { throw error.inside(name) }
        } while try hasNext(before: "}")
        leave()
    }

    /// Calls `element` before each value of an array, which reads the value or skips it.
    mutating func array(
        _ element: (_ cursor: inout JSONCursor) throws(ClusterJSONError) -> Void
    ) throws(ClusterJSONError) {
        try enter("[")
        guard !take("]") else { return leave() }
        var index = 0
        repeat {
            do throws(ClusterJSONError) { try element(&self) } catch { throw error.inside("\(index)") }
            index += 1
        } while try hasNext(before: "]")
        leave()
    }

    /// A string, its escapes resolved.
    mutating func string() throws(ClusterJSONError) -> String {
        try expect("\"")
        let start = place
        while let byte = peek, byte >= 0x20 {
            if byte == UInt8(ascii: "\"") {
                guard let text = String(validating: bytes[start..<place], as: UTF8.self) else { break }
                place += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try escaped(from: start) }
            place += 1
        }
        throw malformed("a string that doesn't end, or isn't UTF-8")
    }

    /// A whole number, however it is written.
    mutating func integer() throws(ClusterJSONError) -> Int64 {
        skipSpace()
        guard let first = peek, Self.mayBegin(first) else { throw malformed("not a number") }
        let text = numberText()
        guard let number = Int64(text) ?? Double(text).flatMap({ Int64(exactly: $0) }) else {
            throw malformed("not a whole number that fits 64 bits")
        }
        return number
    }

    mutating func bool() throws(ClusterJSONError) -> Bool {
        if take(word: "true") { return true }
        if take(word: "false") { return false }
        throw malformed("neither true nor false")
    }

    /// Passes over a `null`, if one comes.
    mutating func isNull() -> Bool { take(word: "null") }

    /// Whether a string comes.
    mutating func isString() -> Bool {
        skipSpace()
        return peek == UInt8(ascii: "\"")
    }

    /// Passes over a value of any kind.
    mutating func skip() throws(ClusterJSONError) {
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): try object { _, cursor throws(ClusterJSONError) in try cursor.skip() }
        case UInt8(ascii: "["): try array { cursor throws(ClusterJSONError) in try cursor.skip() }
        case UInt8(ascii: "\""): _ = try string()
        case .some(let byte) where Self.mayBegin(byte): if Double(numberText()) == nil { throw malformed("not a number") }
        default:
            if !isNull() { _ = try bool() }
        }
    }

    /// Throws when anything but white space follows.
    mutating func finish() throws(ClusterJSONError) {
        skipSpace()
        if peek != nil { throw malformed("more behind the value") }
    }

    // MARK: Fields: a null leaves them as they are

    mutating func read(_ field: inout Int64) throws(ClusterJSONError) { if !isNull() { field = try integer() } }

    mutating func read(_ field: inout Int64?) throws(ClusterJSONError) { if !isNull() { field = try integer() } }

    mutating func read(_ field: inout Int) throws(ClusterJSONError) { if !isNull() { field = Int(try integer()) } }

    mutating func read(_ field: inout Int?) throws(ClusterJSONError) { if !isNull() { field = Int(try integer()) } }

    mutating func read(_ field: inout Bool) throws(ClusterJSONError) { if !isNull() { field = try bool() } }

    mutating func read<T: JSONReadable>(_ field: inout T) throws(ClusterJSONError) { if !isNull() { field = try T(from: &self) } }

    mutating func read<T: JSONReadable>(_ field: inout T?) throws(ClusterJSONError) {
        if !isNull() { field = try T(from: &self) }
    }

    mutating func read<T: JSONReadable>(_ field: inout [T]) throws(ClusterJSONError) {
        guard !isNull() else { return }
        var elements: [T] = []
        try array { cursor throws(ClusterJSONError) in elements.append(try T(from: &cursor)) }
        field = elements
    }

    mutating func read<T: JSONReadable>(_ field: inout [T]?) throws(ClusterJSONError) {
        guard !isNull() else { return }
        var elements: [T] = []
        try read(&elements)
        field = elements
    }

    // MARK: Bytes

    private var peek: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { place += 1 }
    }

    private mutating func take(_ sign: Unicode.Scalar) -> Bool {
        skipSpace()
        guard peek == UInt8(ascii: sign) else { return false }
        place += 1
        return true
    }

    private mutating func take(word: StaticString) -> Bool {
        skipSpace()
        let count = word.utf8CodeUnitCount
        guard bytes.count - place >= count else { return false }
        for offset in 0..<count where bytes[place + offset] != word.utf8Start[offset] { return false }
        place += count
        return true
    }

    private mutating func expect(_ sign: Unicode.Scalar) throws(ClusterJSONError) {
        if !take(sign) { throw malformed("expected \(sign)") }
    }

    private mutating func enter(_ sign: Unicode.Scalar) throws(ClusterJSONError) {
        try expect(sign)
        depth += 1
        if depth > Self.depthMax { throw malformed("nested too deep") }
    }

    private mutating func leave() { depth -= 1 }

    private mutating func hasNext(before end: Unicode.Scalar) throws(ClusterJSONError) -> Bool {
        if take(",") { return true }
        try expect(end)
        return false
    }

    private mutating func numberText() -> String {
        let start = place
        while let byte = peek, Self.isOfNumber(byte) { place += 1 }
        return String(decoding: bytes[start..<place], as: UTF8.self)
    }

    private static func mayBegin(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "-") || (0x30...0x39).contains(byte) }

    private static func isOfNumber(_ byte: UInt8) -> Bool {
        mayBegin(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E")
            || byte == UInt8(ascii: "+")
    }

    private func malformed(_ reason: String) -> ClusterJSONError {
        .malformed(path: "", reason: "\(reason), at byte \(place)")
    }

    /// A string that has escapes (RFC 8259 §7), from its first character on.
    private mutating func escaped(from start: Int) throws(ClusterJSONError) -> String {
        var text = Array(bytes[start..<place])
        while let byte = peek, byte >= 0x20 {
            place += 1
            if byte == UInt8(ascii: "\"") {
                guard let string = String(validating: text, as: UTF8.self) else { break }
                return string
            }
            if byte == UInt8(ascii: "\\") { text.append(contentsOf: try escape().utf8) } else { text.append(byte) }
        }
        throw malformed("a string that doesn't end, or isn't UTF-8")
    }

    /// What stands behind a backslash.
    private mutating func escape() throws(ClusterJSONError) -> Character {
        defer { place += 1 }
        switch peek {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return Character(try scalar())
        default: throw malformed("an unknown escape")
        }
    }

    /// Reads `u` and four digits, or two of them that are a surrogate pair; stands on the last digit then.
    private mutating func scalar() throws(ClusterJSONError) -> Unicode.Scalar {
        let first = try unit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard place + 2 < bytes.count, bytes[place + 1] == UInt8(ascii: "\\"), bytes[place + 2] == UInt8(ascii: "u") else {
            throw malformed("half a surrogate pair")
        }
        place += 2
        let second = try unit()
        guard (0xD800...0xDBFF).contains(first), (0xDC00...0xDFFF).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00))
        else { throw malformed("half a surrogate pair") }
        return scalar
    }

    private mutating func unit() throws(ClusterJSONError) -> UInt16 {
        guard place + 4 < bytes.count else { throw malformed("an escape that doesn't end") }
        var unit: UInt16 = 0
        for _ in 0..<4 {
            place += 1
            guard let digit = Character(Unicode.Scalar(bytes[place])).hexDigitValue else { throw malformed("not a hex digit") }
            unit = unit << 4 | UInt16(digit)
        }
        return unit
    }
}
