extension SessionDescription {
    /// Reads a description (RFC 8866). Work grows with the bytes only; `SDPLimits` bounds everything.
    ///
    /// - Throws: `SDPError.malformed` or `.tooLarge`.
    public init(parsing text: String) throws(SDPError) {
        try self.init(parsing: Array(text.utf8))
    }

    /// Reads a description from bytes; see `init(parsing:)` for text.
    ///
    /// - Throws: `SDPError.malformed` or `.tooLarge`.
    public init(parsing bytes: [UInt8]) throws(SDPError) {
        var visited = 0
        try self.init(parsing: bytes, visited: &visited)
    }

    init(parsing bytes: [UInt8], visited: inout Int) throws(SDPError) {
        var reader = try LineReader(bytes)
        guard let first = try reader.next(), first.type == UInt8(ascii: "v"), first.value == "0" else {
            throw .malformed("does not begin with v=0")
        }
        var builder = DescriptionBuilder()
        while let line = try reader.next() { try builder.take(line) }
        visited = reader.visited
        self = try builder.finished()
    }
}

/// Collects lines into a description.
private struct DescriptionBuilder {
    private var origin: String?
    private var name: String?
    private var timing: String?
    private var attributes: [SDPAttribute] = []
    private var media: [MediaDescription] = []
    private var open: MediaDescription?
    private var candidates = 0

    mutating func take(_ line: SDPLine) throws(SDPError) {
        switch line.type {
        case UInt8(ascii: "a"): try takeAttribute(line.value)
        case UInt8(ascii: "m"): try takeMedia(line.value)
        case UInt8(ascii: "c"): if open != nil { open?.connection = line.value }
        case UInt8(ascii: "o"): try set(&origin, line.value, "o=")
        case UInt8(ascii: "s"): try set(&name, line.value, "s=")
        case UInt8(ascii: "t"): if timing == nil { timing = line.value }
        case UInt8(ascii: "v"): throw .malformed("a second v= line")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): break
        default: throw .malformed("unknown line type")
        }
    }

    private func set(_ field: inout String?, _ value: String, _ what: String) throws(SDPError) {
        guard field == nil, open == nil else { throw .malformed("a second or misplaced \(what) line") }
        field = value
    }

    private mutating func takeAttribute(_ text: String) throws(SDPError) {
        let attribute: SDPAttribute
        if let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")) {
            attribute = SDPAttribute(String(text[..<colon]), String(text[text.utf8.index(after: colon)...]))
        } else {
            attribute = SDPAttribute(text)
        }
        if attribute.name == "candidate" {
            candidates += 1
            guard candidates <= SDPLimits.candidates else { throw .malformed("more than \(SDPLimits.candidates) candidates") }
        }
        if open == nil { attributes.append(attribute) } else { open?.attributes.append(attribute) }
    }

    private mutating func takeMedia(_ text: String) throws(SDPError) {
        closeSection()
        guard media.count < SDPLimits.sections else { throw .malformed("more than \(SDPLimits.sections) media sections") }
        open = try MediaDescription(mediaLine: text)
    }

    private mutating func closeSection() {
        if let section = open { media.append(section) }
        open = nil
    }

    mutating func finished() throws(SDPError) -> SessionDescription {
        closeSection()
        guard let origin, sdpFields(origin).count == 6 else { throw .malformed("o= is missing or incomplete") }
        guard let name else { throw .malformed("s= is missing") }
        guard let timing else { throw .malformed("t= is missing") }
        return SessionDescription(
            origin: origin, sessionName: name, timing: timing, attributes: attributes, media: media)
    }
}

extension MediaDescription {
    /// Reads the value of an `m=` line.
    init(mediaLine text: String) throws(SDPError) {
        let fields = sdpFields(text, maximum: SDPLimits.formats + 4)
        guard fields.count >= 4 else { throw .malformed("an m= line has fewer than four fields") }
        guard fields.count <= SDPLimits.formats + 3 else { throw .malformed("an m= line has too many formats") }
        // The protocol has slashes, which are token characters of their own kind (RFC 8866 section 9, proto).
        let protocolParts = fields[2].utf8.split(separator: UInt8(ascii: "/")).map(Substring.init)
        let isProtocol = fields[2].utf8.count <= SDPLimits.tokenBytes && protocolParts.allSatisfy { isSDPToken($0) }
        guard isSDPToken(fields[0]), isProtocol, !protocolParts.isEmpty, fields[3...].allSatisfy({ isSDPToken($0) }) else {
            throw .malformed("an m= line has an illegal token")
        }
        let portText = fields[1].prefix { $0 != "/" }
        guard let port = sdpNumber(portText, limit: 65535) else { throw .malformed("an m= line has an illegal port") }
        self.init(
            media: String(fields[0]), port: port, transportProtocol: String(fields[2]), formats: fields[3...].map(String.init))
    }
}
