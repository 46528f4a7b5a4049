/// What both sides agreed on, seen from the offering client.
public struct NegotiatedSession: Sendable {
    /// The accepted tracks: with our SSRC when publishing, with the server's declared one when subscribing.
    public let tracks: [NegotiatedTrack]
    /// The server's transport.
    public let remote: RemoteTransport
    /// Our DTLS role: `.active` unless the server answered `active`.
    public let ourSetup: SetupRole
}

/// A client's offer to send: WHIP's client side (RFC 9725 section 4.2).
public struct PublishOffer: Sendable {
    /// The offered tracks; `accept` tells which were taken.
    public let tracks: [NegotiatedTrack]
    private let identity: SendingIdentity

    /// One section per codec, bundled.
    ///
    /// - Parameters:
    ///   - extensions: the header extensions that the sender can write.
    ///   - hasRetransmission: whether video is offered a source of its own for retransmissions (RFC 4588).
    public init(
        codecs: [Codec], extensions: Set<HeaderExtension> = [.mid, .transportCC], hasRetransmission: Bool = false,
        randomSSRC: () -> UInt32
    ) {
        var identity = SendingIdentity(randomSSRC: randomSSRC)
        tracks = codecs.enumerated().map { index, codec in
            let ssrc = identity.nextSSRC(randomSSRC)
            let rtxSSRC = hasRetransmission ? identity.nextSSRC(randomSSRC) : nil
            return OfferWriter.track(
                codec, index: index, extensions: extensions, hasRetransmission: hasRetransmission, ssrc: ssrc, rtxSSRC: rtxSSRC,
                cname: identity.cname)
        }
        self.identity = identity
    }

    /// The offer's text.
    public func sdp(local: LocalTransport) -> String {
        let identity = identity
        return OfferWriter(direction: .sendonly, sections: tracks.map { [$0] }) { track in
            track.ssrc.map { identity.attributes(kind: track.kind, ssrc: $0, rtx: track.rtxSSRC) } ?? []
        }.text(local)
    }

    /// Reads the server's answer.
    ///
    /// - Throws: `SDPError.malformed`, or `.unacceptable` when the answer does not fit the offer or takes nothing.
    public func accept(answer: SessionDescription) throws(SDPError) -> NegotiatedSession {
        try AnswerReading.session(answer, offered: tracks.map { [$0] }, weSend: true)
    }
}

/// A client's offer to receive: WHEP's client side (draft-ietf-wish-whep section 4.2).
public struct SubscribeOffer: Sendable {
    private let sections: [[NegotiatedTrack]]

    /// One section for each kind among the codecs, in the order of preference given.
    ///
    /// - Parameters:
    ///   - extensions: the header extensions that the receiver reads.
    ///   - hasRetransmission: whether retransmissions are offered a payload type of their own (RFC 4588); else the same packet comes
    ///     again.
    public init(
        codecs: [Codec], extensions: Set<HeaderExtension> = [.mid, .transportCC], hasRetransmission: Bool = false
    ) {
        let all = codecs.enumerated().map { index, codec in
            OfferWriter.track(
                codec, index: index, extensions: extensions, hasRetransmission: hasRetransmission, ssrc: nil, cname: "")
        }
        let kinds = all.map(\.kind).reduce(into: [MediaKind]()) { if !$0.contains($1) { $0.append($1) } }
        sections = kinds.enumerated().map { position, kind in
            all.filter { $0.kind == kind }.map { $0.moved(toMid: String(position)) }
        }
    }

    /// The offer's text.
    public func sdp(local: LocalTransport) -> String {
        OfferWriter(direction: .recvonly, sections: sections) { _ in [] }.text(local)
    }

    /// Reads the server's answer.
    ///
    /// - Throws: `SDPError.malformed`, or `.unacceptable` when the answer does not fit the offer or takes nothing.
    public func accept(answer: SessionDescription) throws(SDPError) -> NegotiatedSession {
        try AnswerReading.session(answer, offered: sections, weSend: false)
    }
}

extension NegotiatedTrack {
    fileprivate func moved(toMid mid: String) -> NegotiatedTrack {
        NegotiatedTrack(
            kind: kind, mid: mid, codec: codec, payloadType: payloadType, rtxPayloadType: rtxPayloadType, ssrc: ssrc,
            rtxSSRC: rtxSSRC, extensions: extensions, feedback: feedback, cname: cname)
    }
}

/// Writes a client's offer.
private struct OfferWriter {
    let direction: MediaDirection
    let sections: [[NegotiatedTrack]]
    let sourceAttributes: (NegotiatedTrack) -> [SDPAttribute]

    /// The static payload types of the table; else 96 and up, and 124 and up from the seventeenth codec on; retransmissions of the first
    /// twelve, which video has to be among, 112 and up.
    static func track(
        _ codec: Codec, index: Int, extensions: Set<HeaderExtension>, hasRetransmission: Bool = false, ssrc: UInt32?,
        rtxSSRC: UInt32? = nil, cname: String
    ) -> NegotiatedTrack {
        let kind = codec.kind ?? .video
        var ids = HeaderExtensionIDs()
        ids.mid = extensions.contains(.mid) ? 1 : nil
        ids.transportCC = extensions.contains(.transportCC) ? 2 : nil
        ids.audioLevel = extensions.contains(.audioLevel) && kind == .audio ? 3 : nil
        ids.videoOrientation = extensions.contains(.videoOrientation) && kind == .video ? 4 : nil
        let isVideo = kind == .video
        ids.dependencyDescriptor = extensions.contains(.dependencyDescriptor) && isVideo ? 5 : nil
        let feedback = FeedbackMessages(
            nack: isVideo, pli: isVideo, fir: isVideo, transportCC: extensions.contains(.transportCC))
        let payloadType = CodecRule.named(codec.name)?.staticPayloadType ?? UInt8(index < 16 ? 96 + index : 124 + index % 4)
        let rtx = hasRetransmission && isVideo && index < 12 ? UInt8(112 + index) : nil
        return NegotiatedTrack(
            kind: kind, mid: String(index), codec: codec, payloadType: payloadType, rtxPayloadType: rtx, ssrc: ssrc,
            rtxSSRC: rtx == nil ? nil : rtxSSRC,
            extensions: ids, feedback: feedback, cname: cname)
    }

    func text(_ local: LocalTransport) -> String {
        let mids = sections.compactMap { $0.first?.mid }
        let attributes = [
            SDPAttribute("group", (["BUNDLE"] + mids).joined(separator: " ")), SDPAttribute("ice-options", "trickle"),
            SDPAttribute("extmap-allow-mixed"),
        ]
        return SessionDescription(
            origin: local.origin, attributes: attributes, media: sections.compactMap { media($0, local) }
        ).serialized()
    }

    private func media(_ tracks: [NegotiatedTrack], _ local: LocalTransport) -> MediaDescription? {
        guard let first = tracks.first else { return nil }
        var attributes = [
            SDPAttribute("mid", first.mid), SDPAttribute("ice-ufrag", local.ice.ufrag),
            SDPAttribute("ice-pwd", local.ice.password),
            SDPAttribute("fingerprint", local.fingerprint.attributeValue), SDPAttribute("setup", SetupRole.actpass.rawValue),
            SDPAttribute(direction.rawValue), SDPAttribute("rtcp-mux"), SDPAttribute("rtcp-rsize"),
        ]
        for which in HeaderExtension.allCases {
            if let id = first.extensions[which] { attributes.append(SDPAttribute("extmap", "\(id) \(which.rawValue)")) }
        }
        attributes += sourceAttributes(first)
        for track in tracks {
            attributes += codecAttributes(
                track.codec, payloadType: track.payloadType, rtx: track.rtxPayloadType, parameters: track.codec.fmtp,
                feedback: track.feedback)
        }
        attributes += Candidate.attributeValues(of: local.candidates).map { SDPAttribute("candidate", $0) }
        return MediaDescription(
            media: first.kind.rawValue, port: 9, transportProtocol: "UDP/TLS/RTP/SAVPF",
            formats: tracks.flatMap { [$0.payloadType, $0.rtxPayloadType] }.compactMap { $0.map(String.init) },
            connection: "IN IP4 0.0.0.0", attributes: attributes)
    }
}

/// Matches an answer with what was offered (RFC 3264 section 7).
private enum AnswerReading {
    static func session(
        _ answer: SessionDescription, offered: [[NegotiatedTrack]], weSend: Bool
    ) throws(SDPError) -> NegotiatedSession {
        let read = try ReadDescription(answer)
        guard read.sections.count == offered.count else { throw .unacceptable("the answer has other sections than the offer") }
        var tracks: [NegotiatedTrack] = []
        var accepted: [OfferedSection] = []
        for (section, choices) in zip(read.sections, offered) where !section.isDisabled {
            guard weSend ? section.direction.receives : section.direction.sends else { continue }
            try section.checkUsable()
            guard accepted.first.map({ read.sharesTransport(section, with: $0) }) ?? true else {
                throw .unacceptable("the answer is not bundled")
            }
            let track = try Self.track(section, choices, weSend: weSend)
            tracks.append(track)
            accepted.append(section)
        }
        guard !tracks.isEmpty else { throw .unacceptable("the answer takes nothing") }
        try ReadDescription.checkSources(tracks)
        let remote = try read.transport(accepted: accepted)
        return NegotiatedSession(tracks: tracks, remote: remote, ourSetup: remote.setup == .active ? .passive : .active)
    }

    private static func track(
        _ section: OfferedSection, _ choices: [NegotiatedTrack], weSend: Bool
    ) throws(SDPError) -> NegotiatedTrack {
        guard section.kind == choices.first?.kind, section.mid == nil || section.mid == choices.first?.mid else {
            throw .unacceptable("the answer has other sections than the offer")
        }
        for answered in section.codecs {
            guard
                let own = choices.first(where: { $0.payloadType == answered.payloadType && $0.codec.name == answered.codec.name })
            else { continue }
            let sources = try section.primarySources()
            let ids = section.extensionIDs(HeaderExtension.allCases, weSend: weSend, allowLongIDs: false).ids
            let rtx = answered.rtxPayloadType == own.rtxPayloadType ? own.rtxPayloadType : nil
            return NegotiatedTrack(
                kind: own.kind, mid: own.mid, codec: weSend ? own.codec : answered.codec, payloadType: own.payloadType,
                rtxPayloadType: rtx, ssrc: weSend ? own.ssrc : sources.ssrc,
                rtxSSRC: weSend ? rtx.flatMap { _ in own.rtxSSRC } : sources.rtx, extensions: ids,
                feedback: answered.feedback.intersection(own.feedback), cname: weSend ? own.cname : section.cname)
        }
        throw .unacceptable("the answer has no codec of the offer")
    }
}
