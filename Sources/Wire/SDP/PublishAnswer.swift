/// The answer to an offer that sends: WHIP's server side (RFC 9725 section 4.2 to 4.4).
///
/// At most one audio and one video section are accepted, each with one payload type: a stream has one codec per kind at any
/// moment, so an answer that left the sender a choice would let it change the codec under the viewers.
/// Of a video section in several layers all are taken, up to `SDPLimits.layersAnswered` (RFC 8853 section 5.3).
public struct PublishAnswer: Sendable {
    /// The accepted tracks in the order of their sections.
    public let tracks: [NegotiatedTrack]
    /// The publisher's transport.
    public let remote: RemoteTransport
    /// `.active` when the publisher waits for our ClientHello, else `.passive`.
    public let ourSetup: SetupRole
    private let writer: AnswerWriter

    private static let extensions: [HeaderExtension] = [.mid, .transportCC, .audioLevel, .videoOrientation]
    /// What tells layers apart.
    private static let layerExtensions: [HeaderExtension] = [.rid, .repairedRID]
    private static let feedback = FeedbackMessages(nack: true, pli: true, fir: true, transportCC: true, remb: true)

    /// Negotiates; nothing of ours is in it yet.
    ///
    /// - Parameters:
    ///   - supported: the codecs that the node forwards.
    ///   - dataMessageBytes: the longest message of a data channel that we take; nil rejects data channels.
    /// - Throws: `SDPError.malformed` or `.unacceptable`.
    public init(
        offer: SessionDescription, supported: CodecPolicy = .h264AndOpus, dataMessageBytes: Int? = nil
    ) throws(SDPError) {
        let read = try ReadDescription(offer)
        var answered: [AnswerSection] = []
        var accepted: [OfferedSection] = []
        var tracks: [NegotiatedTrack] = []
        var streamIDs: Set<String> = []
        for section in read.sections {
            guard let kind = section.kind, kind != .application, !section.isDisabled else {
                answered.append(AnswerSection(section, accepted: nil))
                continue
            }
            guard section.direction.sends else { throw .unacceptable("a section that does not send") }
            guard !tracks.contains(where: { $0.kind == kind }) else { throw .unacceptable("more than one \(kind) track") }
            if let first = accepted.first, !read.sharesTransport(section, with: first) {
                throw .unacceptable("media sections that are not bundled")
            }
            try section.checkUsable()
            let longIDs = section.allowsMixedExtensions || read.allowsMixedExtensions
            var (track, lines) = try Self.track(
                section, kind, supported, allowLongIDs: longIDs, besides: tracks.map(\.extensions))
            lines.allowsMixedExtensions = section.allowsMixedExtensions && !read.allowsMixedExtensions
            tracks.append(track)
            accepted.append(section)
            answered.append(AnswerSection(section, accepted: lines))
            if !section.streamIDs.isEmpty {
                streamIDs = streamIDs.isEmpty ? section.streamIDs : streamIDs.intersection(section.streamIDs)
                guard !streamIDs.isEmpty else { throw .unacceptable("more than one media stream") }
            }
        }
        guard !tracks.isEmpty else { throw .unacceptable("nothing is sent") }
        try ReadDescription.checkSources(tracks)
        let channels = read.acceptDataChannels(messageBytes: dataMessageBytes, with: accepted.first, in: &answered)
        remote = try read.transport(accepted: accepted, dataChannels: channels)
        ourSetup = remote.setup == .passive ? .active : .passive
        self.tracks = tracks
        let hasBundle = read.bundle.map { bundle in accepted.allSatisfy { bundle.contains($0.mid ?? "") } } ?? false
        writer = AnswerWriter(
            sections: answered, hasBundle: hasBundle, allowsMixedExtensions: read.allowsMixedExtensions, setup: ourSetup)
    }

    /// The whole answer with our transport in it.
    public func sdp(local: LocalTransport) -> String { writer.text(local) }

    private static func track(
        _ section: OfferedSection, _ kind: MediaKind, _ supported: CodecPolicy, allowLongIDs: Bool,
        besides earlier: [HeaderExtensionIDs]
    ) throws(SDPError) -> (NegotiatedTrack, AnswerSection.Accepted) {
        let readable = section.codecs.filter { VideoProfile.h265Obstacle($0.codec) == nil }
        guard let chosen = choice(readable, supported) else {
            let allowed = section.codecs.filter { supported.names.contains($0.codec.name) }
            let obstacle = allowed.lazy.compactMap { VideoProfile.h265Obstacle($0.codec) }.first
            throw .unacceptable(obstacle ?? "no common \(kind) codec")
        }
        var layers: [String] = []
        if kind == .video, section.extensions.contains(where: { $0.uri == .rid }) {
            layers = section.simulcast.layers(payloadType: chosen.payloadType, max: SDPLimits.layersAnswered)
        }
        var (ids, extensionLines) = section.extensionIDs(
            extensions + HeaderExtension.ofCodec(chosen.codec, allowsMixed: allowLongIDs)
                + (layers.isEmpty ? [] : layerExtensions), weSend: false, allowLongIDs: allowLongIDs, besides: earlier)
        if ids.rid == nil { layers = [] }
        var agreed = chosen.feedback.intersection(feedback)
        // The sequence number and the feedback about it make sense together only.
        if ids.transportCC == nil || !agreed.transportCC {
            agreed.transportCC = false
            ids.transportCC = nil
            extensionLines.removeAll { $0.hasSuffix(HeaderExtension.transportCC.rawValue) }
        }
        // An estimate is for senders that know nothing better (OBS, aiortc); with both, the newer one alone.
        if agreed.transportCC { agreed.remb = false }
        let sources = try section.primarySources()
        // Of redundant audio data the newest packet repeats what was lost, so nobody asks for it again.
        let red = chosen.prefersRED ? chosen.redPayloadType : nil
        let rtx = agreed.nack && red == nil ? chosen.rtxPayloadType : nil
        let track = NegotiatedTrack(
            kind: kind, mid: section.mid ?? "", layers: layers, codec: chosen.codec, payloadType: chosen.payloadType,
            rtxPayloadType: rtx, redPayloadType: red,
            ssrc: sources.ssrc, rtxSSRC: rtx == nil ? nil : sources.rtx, extensions: ids, feedback: agreed, cname: section.cname)
        let parameters = FormatParameters(chosen.codec.fmtp).text(keeping: CodecRule.named(chosen.codec.name)?.answered ?? [])
        let lines =
            extensionLines.map { SDPAttribute("extmap", $0) } + redundancyAttributes(red, of: chosen.payloadType)
            + codecAttributes(chosen.codec, payloadType: chosen.payloadType, rtx: rtx, parameters: parameters, feedback: agreed)
            + Simulcast.answer(layers)
        return (
            track,
            AnswerSection.Accepted(
                formats: [red, chosen.payloadType, rtx].compactMap { $0.map(String.init) }, attributes: lines,
                direction: .recvonly)
        )
    }

    /// The sender's first supported codec; among several uses of it the first that may fragment, which H.264 mode 0 cannot.
    private static func choice(_ codecs: [OfferedCodec], _ supported: CodecPolicy) -> OfferedCodec? {
        guard let first = codecs.first(where: { supported.names.contains($0.codec.name) }) else { return nil }
        guard first.codec.name == "H264" else { return first }
        return codecs.first { $0.codec.name == "H264" && $0.codec.parameter("packetization-mode") == "1" } ?? first
    }
}
