/// One `x=value` line.
struct SDPLine {
    let type: UInt8
    let value: String
}

/// Cuts bytes into SDP lines, each byte looked at a constant number of times.
///
/// CRLF and LF both end a line and the last end may be missing; a byte order mark and empty lines are passed over. A control
/// character, a bare CR included, or text that is not UTF-8 ends the reading with an error (RFC 8866 section 5 and 9).
struct LineReader {
    private let bytes: [UInt8]
    private var position = 0
    private var lines = 0
    /// Bytes visited so far, for the test that reading is linear.
    private(set) var visited = 0

    init(_ bytes: [UInt8]) throws(SDPError) {
        guard bytes.count <= SDPLimits.bytes else {
            throw .tooLarge(bytes: bytes.count, limit: SDPLimits.bytes)
        }
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    /// The next line that is not empty, or nil at the end.
    mutating func next() throws(SDPError) -> SDPLine? {
        while position < bytes.count {
            lines += 1
            guard lines <= SDPLimits.lines else { throw .malformed("more than \(SDPLimits.lines) lines") }
            let line = try takeLine()
            if line.isEmpty { continue }
            guard line.count >= 2, line[line.startIndex + 1] == UInt8(ascii: "=") else {
                throw .malformed("line \(lines) is not of the form x=value")
            }
            guard let value = String(validating: line.dropFirst(2), as: UTF8.self) else {
                throw .malformed("line \(lines) is not UTF-8")
            }
            visited += line.count
            return SDPLine(type: line[line.startIndex], value: value)
        }
        return nil
    }

    private mutating func takeLine() throws(SDPError) -> ArraySlice<UInt8> {
        let start = position
        var end = start
        while end < bytes.count, bytes[end] != UInt8(ascii: "\n") {
            let byte = bytes[end]
            let isLineEnd = byte == UInt8(ascii: "\r") && (end + 1 == bytes.count || bytes[end + 1] == UInt8(ascii: "\n"))
            guard byte >= 0x20 || byte == UInt8(ascii: "\t") || isLineEnd else {
                throw .malformed("control character in line \(lines)")
            }
            end += 1
        }
        visited += end - start + 1
        position = end + 1
        let hasCR = end > start && bytes[end - 1] == UInt8(ascii: "\r")
        return bytes[start..<(hasCR ? end - 1 : end)]
    }
}

/// Splits on single or repeated spaces.
func sdpFields(_ text: some StringProtocol, maximum: Int = .max) -> [Substring] {
    Substring(text).utf8.split(separator: UInt8(ascii: " "), maxSplits: max(0, maximum - 1)).map(Substring.init)
}

/// A plain decimal number without sign, at most `limit`; nil for anything else.
func sdpNumber(_ text: some StringProtocol, limit: Int) -> Int? {
    var value = 0
    guard !text.isEmpty else { return nil }
    for byte in text.utf8 {
        guard byte >= 0x30, byte <= 0x39 else { return nil }
        let (tens, isTooLong) = value.multipliedReportingOverflow(by: 10)
        let (next, isTooLarge) = tens.addingReportingOverflow(Int(byte - 0x30))
        guard !isTooLong, !isTooLarge, next <= limit else { return nil }
        value = next
    }
    return value
}

/// Whether all bytes are `token` characters (RFC 8866 section 9) and there are 1...`SDPLimits.tokenBytes` of them.
func isSDPToken(_ text: some StringProtocol) -> Bool {
    let bytes = text.utf8
    guard !bytes.isEmpty, bytes.count <= SDPLimits.tokenBytes else { return false }
    return bytes.allSatisfy { byte in
        switch byte {
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x30...0x39, 0x41...0x5A, 0x5E...0x7E: true
        default: false
        }
    }
}

/// Case-insensitive comparison of ASCII text.
func equalIgnoringCase(_ left: some StringProtocol, _ right: some StringProtocol) -> Bool {
    func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
    return left.utf8.count == right.utf8.count && zip(left.utf8, right.utf8).allSatisfy { lower($0) == lower($1) }
}
