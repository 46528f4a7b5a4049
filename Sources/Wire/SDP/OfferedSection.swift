/// The direction of a section (RFC 8866 section 6.7); missing means `sendrecv`.
enum MediaDirection: String {
    case sendrecv, sendonly, recvonly, inactive

    var sends: Bool { self == .sendrecv || self == .sendonly }
    var receives: Bool { self == .sendrecv || self == .recvonly }
    var mirrored: MediaDirection {
        switch self {
        case .sendonly: .recvonly
        case .recvonly: .sendonly
        case .sendrecv, .inactive: self
        }
    }
}

/// A payload type that a section offers with a codec of the table.
struct OfferedCodec {
    let payloadType: UInt8
    let codec: Codec
    let rtxPayloadType: UInt8?
    let feedback: FeedbackMessages
    /// The payload type of redundant audio data whose blocks are of this one (RFC 2198 section 5).
    let redPayloadType: UInt8?
    /// Redundant audio data stands before the codec itself: its sender would rather send that.
    let prefersRED: Bool

    /// The payload type that repairs what a viewer lost: nobody asks for retransmissions without NACK (RFC 4588 section 8.6), and
    /// redundant audio data repeats what was lost by itself.
    func repair(_ agreed: FeedbackMessages) -> UInt8? { agreed.nack && redPayloadType == nil ? rtxPayloadType : nil }
}

/// One `extmap` line.
struct OfferedExtension {
    let id: UInt8
    let direction: MediaDirection?
    let uri: HeaderExtension
}

/// Transport attributes as they stand at one level.
struct TransportAttributes {
    var ufrag: String?
    var password: String?
    var fingerprints: [Fingerprint] = []
    var hasFingerprintLine = false
    var setup: String?
    var candidates: [Candidate] = []
    var isICELite = false

    /// Takes an attribute if it is one of the transport's.
    mutating func take(_ attribute: SDPAttribute) throws(SDPError) {
        guard let value = attribute.value else {
            if attribute.name == "ice-lite" { isICELite = true }
            return
        }
        switch attribute.name {
        case "ice-ufrag": if ufrag == nil { ufrag = value }
        case "ice-pwd": if password == nil { password = value }
        case "setup": if setup == nil { setup = value }
        case "candidate": if let candidate = Candidate(attribute: value) { candidates.append(candidate) }
        case "fingerprint":
            hasFingerprintLine = true
            guard fingerprints.count < SDPLimits.fingerprints else { throw .malformed("too many fingerprints") }
            guard let fingerprint = Fingerprint(attribute: value) else { throw .malformed("an illegal fingerprint") }
            fingerprints.append(fingerprint)
        default: break
        }
    }
}

/// A media section of a peer's description, read in one pass over its attributes.
struct OfferedSection {
    let description: MediaDescription
    let kind: MediaKind?
    private(set) var mid: String?
    private(set) var direction = MediaDirection.sendrecv
    private(set) var transport = TransportAttributes()
    private(set) var codecs: [OfferedCodec] = []
    private(set) var extensions: [OfferedExtension] = []
    private(set) var allowsMixedExtensions = false
    private(set) var hasRTCPMux = false
    private(set) var hasRTCPMuxOnly = false
    private(set) var hasReducedSizeRTCP = false
    private(set) var isBundleOnly = false
    /// Distinct SSRCs in the order of their first line.
    private(set) var sources: [UInt32] = []
    private(set) var cname = ""
    /// Stream ids of `msid` lines, without `-`.
    private(set) var streamIDs: Set<String> = []
    /// The layers that it may be sent in.
    private(set) var simulcast = Simulcast()

    private var groups: [(semantics: String, ssrcs: [UInt32])] = []
    private var rtpmaps: [UInt8: String] = [:]
    private var formatParameters: [UInt8: String] = [:]
    private var feedback: [UInt8: FeedbackMessages] = [:]
    private var feedbackForAll = FeedbackMessages()
    private var extensionLines = 0
    private var extensionIDs: Set<UInt8> = []
    private var sourceSet: Set<UInt32> = []

    /// Disabled by its sender: port 0 without `bundle-only` (RFC 9143 section 6).
    var isDisabled: Bool { description.port == 0 && !isBundleOnly }

    init(_ description: MediaDescription) throws(SDPError) {
        self.description = description
        kind = description.kind
        for attribute in description.attributes {
            try transport.take(attribute)
            try take(attribute)
        }
        if kind == .audio || kind == .video { try readCodecs() }
    }

    private mutating func take(_ attribute: SDPAttribute) throws(SDPError) {
        guard let value = attribute.value else { return takeProperty(attribute.name) }
        switch attribute.name {
        case "mid": try takeMid(value)
        case "rtpmap": try takeFormat(value, into: &rtpmaps)
        case "fmtp": try takeFormat(value, into: &formatParameters)
        case "rtcp-fb": takeFeedback(value)
        case "extmap": try takeExtension(value)
        case "ssrc": try takeSource(value)
        case "ssrc-group": try takeGroup(value)
        case "rid", "simulcast": simulcast.take(attribute.name, value)
        case "msid":
            if let stream = sdpFields(value, maximum: 2).first, stream != "-", streamIDs.count < SDPLimits.sources {
                streamIDs.insert(String(stream))
            }
        default: break
        }
    }

    private mutating func takeProperty(_ name: String) {
        switch name {
        case "rtcp-mux": hasRTCPMux = true
        case "rtcp-mux-only": hasRTCPMuxOnly = true
        case "rtcp-rsize": hasReducedSizeRTCP = true
        case "bundle-only": isBundleOnly = true
        case "extmap-allow-mixed": allowsMixedExtensions = true
        default:
            if let read = MediaDirection(rawValue: name) {
                direction = read
            } else if name.utf8.starts(with: "rtcp-fb".utf8) {
                // Some senders forget the colon: "a=rtcp-fb106 nack".
                takeFeedback(name.dropFirst(7))
            }
        }
    }

    private mutating func takeMid(_ value: String) throws(SDPError) {
        guard mid == nil else { throw .malformed("a section has two mids") }
        guard isSDPToken(value) else { throw .malformed("an illegal mid") }
        mid = value
    }

    /// Reads `<payload type> <text>` of `rtpmap` and `fmtp`. Lines for formats that are no payload type are passed over.
    private func takeFormat(_ value: String, into table: inout [UInt8: String]) throws(SDPError) {
        let fields = sdpFields(value, maximum: 2)
        guard fields.count == 2, let payloadType = sdpNumber(fields[0], limit: 127) else { return }
        guard table.updateValue(String(fields[1]), forKey: UInt8(payloadType)) == nil else {
            throw .malformed("a payload type is described twice")
        }
    }

    private mutating func takeFeedback(_ value: some StringProtocol) {
        let fields = sdpFields(value, maximum: 4)
        guard let first = fields.first else { return }
        let messages = Array(fields.dropFirst())
        if first == "*" {
            feedbackForAll.insert(messages)
        } else if let payloadType = sdpNumber(first, limit: 127) {
            feedback[UInt8(payloadType), default: FeedbackMessages()].insert(messages)
        }
    }

    private mutating func takeExtension(_ value: String) throws(SDPError) {
        extensionLines += 1
        guard extensionLines <= SDPLimits.extensions else { throw .malformed("too many header extensions in a section") }
        let fields = sdpFields(value, maximum: 3)
        guard fields.count >= 2 else { throw .malformed("an illegal extmap") }
        let halves = fields[0].utf8.split(separator: UInt8(ascii: "/"), maxSplits: 1).map(Substring.init)
        // Ids from 4096 on are for offers with more extensions than ids (RFC 8285 section 7); they bind nothing.
        guard let number = halves.first.flatMap({ sdpNumber($0, limit: 4351) }), number > 0 else {
            throw .malformed("an illegal extmap id")
        }
        guard let id = UInt8(exactly: number) else { return }
        guard extensionIDs.insert(id).inserted else { throw .malformed("two header extensions share an id") }
        guard let uri = HeaderExtension(rawValue: String(fields[1])) else { return }
        guard !extensions.contains(where: { $0.uri == uri }) else { return }
        let direction = halves.count == 2 ? MediaDirection(rawValue: String(halves[1])) : nil
        extensions.append(OfferedExtension(id: id, direction: direction, uri: uri))
    }

    private mutating func takeSource(_ value: String) throws(SDPError) {
        let fields = sdpFields(value, maximum: 2)
        guard let number = fields.first.flatMap({ sdpNumber($0, limit: Int(UInt32.max)) }) else {
            throw .malformed("an illegal ssrc")
        }
        if fields.count == 2, cname.isEmpty, fields[1].utf8.starts(with: "cname:".utf8), fields[1].utf8.count <= 262 {
            cname = String(fields[1].dropFirst(6))
        }
        guard sourceSet.insert(UInt32(number)).inserted else { return }
        guard sources.count < SDPLimits.sources else { throw .malformed("too many SSRCs in a section") }
        sources.append(UInt32(number))
    }

    private mutating func takeGroup(_ value: String) throws(SDPError) {
        let fields = sdpFields(value, maximum: SDPLimits.sources + 2)
        guard fields.count >= 2, groups.count < SDPLimits.sources else { throw .malformed("an illegal ssrc-group") }
        var ssrcs: [UInt32] = []
        for field in fields.dropFirst() {
            guard let number = sdpNumber(field, limit: Int(UInt32.max)) else { throw .malformed("an illegal ssrc-group") }
            ssrcs.append(UInt32(number))
        }
        groups.append((String(fields[0]), ssrcs))
    }

    /// Resolves the formats of the `m=` line, in their order.
    private mutating func readCodecs() throws(SDPError) {
        var seen: Set<UInt8> = []
        var primaries: [(UInt8, Codec)] = []
        var repairs: [UInt8: UInt8] = [:]
        var redundancies: [UInt8: (payloadType: UInt8, isFirst: Bool)] = [:]
        for format in description.formats {
            guard let number = sdpNumber(format, limit: 127) else { continue }
            let payloadType = UInt8(number)
            guard seen.insert(payloadType).inserted else { throw .malformed("a payload type is listed twice") }
            // 64...95 cannot be told from RTCP when both share a port (RFC 5761 section 4).
            guard !(64...95).contains(payloadType) else { continue }
            let parameters = formatParameters[payloadType] ?? ""
            guard let rtpmap = rtpmaps[payloadType] else {
                if let codec = CodecRule.codec(staticPayloadType: payloadType) { primaries.append((payloadType, codec)) }
                continue
            }
            if let codec = CodecRule.codec(rtpmap: rtpmap, fmtp: parameters), codec.kind == kind {
                primaries.append((payloadType, codec))
            } else if rtpmap.lowercased().utf8.starts(with: "rtx/".utf8),
                let repaired = FormatParameters(parameters)["apt"].flatMap({ sdpNumber($0, limit: 127) }),
                repairs[UInt8(repaired)] == nil
            {
                repairs[UInt8(repaired)] = payloadType
            } else if equalIgnoringCase(rtpmap, "red/48000/2"), let repeated = Self.repeated(parameters),
                redundancies[repeated] == nil
            {
                redundancies[repeated] = (payloadType, !primaries.contains { $0.0 == repeated })
            }
        }
        codecs = primaries.map { payloadType, codec in
            let red = codec.name == "opus" ? redundancies[payloadType] : nil
            return OfferedCodec(
                payloadType: payloadType, codec: codec, rtxPayloadType: repairs[payloadType],
                feedback: feedbackForAll.union(feedback[payloadType] ?? FeedbackMessages()), redPayloadType: red?.payloadType,
                prefersRED: red?.isFirst ?? false)
        }
    }

    /// The one payload type of all blocks of redundant audio data, from `111/111`; nil when there are several or the list is long.
    private static func repeated(_ parameters: String) -> UInt8? {
        let blocks = Substring(parameters).utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map(
            Substring.init)
        guard (2...9).contains(blocks.count), let first = blocks.first.flatMap({ sdpNumber($0, limit: 127) }),
            blocks.allSatisfy({ sdpNumber($0, limit: 127) == first })
        else { return nil }
        return UInt8(first)
    }

    /// The feedback offered for a payload type.
    func feedback(_ payloadType: UInt8) -> FeedbackMessages {
        codecs.first { $0.payloadType == payloadType }?.feedback ?? FeedbackMessages()
    }

    /// The main SSRC and that of its retransmissions, as far as they are declared (RFC 4588 section 8.8).
    func primarySources() throws(SDPError) -> (ssrc: UInt32?, rtx: UInt32?) {
        let pair = groups.first { $0.semantics == "FID" && $0.ssrcs.count == 2 }?.ssrcs
        let layers = groups.first { $0.semantics == "SIM" }?.ssrcs
        let ssrc = layers?.first ?? pair?.first ?? sources.first
        let rtx = groups.first { $0.semantics == "FID" && $0.ssrcs.count == 2 && $0.ssrcs.first == ssrc }?.ssrcs.last
        guard ssrc != 0, rtx != 0, ssrc == nil || ssrc != rtx else { throw .unacceptable("an SSRC is 0 or used twice") }
        return (ssrc, rtx)
    }

    /// The ids of the wanted extensions that the peer uses in the needed direction.
    /// - Parameter earlier: what sections before it agreed on. They share one transport, on which an id has one meaning and an
    ///   extension one id (RFC 9143 section 12): what does not fit is left out.
    func extensionIDs(
        _ wanted: [HeaderExtension], weSend: Bool, allowLongIDs: Bool, besides earlier: [HeaderExtensionIDs] = []
    ) -> (ids: HeaderExtensionIDs, lines: [String]) {
        var ids = HeaderExtensionIDs()
        var lines: [String] = []
        for entry in extensions where wanted.contains(entry.uri) {
            guard entry.id <= 14 || (allowLongIDs && entry.id != 15) else { continue }
            guard earlier.allSatisfy({ $0.agrees(entry.uri, entry.id) }) else { continue }
            if let direction = entry.direction, weSend ? !direction.receives : !direction.sends { continue }
            ids[entry.uri] = entry.id
            let suffix = entry.direction.map { "/" + $0.mirrored.rawValue } ?? ""
            lines.append("\(entry.id)\(suffix) \(entry.uri.rawValue)")
        }
        return (ids, lines)
    }
}
