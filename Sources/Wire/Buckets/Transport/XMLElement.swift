/// An element of a store's XML answer, with what is inside it.
struct XMLElement: Equatable, Sendable {
    /// The local name, without a namespace prefix.
    let name: String
    /// The character data directly inside, entities decoded.
    var text = ""
    /// The elements directly inside, in order.
    var children: [XMLElement] = []

    /// The first child of this name.
    subscript(_ name: String) -> XMLElement? { children.first { $0.name == name } }

    /// The text of the first child of this name.
    func text(_ name: String) -> String? { self[name]?.text }

    /// The children of this name.
    func all(_ name: String) -> [XMLElement] { children.filter { $0.name == name } }
}

/// Why an answer is not the XML that stores write.
enum XMLError: Error, Equatable {
    /// Not well-formed, at this byte.
    case malformed(at: Int)
    /// Deeper or longer than any answer of a store.
    case tooLarge
    /// A document type or an entity of one's own: never in an answer, and a way to make readers swell.
    case forbidden
}

/// Reads the subset of XML 1.0 that stores write: elements, attributes (skipped), character data, CDATA, comments, the five entities
/// and character references. Bounded in depth and number of elements; never recurses.
struct XMLReader {
    /// Nesting that no answer has.
    static let depthMax = 16
    /// A page of 1000 objects has about 10,000.
    static let elementsMax = 60_000

    private let bytes: [UInt8]
    private var position = 0
    private var open: [XMLElement] = []
    private var count = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The root element.
    static func parse(_ bytes: [UInt8]) throws(XMLError) -> XMLElement {
        var reader = XMLReader(bytes)
        return try reader.document()
    }

    private var isAtEnd: Bool { position >= bytes.count }

    private func starts(_ text: StaticString) -> Bool {
        guard bytes.count - position >= text.utf8CodeUnitCount else { return false }
        return (0..<text.utf8CodeUnitCount).allSatisfy { bytes[position + $0] == text.utf8Start[$0] }
    }

    private func malformed() -> XMLError { .malformed(at: position) }

    private mutating func document() throws(XMLError) -> XMLElement {
        if starts("\u{FEFF}") { position += 3 }
        var root: XMLElement?
        while !isAtEnd {
            if bytes[position] != 0x3C {
                try addText(until: 0x3C)
            } else if starts("<!--") {
                try skip(past: "-->")
            } else if starts("<![CDATA[") {
                try cdata()
            } else if starts("<!") {
                throw .forbidden
            } else if starts("<?") {
                try skip(past: "?>")
            } else if starts("</") {
                if let closed = try endTag() { root = closed }
            } else {
                guard root == nil else { throw malformed() }
                if let closed = try startTag() { root = closed }
            }
        }
        guard let root, open.isEmpty else { throw malformed() }
        return root
    }

    // MARK: tags

    /// The root when it is closed by this tag.
    private mutating func startTag() throws(XMLError) -> XMLElement? {
        position += 1
        let name = try self.name()
        count += 1
        guard open.count < Self.depthMax, count <= Self.elementsMax else { throw .tooLarge }
        try skipAttributes()
        let isEmpty = starts("/>")
        guard isEmpty || starts(">") else { throw malformed() }
        position += isEmpty ? 2 : 1
        open.append(XMLElement(name: name))
        return isEmpty ? close() : nil
    }

    private mutating func endTag() throws(XMLError) -> XMLElement? {
        position += 2
        let name = try self.name()
        skipBlanks()
        guard open.last?.name == name, starts(">") else { throw malformed() }
        position += 1
        return close()
    }

    private mutating func close() -> XMLElement? {
        guard let element = open.popLast() else { return nil }
        guard let parent = open.indices.last else { return element }
        open[parent].children.append(element)
        return nil
    }

    /// The local part of a name.
    private mutating func name() throws(XMLError) -> String {
        let start = position
        while !isAtEnd, Self.isNameByte(bytes[position]) { position += 1 }
        let whole = bytes[start..<position]
        let local = whole.split(separator: 0x3A, maxSplits: 1, omittingEmptySubsequences: false).last ?? whole
        guard !local.isEmpty, let text = String(validating: local, as: UTF8.self) else { throw malformed() }
        return text
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x3A, 0x5F, 0x80...0xFF: true
        default: false
        }
    }

    private mutating func skipBlanks() {
        while !isAtEnd, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    }

    private mutating func skipAttributes() throws(XMLError) {
        while true {
            skipBlanks()
            guard !isAtEnd else { throw malformed() }
            if bytes[position] == 0x3E || bytes[position] == 0x2F { return }
            _ = try name()
            skipBlanks()
            guard starts("=") else { throw malformed() }
            position += 1
            skipBlanks()
            guard !isAtEnd, bytes[position] == 0x22 || bytes[position] == 0x27,
                let end = bytes[(position + 1)...].firstIndex(of: bytes[position])
            else { throw malformed() }
            position = end + 1
        }
    }

    private mutating func skip(past end: StaticString) throws(XMLError) {
        while !starts(end) {
            guard !isAtEnd else { throw malformed() }
            position += 1
        }
        position += end.utf8CodeUnitCount
    }

    // MARK: text

    private mutating func cdata() throws(XMLError) {
        let start = position + 9
        try skip(past: "]]>")
        try add(Array(bytes[start..<(position - 3)]))
    }

    private mutating func addText(until end: UInt8) throws(XMLError) {
        var text: [UInt8] = []
        while !isAtEnd, bytes[position] != end {
            if bytes[position] == 0x26 {
                text += try entity()
            } else {
                text.append(bytes[position])
                position += 1
            }
        }
        try add(text)
    }

    private mutating func add(_ text: [UInt8]) throws(XMLError) {
        guard let last = open.indices.last else {
            guard text.allSatisfy({ [0x20, 0x09, 0x0A, 0x0D].contains($0) }) else { throw malformed() }
            return
        }
        guard let decoded = String(validating: text, as: UTF8.self) else { throw malformed() }
        open[last].text += decoded
    }

    private mutating func entity() throws(XMLError) -> [UInt8] {
        guard let end = bytes[position...].prefix(12).firstIndex(of: 0x3B) else { throw malformed() }
        let name = String(decoding: bytes[(position + 1)..<end], as: UTF8.self)
        let scalar: UInt32?
        switch name {
        case "lt": scalar = 0x3C
        case "gt": scalar = 0x3E
        case "amp": scalar = 0x26
        case "quot": scalar = 0x22
        case "apos": scalar = 0x27
        case _ where name.hasPrefix("#x"): scalar = UInt32(name.dropFirst(2), radix: 16)
        case _ where name.hasPrefix("#"): scalar = UInt32(name.dropFirst())
        default: throw .forbidden
        }
        guard let scalar, scalar != 0, let decoded = Unicode.Scalar(scalar) else { throw malformed() }
        position = end + 1
        return Array(String(Character(decoded)).utf8)
    }
}

extension XMLElement {
    /// Text as character data of an element.
    static func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "&": out += "&amp;"
            case "\r": out += "&#13;"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
