/// The answer to an offer that receives: WHEP's server side (draft-ietf-wish-whep section 4).
///
/// Each track of the stream goes to the first section of its kind whose codec and profile fit; other sections are rejected with
/// port 0. The format that the stream has comes first in the answer; others that the viewer offered follow, so that it can go on
/// when the publisher comes back with another codec. Video with no codec that fits makes the whole offer unacceptable: a viewer
/// that asked for it must not get a session that stays black. Sound that does not fit, such as AAC for a browser, is left out.
public struct SubscribeAnswer: Sendable {
    /// The accepted tracks, with our SSRCs and CNAME, in the order of their sections.
    public let tracks: [NegotiatedTrack]
    /// The viewer's transport.
    public let remote: RemoteTransport
    /// `.active` when the viewer waits for our ClientHello, else `.passive`.
    public let ourSetup: SetupRole
    private let writer: AnswerWriter

    private static let extensions: [HeaderExtension] = [.mid, .audioLevel, .videoOrientation]
    private static let feedback = FeedbackMessages(nack: true, pli: true, fir: true)

    /// Negotiates against what the stream has now.
    ///
    /// - Parameters:
    ///   - stream: the stream's tracks, at most one of a kind.
    ///   - others: codecs that the stream may come in later: as far as the viewer takes them, they are agreed on, too.
    ///   - lateVideo: whether video in these codecs is agreed on that the stream has not now.
    ///   - reports: whether the viewer is asked to tell what its path carries.
    ///   - dataMessageBytes: the longest message of a data channel that we take; nil rejects data channels.
    ///   - randomSSRC: yields random numbers for SSRCs, CNAME and stream id.
    /// - Throws: `SDPError.malformed` or `.unacceptable`.
    public init(
        offer: SessionDescription, stream: [SourceTrack], others: CodecPolicy = CodecPolicy([]),
        lateVideo: Bool = false, reports policy: PathReportPolicy = .layers,
        dataMessageBytes: Int? = nil,
        randomSSRC: () -> UInt32
    ) throws(SDPError) {
        let read = try ReadDescription(offer)
        let reports = policy.applies(to: stream) ? Self.pathReports(read, stream) : .none
        var identity = SendingIdentity(randomSSRC: randomSSRC)
        var open = stream
        var isLate = false
        var unplayable: [MediaKind: String] = [:]
        var answered: [AnswerSection] = []
        var accepted: [OfferedSection] = []
        var tracks: [NegotiatedTrack] = []
        for section in read.sections {
            guard let kind = section.kind, kind != .application, !section.isDisabled else {
                answered.append(AnswerSection(section, accepted: nil))
                continue
            }
            guard section.direction.receives else { throw .unacceptable("a section that does not receive") }
            let isReachable = accepted.first.map { read.sharesTransport(section, with: $0) } ?? true
            if lateVideo, !isLate, isReachable, kind == .video, !stream.contains(where: { $0.kind == kind }),
                let first = section.codecs.first(where: {
                    others.names.contains($0.codec.name) && $0.codec.distance(toSource: $0.codec) != nil
                })
            {
                isLate = true
                open.append(SourceTrack(kind: kind, codec: first.codec))
            }
            guard isReachable, let wanted = open.firstIndex(where: { $0.kind == kind }) else {
                answered.append(AnswerSection(section, accepted: nil))
                continue
            }
            guard let chosen = Self.choice(section.codecs, open[wanted].codec) else {
                unplayable[kind] = Self.obstacle(open[wanted], section.codecs)
                answered.append(AnswerSection(section, accepted: nil))
                continue
            }
            try section.checkUsable()
            var (track, lines) = Self.track(
                section, open.remove(at: wanted), chosen, others, reports,
                read.allowsMixedExtensions || section.allowsMixedExtensions, besides: tracks.map(\.extensions), &identity,
                randomSSRC)
            lines.allowsMixedExtensions = !read.allowsMixedExtensions && track.extensions.needsTwoBytes
            tracks.append(track)
            accepted.append(section)
            answered.append(AnswerSection(section, accepted: lines))
        }
        for track in tracks { unplayable[track.kind] = nil }
        if let obstacle = unplayable[.video] { throw .unacceptable(obstacle) }
        guard tracks.contains(where: { track in stream.contains { $0.kind == track.kind } }) else {
            throw .unacceptable(unplayable[.audio] ?? "nothing of the stream is asked for")
        }
        let channels = read.acceptDataChannels(messageBytes: dataMessageBytes, with: accepted.first, in: &answered)
        remote = try read.transport(accepted: accepted, dataChannels: channels)
        ourSetup = remote.setup == .passive ? .active : .passive
        self.tracks = tracks
        let hasBundle = read.bundle.map { bundle in accepted.allSatisfy { bundle.contains($0.mid ?? "") } } ?? false
        let isMixed = read.allowsMixedExtensions && tracks.contains(where: \.extensions.needsTwoBytes)
        writer = AnswerWriter(sections: answered, hasBundle: hasBundle, allowsMixedExtensions: isMixed, setup: ourSetup)
    }

    /// The whole answer with our transport in it.
    public func sdp(local: LocalTransport) -> String { writer.text(local) }

    /// Why nothing that the viewer offers plays the stream's track, and what would help.
    private static func obstacle(_ source: SourceTrack, _ offered: [OfferedCodec]) -> String {
        let (kind, codec) = (source.kind, source.codec)
        let parameters = codec.fmtp.isEmpty ? "" : " (\(codec.fmtp))"
        let isNamed = offered.contains { $0.codec.name == codec.name }
        let help =
            isNamed
            ? "the offer has other profiles or modes of it only; the publisher's encoder can be set to a lower profile"
            : "the offer has none; the publisher can send another codec"
        return "no common \(kind) codec: the stream is \(codec.name)\(parameters), and \(help)"
    }

    private static func track(
        _ section: OfferedSection, _ source: SourceTrack, _ chosen: OfferedCodec, _ others: CodecPolicy,
        _ reports: PathReports, _ allowsMixed: Bool, besides earlier: [HeaderExtensionIDs],
        _ identity: inout SendingIdentity, _ randomSSRC: () -> UInt32
    ) -> (NegotiatedTrack, AnswerSection.Accepted) {
        var agreed = chosen.feedback.intersection(feedback)
        let rtx = chosen.repair(agreed)
        // What a packet tells of its sending changes with each sending, so it must not be sent again as it was.
        let isSentOnce = !agreed.nack || rtx != nil
        let timing = isSentOnce ? reports.extensions(kind: source.kind, chosen.feedback) : []
        let alternatives = Self.alternatives(section.codecs, to: chosen, agreed, others)
        let codecs = [source.codec] + alternatives.map(\.codec)
        let (ids, extensionLines) = section.extensionIDs(
            extensions + timing + codecs.flatMap { HeaderExtension.ofCodec($0, allowsMixed: allowsMixed) }, weSend: true,
            allowLongIDs: allowsMixed, besides: earlier)
        agreed.transportCC = ids.transportCC != nil
        agreed.remb = ids.absSendTime != nil
        let ssrc = identity.nextSSRC(randomSSRC)
        let rtxSSRC = rtx.map { _ in identity.nextSSRC(randomSSRC) }
        let track = NegotiatedTrack(
            kind: source.kind, mid: section.mid ?? "", codec: chosen.codec, payloadType: chosen.payloadType,
            rtxPayloadType: rtx, redPayloadType: chosen.redPayloadType, alternatives: alternatives, ssrc: ssrc, rtxSSRC: rtxSSRC,
            extensions: ids, feedback: agreed, cname: identity.cname)
        let lines =
            extensionLines.map { SDPAttribute("extmap", $0) }
            + identity.attributes(kind: source.kind, ssrc: ssrc, rtx: rtxSSRC)
            + codecAttributes(
                chosen.codec, payloadType: chosen.payloadType, rtx: rtx,
                parameters: Self.parameters(chosen.codec, source: source.codec), feedback: agreed)
            + redundancyAttributes(chosen.redPayloadType, of: chosen.payloadType)
            + alternatives.flatMap { format in
                codecAttributes(
                    format.codec, payloadType: format.payloadType, rtx: format.rtxPayloadType,
                    parameters: Self.parameters(format.codec, source: format.codec),
                    feedback: section.feedback(format.payloadType).intersection(agreed))
                    + redundancyAttributes(format.redPayloadType, of: format.payloadType)
            }
        let others = alternatives.flatMap { [$0.payloadType, $0.rtxPayloadType, $0.redPayloadType] }
        let formats = ([chosen.payloadType, rtx, chosen.redPayloadType] + others).compactMap { $0.map(String.init) }
        return (track, AnswerSection.Accepted(formats: formats, attributes: lines, direction: .sendonly))
    }

    /// Of these the answer has to tell what is sent (RFC 3640 section 4.1), which nobody knows before it comes.
    private static let toldInAnswer: Set<String> = ["MPEG4-GENERIC", "multiopus"]

    /// What else of the offer the viewer may be sent later: at the same clock rate, since the source stays the same
    /// (RFC 3550 section 5.2), and with the same ways to ask for what was lost.
    private static func alternatives(
        _ codecs: [OfferedCodec], to chosen: OfferedCodec, _ agreed: FeedbackMessages, _ policy: CodecPolicy
    ) -> [NegotiatedFormat] {
        let fitting = codecs.filter { other in
            other.payloadType != chosen.payloadType && policy.names.contains(other.codec.name)
                && !toldInAnswer.contains(other.codec.name)
                && other.codec.clockRate == chosen.codec.clockRate && other.feedback.intersection(feedback) == agreed
                && (other.repair(agreed) == nil) == (chosen.repair(agreed) == nil)
        }
        // Each codec once before any a second time, since the list has an end.
        var named: Set<String> = []
        let firsts = fitting.filter { named.insert($0.codec.name).inserted }
        let more = fitting.filter { other in !firsts.contains { $0.payloadType == other.payloadType } }
        return (firsts + more).prefix(SDPLimits.formatsAnswered - 1).map { other in
            NegotiatedFormat(
                codec: other.codec, payloadType: other.payloadType, rtxPayloadType: other.repair(agreed),
                redPayloadType: other.redPayloadType)
        }
    }

    /// How a viewer tells what its path carries.
    private enum PathReports {
        case none
        /// Of each packet on the transport when it arrived (transport-wide congestion control).
        case arrivals
        /// A bit rate that it estimated itself (REMB).
        case estimates

        func extensions(kind: MediaKind, _ offered: FeedbackMessages) -> [HeaderExtension] {
            switch self {
            case .arrivals where offered.transportCC: [.transportCC]
            // Sound is too little to estimate by.
            case .estimates where offered.remb && kind == .video: [.absSendTime]
            case .none, .arrivals, .estimates: []
            }
        }
    }

    /// The best way that the video's section offers; all sections share one transport.
    private static func pathReports(_ read: ReadDescription, _ stream: [SourceTrack]) -> PathReports {
        for section in read.sections where section.kind == .video && !section.isDisabled {
            guard let source = stream.first(where: { $0.kind == .video }),
                let chosen = choice(section.codecs, source.codec), chosen.feedback.nack, chosen.rtxPayloadType != nil
            else { continue }
            func offers(_ uri: HeaderExtension) -> Bool {
                let allowsMixed = read.allowsMixedExtensions || section.allowsMixedExtensions
                return section.extensionIDs([uri], weSend: true, allowLongIDs: allowsMixed).ids[uri] != nil
            }
            if chosen.feedback.transportCC, offers(.transportCC) { return .arrivals }
            if chosen.feedback.remb, offers(.absSendTime) { return .estimates }
        }
        return .none
    }

    /// The closest codec of the offer; among equals the viewer's first.
    private static func choice(_ codecs: [OfferedCodec], _ source: Codec) -> OfferedCodec? {
        let distances = codecs.compactMap { offered in
            offered.codec.distance(toSource: source).map { (offered, $0) }
        }
        return distances.min { $0.1 < $1.1 }?.0
    }

    /// The viewer's own parameters; for Opus with `stereo`, without which Chrome's player mixes down (RFC 7587 section 7.1).
    private static func parameters(_ codec: Codec, source: Codec) -> String {
        let rule = CodecRule.named(codec.name)
        // These tell what is sent, which the viewer could not know, or did not ask for.
        if toldInAnswer.contains(codec.name) || codec.name == "H264" && codec.fmtp.isEmpty {
            return FormatParameters(source.fmtp).text(keeping: rule?.answered ?? [])
        }
        guard codec.name == "opus" else {
            let own = FormatParameters(codec.fmtp).text(keeping: rule?.answered ?? [])
            return [own, VideoProfile.untoldTier(codec, source: source) ?? ""].filter { !$0.isEmpty }.joined(separator: ";")
        }
        let kept = FormatParameters(codec.fmtp).text(keeping: (rule?.answered ?? []).subtracting(["stereo", "sprop-stereo"]))
        let isMono = source.parameter("sprop-stereo") == "0" || source.parameter("stereo") == "0"
        return ([kept] + (isMono ? [] : ["stereo=1", "sprop-stereo=1"])).filter { !$0.isEmpty }.joined(separator: ";")
    }
}

/// When viewers are asked for reports on their path. They cost an extension on each packet and many packets back, so it is for streams
/// that can follow what they say.
public enum PathReportPolicy: String, Sendable, Hashable, CaseIterable {
    /// For streams that come in layers.
    case layers
    /// For all streams: keyframes are paced by it, and the estimate is shown.
    case always
    /// Never: layers are chosen by losses alone.
    case never

    func applies(to stream: [SourceTrack]) -> Bool {
        switch self {
        case .layers: stream.contains(where: \.hasLayers)
        case .always: true
        case .never: false
        }
    }
}

/// What we call ourselves towards one peer: one CNAME and one stream id for all tracks, so that the peer plays them in sync
/// (RFC 8830 section 2), and SSRCs that are unique in the session.
struct SendingIdentity {
    let cname: String
    private let streamID: String
    private var used: Set<UInt32> = [0]

    init(randomSSRC: () -> UInt32) {
        func word() -> String {
            let hex = String(randomSSRC(), radix: 16)
            return String(repeating: "0", count: 8 - hex.count) + hex
        }
        cname = word() + word()
        streamID = word() + word()
    }

    /// A fresh SSRC. A generator that repeats itself is stepped past by counting up.
    mutating func nextSSRC(_ randomSSRC: () -> UInt32) -> UInt32 {
        var ssrc = randomSSRC()
        while !used.insert(ssrc).inserted { ssrc &+= 1 }
        return ssrc
    }

    /// Declares a track's source and that of its retransmissions, the primary one first: some peers take the first for the media
    /// whatever the group says.
    func attributes(kind: MediaKind, ssrc: UInt32, rtx: UInt32? = nil) -> [SDPAttribute] {
        let msid = "\(streamID) \(kind.rawValue)"
        let group = rtx.map { [SDPAttribute("ssrc-group", "FID \(ssrc) \($0)")] } ?? []
        let sources = [ssrc] + (rtx.map { [$0] } ?? [])
        return [SDPAttribute("msid", msid)] + group
            + sources.flatMap { [SDPAttribute("ssrc", "\($0) cname:\(cname)"), SDPAttribute("ssrc", "\($0) msid:\(msid)")] }
    }
}
