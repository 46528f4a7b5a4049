/// What one node offers another, so that the stream passes through unchanged.
extension SubscribeOffer {
    /// Asks for a stream in whatever form it has: each codec of the policy with every profile that sources use.
    ///
    /// One server answers with the form that is closest to the source, so a superset in the list does no harm.
    public static func relay(_ policy: CodecPolicy = .standard) -> SubscribeOffer {
        SubscribeOffer(
            codecs: relayed.filter { policy.names.contains($0.name) }, extensions: relayedExtensions.union([.transportCC]),
            hasRetransmission: true)
    }

    /// Header extensions that are handed on, or are read where they arrive.
    fileprivate static let relayedExtensions: Set<HeaderExtension> = [
        .mid, .audioLevel, .videoOrientation, .dependencyDescriptor,
    ]

    /// Video among the first twelve, so that each has a payload type for retransmissions.
    private static let relayed: [Codec] =
        ["42e01f", "42001f", "4d001f", "640c1f", "64001f"].map { h264(profile: $0) } + [
            Codec(name: "H265", clockRate: 90000, fmtp: "profile-id=1"),
            Codec(name: "H265", clockRate: 90000, fmtp: "profile-id=2"),
            Codec(name: "VP8", clockRate: 90000),
            Codec(name: "VP9", clockRate: 90000, fmtp: "profile-id=0"),
            Codec(name: "VP9", clockRate: 90000, fmtp: "profile-id=2"),
            Codec(name: "AV1", clockRate: 90000, fmtp: "profile=0"),
            Codec(name: "AV1", clockRate: 90000, fmtp: "profile=1"),
            Codec(name: "opus", clockRate: 48000, channels: 2, fmtp: "minptime=10;stereo=1;useinbandfec=1"),
            multiopus(channels: 6, mapping: "0,4,1,2,3,5", streams: 4, coupled: 2),
            multiopus(channels: 8, mapping: "0,6,1,2,3,4,5,7", streams: 5, coupled: 3),
            aac(44_100, 2), aac(48_000, 2), aac(44_100, 1), aac(48_000, 1),
            Codec(name: "PCMU", clockRate: 8000), Codec(name: "PCMA", clockRate: 8000), Codec(name: "G722", clockRate: 8000),
        ]

    private static func multiopus(channels: Int, mapping: String, streams: Int, coupled: Int) -> Codec {
        Codec(
            name: "multiopus", clockRate: 48000, channels: channels,
            fmtp: "channel_mapping=\(mapping);coupled_streams=\(coupled);minptime=10;num_streams=\(streams);useinbandfec=1")
    }

    /// The answer says which configuration.
    private static func aac(_ clockRate: Int, _ channels: Int) -> Codec {
        Codec(
            name: "MPEG4-GENERIC", clockRate: clockRate, channels: channels,
            fmtp: "indexdeltalength=3;indexlength=3;mode=AAC-hbr;sizelength=13;streamtype=5")
    }

    private static func h264(profile: String) -> Codec {
        Codec(
            name: "H264", clockRate: 90000, fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=\(profile)")
    }
}

extension PublishOffer {
    /// Offers the tracks of a stream as they are. There is no transport sequence number: what the path to another node carries isn't asked.
    public static func relay(_ tracks: [SourceTrack], randomSSRC: () -> UInt32) -> PublishOffer {
        PublishOffer(
            codecs: tracks.map(\.codec), extensions: SubscribeOffer.relayedExtensions, hasRetransmission: true,
            randomSSRC: randomSSRC)
    }
}
