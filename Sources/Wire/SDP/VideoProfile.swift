/// Which profile, tier and level of H.265 and AV1 a receiver plays.
enum VideoProfile {
    /// The parameters of one codec.
    private struct Names {
        let profile: String
        let tier: String
        let level: String
        let profileDefault: Int
        let levelDefault: Int
    }

    /// RFC 7798 section 7.1.
    private static let h265 = Names(
        profile: "profile-id", tier: "tier-flag", level: "level-id", profileDefault: 1, levelDefault: 93)
    /// AV1 RTP payload specification, section 7.2.
    private static let av1 = Names(profile: "profile", tier: "tier", level: "level-idx", profileDefault: 0, levelDefault: 5)

    /// A Main 10 decoder plays Main, both play still pictures (H.265 annex A.3); other profiles play themselves.
    @Sendable static func h265Distance(_ offered: Codec, _ source: Codec) -> Int? {
        distance(h265, offered, source) { have, need in
            let players = [1: [1, 2], 3: [3, 1, 2]][need] ?? [need]
            return players.firstIndex(of: have)
        }
    }

    /// A higher profile decodes the lower ones (AV1 specification, annex A.2).
    @Sendable static func av1Distance(_ offered: Codec, _ source: Codec) -> Int? {
        distance(av1, offered, source) { have, need in
            guard have <= 2, need <= 2, have >= need else { return nil }
            return have - need
        }
    }

    /// Profiles count most, then tiers, then whether the level is enough.
    private static func distance(
        _ names: Names, _ offered: Codec, _ source: Codec, profiles: (_ have: Int, _ need: Int) -> Int?
    ) -> Int? {
        guard let have = value(names.profile, of: offered, else: names.profileDefault),
            let need = value(names.profile, of: source, else: names.profileDefault), let steps = profiles(have, need),
            let tier = tierSteps(names, offered, source),
            let level = value(names.level, of: offered, else: names.levelDefault),
            let needed = value(names.level, of: source, else: names.levelDefault)
        else { return nil }
        return steps * 4 + tier * 2 + (level < needed ? 1 : 0)
    }

    /// The high tier plays the main one at the same level. Who names no tier takes what comes, as the answer tells it.
    private static func tierSteps(_ names: Names, _ offered: Codec, _ source: Codec) -> Int? {
        guard let need = value(names.tier, of: source, else: 0), need <= 1 else { return nil }
        guard offered.parameter(names.tier) != nil else { return 0 }
        guard let have = value(names.tier, of: offered, else: 0), have <= 1, have >= need else { return nil }
        return have - need
    }

    /// The tier that an answer has to tell to a receiver that named none; nil when there is nothing to tell.
    static func untoldTier(_ offered: Codec, source: Codec) -> String? {
        guard let names = ["H265": h265, "AV1": av1][offered.name], offered.parameter(names.tier) == nil,
            let tier = source.parameter(names.tier), tier == "1"
        else { return nil }
        return "\(names.tier)=\(tier)"
    }

    private static func value(_ key: String, of codec: Codec, else value: Int) -> Int? {
        guard let text = codec.parameter(key) else { return value }
        return sdpNumber(text, limit: 255)
    }

    /// Why H.265 as it is offered cannot be taken; nil when it can. With decoding order numbers in the packets, or several streams for
    /// one picture, every reader would need to put units in order first (RFC 7798 section 4.4.1, 7.1).
    static func h265Obstacle(_ codec: Codec) -> String? {
        guard codec.name == "H265" else { return nil }
        for key in ["sprop-max-don-diff", "sprop-depack-buf-nalus"] {
            if let text = codec.parameter(key), sdpNumber(text, limit: 32767) != 0 { return "H265 with \(key) other than 0" }
        }
        if let mode = codec.parameter("tx-mode"), !equalIgnoringCase(mode, "SRST") { return "H265 with tx-mode other than SRST" }
        return nil
    }
}
