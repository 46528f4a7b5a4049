/// One section of an answer, before our transport is known.
struct AnswerSection {
    /// What an accepted section says of its media.
    struct Accepted {
        let formats: [String]
        let attributes: [SDPAttribute]
        /// Nil for data channels, which have neither a direction nor RTCP.
        let direction: MediaDirection?
        /// One-byte and two-byte headers may both come, which the offer allows for this section alone (RFC 8285 section 6).
        var allowsMixedExtensions = false
    }

    let media: String
    let transportProtocol: String
    let offeredFormat: String
    let mid: String?
    let hasReducedSizeRTCP: Bool
    let hasRTCPMuxOnly: Bool
    /// Nil for a rejected section.
    let accepted: Accepted?

    init(_ section: OfferedSection, accepted: Accepted?) {
        media = section.description.media
        transportProtocol = section.description.transportProtocol
        offeredFormat = section.description.formats.first ?? "0"
        mid = section.mid
        hasReducedSizeRTCP = section.hasReducedSizeRTCP
        hasRTCPMuxOnly = section.hasRTCPMuxOnly
        self.accepted = accepted
    }
}

/// Writes an answer: same sections in the same order, one transport, ICE-lite (RFC 9725 section 4.4, RFC 9143 section 7.3).
struct AnswerWriter {
    let sections: [AnswerSection]
    let hasBundle: Bool
    let allowsMixedExtensions: Bool
    let setup: SetupRole

    func text(_ local: LocalTransport) -> String {
        var attributes: [SDPAttribute] = []
        if hasBundle {
            let mids = sections.filter { $0.accepted != nil }.compactMap(\.mid)
            attributes.append(SDPAttribute("group", (["BUNDLE"] + mids).joined(separator: " ")))
        }
        if allowsMixedExtensions { attributes.append(SDPAttribute("extmap-allow-mixed")) }
        // aiortc and libwebrtc look for it at session level only.
        attributes.append(SDPAttribute("ice-lite"))
        attributes.append(SDPAttribute("ice-options", "trickle"))
        let tagged = sections.firstIndex { $0.accepted != nil }
        let media = sections.indices.map { index in
            self.media(sections[index], local, hasCandidates: hasBundle ? index == tagged : sections[index].accepted != nil)
        }
        return SessionDescription(origin: local.origin, attributes: attributes, media: media).serialized()
    }

    private func media(_ section: AnswerSection, _ local: LocalTransport, hasCandidates: Bool) -> MediaDescription {
        var attributes: [SDPAttribute] = []
        if let mid = section.mid { attributes.append(SDPAttribute("mid", mid)) }
        attributes.append(SDPAttribute("ice-ufrag", local.ice.ufrag))
        attributes.append(SDPAttribute("ice-pwd", local.ice.password))
        attributes.append(SDPAttribute("fingerprint", local.fingerprint.attributeValue))
        attributes.append(SDPAttribute("setup", setup.rawValue))
        // Clients insist on rtcp-mux in rejected sections of whatever kind.
        if let direction = section.accepted.map(\.direction) ?? .inactive {
            attributes.append(SDPAttribute(direction.rawValue))
            attributes.append(SDPAttribute("rtcp-mux"))
        }
        if section.hasRTCPMuxOnly { attributes.append(SDPAttribute("rtcp-mux-only")) }
        if section.accepted?.allowsMixedExtensions == true { attributes.append(SDPAttribute("extmap-allow-mixed")) }
        if section.hasReducedSizeRTCP { attributes.append(SDPAttribute("rtcp-rsize")) }
        attributes += section.accepted?.attributes ?? []
        if hasCandidates {
            attributes += Candidate.attributeValues(of: local.candidates).map { SDPAttribute("candidate", $0) }
            attributes.append(SDPAttribute("end-of-candidates"))
        }
        return MediaDescription(
            media: section.media, port: section.accepted == nil ? 0 : 9, transportProtocol: section.transportProtocol,
            formats: section.accepted?.formats ?? [section.offeredFormat], connection: "IN IP4 0.0.0.0",
            attributes: attributes)
    }
}

/// The `rtpmap` and `fmtp` lines of redundant audio data of a payload type (RFC 2198 section 5).
func redundancyAttributes(_ red: UInt8?, of payloadType: UInt8) -> [SDPAttribute] {
    red.map { [SDPAttribute("rtpmap", "\($0) red/48000/2"), SDPAttribute("fmtp", "\($0) \(payloadType)/\(payloadType)")] } ?? []
}

/// The `rtpmap`, `rtcp-fb` and `fmtp` lines of a payload type and its retransmissions.
func codecAttributes(
    _ codec: Codec, payloadType: UInt8, rtx: UInt8?, parameters: String, feedback: FeedbackMessages
) -> [SDPAttribute] {
    var lines = [SDPAttribute("rtpmap", "\(payloadType) \(codec.rtpmap)")]
    lines += feedback.attributeValues.map { SDPAttribute("rtcp-fb", "\(payloadType) \($0)") }
    if !parameters.isEmpty { lines.append(SDPAttribute("fmtp", "\(payloadType) \(parameters)")) }
    if let rtx {
        lines.append(SDPAttribute("rtpmap", "\(rtx) rtx/\(codec.clockRate)"))
        lines.append(SDPAttribute("fmtp", "\(rtx) apt=\(payloadType)"))
    }
    return lines
}
