/// A whole peer description, read: sections, bundle group and the one transport that the session will use.
struct ReadDescription {
    let sections: [OfferedSection]
    /// The mids of the BUNDLE group; nil when there is no such group.
    let bundle: [String]?
    private let session: TransportAttributes
    /// Whether `extmap-allow-mixed` stands at session level.
    let allowsMixedExtensions: Bool

    init(_ description: SessionDescription) throws(SDPError) {
        guard !description.media.isEmpty else { throw .malformed("there is no media section") }
        var session = TransportAttributes()
        var bundle: [String]?
        var mixed = false
        for attribute in description.attributes {
            try session.take(attribute)
            if attribute.name == "extmap-allow-mixed" { mixed = true }
            if attribute.name == "group", bundle == nil, let value = attribute.value {
                let fields = sdpFields(value, maximum: SDPLimits.sections + 2)
                if fields.first == "BUNDLE" { bundle = fields.dropFirst().map(String.init) }
            }
        }
        var sections: [OfferedSection] = []
        var mids: Set<String> = []
        for media in description.media {
            let section = try OfferedSection(media)
            if let mid = section.mid, !mids.insert(mid).inserted { throw .malformed("two sections share a mid") }
            sections.append(section)
        }
        self.sections = sections
        // A group may name sections that are not there (ffmpeg 8.0 does with one track); they are as good as not named.
        self.bundle = bundle?.filter { mids.contains($0) }
        self.session = session
        allowsMixedExtensions = mixed
    }

    /// Whether the section shares the session's transport when `first` is the tagged one (RFC 9143 section 7).
    func sharesTransport(_ section: OfferedSection, with first: OfferedSection) -> Bool {
        if let bundle, let mid = section.mid, let other = first.mid, bundle.contains(mid), bundle.contains(other) { return true }
        // Without a group, sections that show the same credentials still mean the same transport.
        let own = section.transport.ufrag ?? session.ufrag
        return bundle == nil && own == (first.transport.ufrag ?? session.ufrag)
    }

    /// The peer's transport: each value from the tagged section, else from an accepted one, else from session level
    /// (RFC 8839 section 5.4, RFC 8122 section 5).
    func transport(accepted: [OfferedSection], dataChannels: DataChannelTerms? = nil) throws(SDPError) -> RemoteTransport {
        let tagged = bundle?.first.flatMap { mid in sections.first { $0.mid == mid } }
        let levels = ([tagged].compactMap { $0 } + accepted).map(\.transport) + [session]
        guard let source = levels.first(where: { $0.ufrag != nil && $0.password != nil }), let ufrag = source.ufrag,
            let password = source.password
        else { throw .malformed("ice-ufrag or ice-pwd is missing") }
        let ice = ICECredentials(ufrag: ufrag, password: password)
        guard ice.isValid else { throw .malformed("ice-ufrag or ice-pwd is not legal") }
        guard let prints = levels.first(where: \.hasFingerprintLine)?.fingerprints, !prints.isEmpty else {
            throw .malformed("the fingerprint is missing")
        }
        let usable = prints.filter { Fingerprint.lengths[$0.algorithm] != nil }
        guard !usable.isEmpty else { throw .unacceptable("no fingerprint of sha-256, sha-384 or sha-512") }
        let setupText = levels.lazy.compactMap(\.setup).first ?? SetupRole.actpass.rawValue
        guard let setup = SetupRole(rawValue: setupText.lowercased()) else { throw .unacceptable("this setup role") }
        let candidates = levels.first { !$0.candidates.isEmpty }?.candidates ?? []
        return RemoteTransport(
            ice: ice, fingerprints: usable, setup: setup, candidates: candidates,
            isICELite: session.isICELite || levels.contains(where: \.isICELite), dataChannels: dataChannels)
    }

    /// Checks that cannot be left to a later layer: one SSRC may not mean two things.
    static func checkSources(_ tracks: [NegotiatedTrack]) throws(SDPError) {
        var seen: Set<UInt32> = []
        for ssrc in tracks.flatMap({ [$0.ssrc, $0.rtxSSRC] }).compactMap({ $0 }) where !seen.insert(ssrc).inserted {
            throw .unacceptable("an SSRC is used in two sections")
        }
    }
}

extension OfferedSection {
    /// What every accepted section has to bring: a WebRTC profile and RTP with RTCP on one port (RFC 5761 section 5.1.1).
    func checkUsable() throws(SDPError) {
        let profiles: Set<String> = ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "TCP/DTLS/RTP/SAVPF"]
        guard profiles.contains(description.transportProtocol) else { throw .unacceptable("media without DTLS-SRTP") }
        guard hasRTCPMux || hasRTCPMuxOnly else { throw .unacceptable("media without rtcp-mux") }
    }
}
