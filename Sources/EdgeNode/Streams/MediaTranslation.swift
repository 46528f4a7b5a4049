import Media
import MediaPlane
import SDP

// The media plane knows no SDP, so what was negotiated is put into its own plain values here.

extension CodecID {
    /// The codec of a negotiated name; nil for one that the media plane does not forward.
    init?(_ codec: Codec) {
        switch codec.name {
        case "H264": self = .h264
        case "H265": self = .h265
        case "VP8": self = .vp8
        case "VP9": self = .vp9
        case "AV1": self = .av1
        case "opus": self = .opus
        case "multiopus": self = .multiopus
        case "MPEG4-GENERIC": self = .aac
        case "PCMU": self = .pcmu
        case "PCMA": self = .pcma
        case "G722": self = .g722
        default: return nil
        }
    }
}

extension ExtensionIDs {
    init(_ ids: HeaderExtensionIDs) {
        self.init()
        mid = ids.mid ?? 0
        rid = ids.rid ?? 0
        repairedRid = ids.repairedRID ?? 0
        transportCC = ids.transportCC ?? 0
        absSendTime = ids.absSendTime ?? 0
        audioLevel = ids.audioLevel ?? 0
        videoOrientation = ids.videoOrientation ?? 0
        dependencyDescriptor = ids.dependencyDescriptor ?? 0
    }
}

extension FeedbackFlags {
    init(_ messages: FeedbackMessages) {
        self.init(
            nack: messages.nack, pli: messages.pli, fir: messages.fir, transportCC: messages.transportCC, remb: messages.remb)
    }
}

extension TransportSpec {
    init(local: ICECredentials, remote: RemoteTransport, ourSetup: SetupRole, askedFrom address: String? = nil) {
        self.init(
            localUfrag: local.ufrag, localPassword: local.password, remoteUfrag: remote.ice.ufrag,
            remotePassword: remote.ice.password,
            remoteFingerprints: remote.fingerprints.map { TransportSpec.Fingerprint(algorithm: $0.algorithm, bytes: $0.bytes) },
            isDTLSClient: ourSetup == .active, askedFrom: address,
            dataChannels: remote.dataChannels.map { DataChannels(port: $0.port, messageBytes: $0.messageBytes) })
    }

    /// A transport that we dial: what the other side answered to our offer.
    init(local: ICECredentials, dialing session: NegotiatedSession) {
        self.init(local: local, remote: session.remote, ourSetup: session.ourSetup)
        dialing = session.remote.candidates.filter { !$0.isTCP }.sorted { $0.priority > $1.priority }.map {
            Endpoint(address: $0.address, port: $0.port)
        }
    }
}

extension IncomingTrackSpec {
    /// What the plane is to receive: each layer of a section is a track of its own. A declared SSRC is the first layer's (OBS).
    static func tracks(_ tracks: [NegotiatedTrack]) -> [IncomingTrackSpec] {
        tracks.flatMap { track in
            (track.layers.isEmpty ? [""] : track.layers).enumerated().compactMap { index, rid in
                var spec = IncomingTrackSpec(track)
                spec?.rid = rid
                // Layers have parameter sets of their own.
                if !rid.isEmpty { spec?.parameterSets = [] }
                if index > 0 {
                    spec?.ssrc = nil
                    spec?.rtxSSRC = nil
                }
                return spec
            }
        }
    }

    private init?(_ track: NegotiatedTrack) {
        guard let codec = CodecID(track.codec) else { return nil }
        self.init(
            kind: codec.kind, codec: codec, clockRate: UInt32(track.codec.clockRate),
            channels: UInt8(clamping: track.codec.channels),
            fmtp: track.codec.fmtp, payloadType: track.payloadType, rtxPayloadType: track.rtxPayloadType,
            redPayloadType: track.redPayloadType, ssrc: track.ssrc,
            rtxSSRC: track.rtxSSRC, mid: track.mid, extensions: ExtensionIDs(track.extensions),
            feedback: FeedbackFlags(track.feedback),
            parameterSets: codec == .h264 ? ParameterSetPacket.h264(fmtp: track.codec.fmtp) ?? [] : [])
    }
}

extension OutgoingTrackSpec {
    init?(_ track: NegotiatedTrack) {
        guard let codec = CodecID(track.codec), let ssrc = track.ssrc else { return nil }
        self.init(
            kind: codec.kind, codec: codec, payloadType: track.payloadType, ssrc: ssrc, rtxPayloadType: track.rtxPayloadType,
            redPayloadType: track.redPayloadType, alternatives: track.alternatives.compactMap(OutgoingFormat.init),
            rtxSSRC: track.rtxSSRC, clockRate: UInt32(track.codec.clockRate), cname: track.cname, mid: track.mid,
            extensions: ExtensionIDs(track.extensions),
            feedback: FeedbackFlags(track.feedback))
    }
}

extension OutgoingFormat {
    init?(_ format: NegotiatedFormat) {
        guard let codec = CodecID(format.codec) else { return nil }
        self.init(
            codec: codec, payloadType: format.payloadType, rtxPayloadType: format.rtxPayloadType,
            redPayloadType: format.redPayloadType)
    }
}

extension Codec {
    /// The same codec with the profile that the stream's own parameter set shows: several encoders announce another one.
    func withH264Profile(_ profileLevelID: UInt32) -> Codec {
        guard name == "H264" else { return self }
        let digits = String(profileLevelID & 0xFF_FFFF, radix: 16)
        let profile = String(repeating: "0", count: 6 - digits.count) + digits
        let mode = parameter("packetization-mode") ?? "0"
        return Codec(
            name: name, clockRate: clockRate, channels: channels,
            fmtp: "level-asymmetry-allowed=1;packetization-mode=\(mode);profile-level-id=\(profile)")
    }
}
