/// What a section says of layers that it sends: `a=rid` lines and the one `a=simulcast` (RFC 8851, RFC 8853).
struct Simulcast {
    private struct Restriction {
        let rid: String
        /// Payload types it is for; nil for all.
        let payloadTypes: [UInt8]?
    }

    private var restrictions: [Restriction] = []
    /// Layers in the sender's order of preference, each with its alternatives.
    private var sent: [[String]] = []

    /// Bytes of a rid; RFC 8852 section 3.1 asks for short ones, and what is longer matches no packet.
    static let ridBytesMax = 32

    /// Reads a line that belongs here. Lines that make no sense are passed over: the sender then sends one layer.
    mutating func take(_ name: String, _ value: String) {
        if name == "rid" {
            takeRID(value)
        } else if name == "simulcast", sent.isEmpty {
            takeList(value)
        }
    }

    private mutating func takeRID(_ value: String) {
        let fields = sdpFields(value, maximum: 3)
        guard fields.count >= 2, fields[1] == "send", Self.isRID(fields[0]), restrictions.count < SDPLimits.layers,
            !restrictions.contains(where: { $0.rid == fields[0] })
        else { return }
        var payloadTypes: [UInt8]?
        if fields.count == 3 {
            for pair in FormatParameters(String(fields[2])).pairs where pair.key == "pt" {
                payloadTypes = Self.split(Substring(pair.value), ",").compactMap { sdpNumber($0, limit: 127).map(UInt8.init) }
            }
        }
        restrictions.append(Restriction(rid: String(fields[0]), payloadTypes: payloadTypes))
    }

    /// `send a,~b;c recv d`: streams between semicolons, alternatives between commas, `~` for initially paused.
    private mutating func takeList(_ value: String) {
        let fields = sdpFields(value, maximum: 4)
        guard let place = fields.firstIndex(of: "send"), place + 1 < fields.count else { return }
        for stream in Self.split(fields[place + 1], ";").prefix(SDPLimits.layers) {
            let rids = Self.split(stream, ",").prefix(SDPLimits.layers).map { $0.first == "~" ? $0.dropFirst() : $0 }
            sent.append(rids.filter { Self.isRID($0) }.map(String.init))
        }
    }

    private static func split(_ text: Substring, _ separator: Unicode.Scalar) -> [Substring] {
        text.utf8.split(separator: UInt8(ascii: separator)).map(Substring.init)
    }

    private static func isRID(_ text: Substring) -> Bool {
        let isLegal = text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"): true
            default: false
            }
        }
        return isLegal && (1...ridBytesMax).contains(text.utf8.count)
    }

    /// The layers to ask for, one of each list of alternatives, in the sender's order: those that the payload type is allowed for.
    func layers(payloadType: UInt8, max: Int) -> [String] {
        var rids: [String] = []
        for alternatives in sent {
            let usable = alternatives.first { rid in
                !rids.contains(rid)
                    && restrictions.contains { $0.rid == rid && $0.payloadTypes.map { $0.contains(payloadType) } ?? true }
            }
            if let usable, rids.count < max { rids.append(usable) }
        }
        return rids
    }

    /// The answer's lines (RFC 8853 section 5.3.2).
    static func answer(_ rids: [String]) -> [SDPAttribute] {
        guard !rids.isEmpty else { return [] }
        return rids.map { SDPAttribute("rid", "\($0) recv") } + [SDPAttribute("simulcast", "recv \(rids.joined(separator: ";"))")]
    }
}
