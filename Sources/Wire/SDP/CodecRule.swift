/// One row of the codec table: how a name is recognised, what of its parameters is answered, and when two uses of it fit.
struct CodecRule: Sendable {
    let name: String
    let kind: MediaKind
    /// Hz; nil for what the sound has.
    let clockRate: Int?
    let channels: ClosedRange<Int>
    /// The payload type that needs no `rtpmap` (RFC 3551 section 6).
    let staticPayloadType: UInt8?
    /// Parameters that an answer repeats; others describe the sender only or are unknown to us.
    let answered: Set<String>
    /// How well a receiver that offers the left can play a source of the right; nil when it cannot, 0 when they are the same.
    let distance: @Sendable (_ offered: Codec, _ source: Codec) -> Int?

    static let table: [CodecRule] = [
        CodecRule(
            name: "H264", kind: .video, clockRate: 90000, channels: 1...1, staticPayloadType: nil,
            answered: ["level-asymmetry-allowed", "packetization-mode", "profile-level-id"], distance: H264Profile.distance),
        CodecRule(
            name: "H265", kind: .video, clockRate: 90000, channels: 1...1, staticPayloadType: nil,
            answered: ["level-id", "profile-id", "tier-flag", "tx-mode"], distance: VideoProfile.h265Distance),
        CodecRule(
            name: "VP8", kind: .video, clockRate: 90000, channels: 1...1, staticPayloadType: nil, answered: [],
            distance: { _, _ in 0 }),
        CodecRule(
            name: "VP9", kind: .video, clockRate: 90000, channels: 1...1, staticPayloadType: nil, answered: ["profile-id"],
            distance: { sameParameter("profile-id", default: "0", $0, $1) }),
        CodecRule(
            name: "AV1", kind: .video, clockRate: 90000, channels: 1...1, staticPayloadType: nil,
            answered: ["level-idx", "profile", "tier"], distance: VideoProfile.av1Distance),
        CodecRule(
            name: "opus", kind: .audio, clockRate: 48000, channels: 2...2, staticPayloadType: nil,
            answered: [
                "cbr", "maxaveragebitrate", "maxplaybackrate", "maxptime", "minptime", "ptime", "sprop-stereo", "stereo",
                "usedtx", "useinbandfec",
            ], distance: { _, _ in 0 }),
        // Opus of several streams: Chrome's name for it, with what RFC 7845 5.1.1 says in a file's header.
        CodecRule(
            name: "multiopus", kind: .audio, clockRate: 48000, channels: 1...8, staticPayloadType: nil,
            answered: layout.union(["maxaveragebitrate", "maxptime", "minptime", "ptime", "usedtx", "useinbandfec"]),
            distance: { unlessOther(layout, $0, $1) }),
        CodecRule(
            name: "MPEG4-GENERIC", kind: .audio, clockRate: nil, channels: 1...8, staticPayloadType: nil,
            answered: [
                "config", "indexdeltalength", "indexlength", "mode", "profile-level-id", "sizelength", "streamtype",
            ], distance: { unlessOther(["config", "mode"], $0, $1) }),
        CodecRule(
            name: "PCMU", kind: .audio, clockRate: 8000, channels: 1...1, staticPayloadType: 0, answered: [],
            distance: { _, _ in 0 }),
        CodecRule(
            name: "PCMA", kind: .audio, clockRate: 8000, channels: 1...1, staticPayloadType: 8, answered: [],
            distance: { _, _ in 0 }),
        CodecRule(
            name: "G722", kind: .audio, clockRate: 8000, channels: 1...1, staticPayloadType: 9, answered: [],
            distance: { _, _ in 0 }),
    ]

    private static let layout: Set<String> = ["channel_mapping", "coupled_streams", "num_streams"]

    static func named(_ name: some StringProtocol) -> CodecRule? { table.first { equalIgnoringCase($0.name, name) } }

    /// The codec that an `rtpmap` value and its `fmtp` mean, when the table has it with this clock and these channels.
    static func codec(rtpmap: some StringProtocol, fmtp: String) -> Codec? {
        let parts = Substring(rtpmap).utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map(
            Substring.init)
        guard parts.count == 2 || parts.count == 3, let rule = named(parts[0]) else { return nil }
        guard let rate = sdpNumber(parts[1], limit: 1_000_000),
            rule.clockRate.map({ $0 == rate }) ?? Self.soundRates.contains(rate)
        else { return nil }
        guard let channels = parts.count == 3 ? sdpNumber(parts[2], limit: 255) : 1, rule.channels.contains(channels) else {
            return nil
        }
        return Codec(name: rule.name, clockRate: rate, channels: channels, fmtp: fmtp)
    }

    /// The codec that a static payload type means without an `rtpmap`.
    static func codec(staticPayloadType: UInt8) -> Codec? {
        guard let rule = table.first(where: { $0.staticPayloadType == staticPayloadType }), let rate = rule.clockRate else {
            return nil
        }
        return Codec(name: rule.name, clockRate: rate, channels: rule.channels.lowerBound)
    }

    /// The sampling rates of ISO/IEC 14496-3, in Hz.
    private static let soundRates = 7350...96_000

    /// The distance between an offered codec and the one of the source; nil when the offered one cannot play it.
    static func distance(offered: Codec, source: Codec) -> Int? {
        guard offered.name == source.name, offered.clockRate == source.clockRate, offered.channels == source.channels else {
            return nil
        }
        return named(offered.name)?.distance(offered, source)
    }

    private static func sameParameter(_ key: String, default value: String, _ offered: Codec, _ source: Codec) -> Int? {
        (offered.parameter(key) ?? value) == (source.parameter(key) ?? value) ? 0 : nil
    }

    /// Nil when a parameter that both name differs. A receiver that names none takes what comes, as the answer tells it.
    private static func unlessOther(_ keys: Set<String>, _ offered: Codec, _ source: Codec) -> Int? {
        let differs = keys.contains { key in
            guard let have = offered.parameter(key), let need = source.parameter(key) else { return false }
            return !equalIgnoringCase(have, need)
        }
        return differs ? nil : 0
    }
}

extension Codec {
    /// How far this codec, offered by a receiver, is from `source`: 0 the same, more a superset that plays it too, nil unplayable.
    ///
    /// H.264 compares profile and packetization mode, never the level (RFC 6184 section 8.2.2); VP9 compares
    /// profiles, H.265 and AV1 profiles and tiers. A level that a receiver names never excludes: browsers name the lowest and play more.
    public func distance(toSource source: Codec) -> Int? { CodecRule.distance(offered: self, source: source) }

    /// Whether a receiver that offers this codec says that it plays `source`, and not only probably does.
    public func fits(_ source: Codec) -> Bool { distance(toSource: source).map { $0 < H264Profile.guessDistance } ?? false }
}

/// The profile part of `profile-level-id` (RFC 6184 section 8.1).
enum H264Profile: Equatable {
    case constrainedBaseline, baseline, main, constrainedHigh, high, high10, high422, high444
    case other(idc: UInt8, constraints: UInt8)

    /// Missing means 42000a. Seven digits, as some encoders print them, have the surplus digit in the level.
    init(profileLevelID text: String?) {
        let digits = Array((text ?? "").utf8)
        guard digits.count == 6 || digits.count == 7, digits.allSatisfy(Self.isHexadecimal),
            let idc = UInt8(hexadecimal: String(decoding: digits[0..<2], as: UTF8.self)),
            let constraints = UInt8(hexadecimal: String(decoding: digits[2..<4], as: UTF8.self))
        else {
            self = .baseline
            return
        }
        self.init(idc: idc, constraints: constraints)
    }

    /// From the two bytes as a sequence parameter set carries them (RFC 6184 table 5).
    init(idc: UInt8, constraints: UInt8) {
        switch idc {
        case 0x42: self = constraints & 0x40 != 0 ? .constrainedBaseline : .baseline
        case 0x4D: self = constraints & 0x80 != 0 ? .constrainedBaseline : .main
        case 0x58: self = constraints & 0xC0 == 0xC0 ? .constrainedBaseline : .baseline
        case 0x64: self = constraints & 0x0C == 0x0C ? .constrainedHigh : .high
        case 0x6E: self = .high10
        case 0x7A: self = .high422
        case 0xF4: self = .high444
        default: self = .other(idc: idc, constraints: constraints)
        }
    }

    /// Profiles that play a stream of this one, the closest first.
    ///
    /// Encoders for real-time use neither the slice groups that divide Baseline from Main nor interlacing and B frames that divide
    /// the constrained profiles from the full ones, so these are taken for each other after the exact one. Those with more bits or colour
    /// come last: whoever has them plays all that is below them (ITU-T H.264 A.2.5 to A.2.7), and a browser without a decoder in hardware
    /// names none between Main and High 4:4:4 Predictive.
    private var players: [H264Profile] {
        switch self {
        case .constrainedBaseline: [.constrainedBaseline, .baseline, .main, .constrainedHigh, .high, .high10, .high422, .high444]
        case .baseline: [.baseline, .constrainedBaseline, .main, .constrainedHigh, .high, .high10, .high422, .high444]
        case .main: [.main, .high, .constrainedHigh, .high10, .high422, .high444]
        case .constrainedHigh: [.constrainedHigh, .high, .high10, .high422, .high444]
        case .high: [.high, .constrainedHigh, .high10, .high422, .high444]
        case .high10: [.high10, .high422, .high444]
        case .high422: [.high422, .high444]
        case .high444: [.high444]
        case .other: [self]
        }
    }

    /// Profiles with less than a stream of this one has, the closest first. Clients with one decoder for all of them name Baseline alone
    /// (aiortc, Firefox with OpenH264) and mostly play Main and High, which is what encoders make unless told otherwise (OBS). By the letter
    /// they would be refused; more bits or colour they don't play.
    private var guesses: [H264Profile] {
        switch self {
        case .main: [.constrainedBaseline, .baseline]
        case .constrainedHigh, .high: [.main, .constrainedBaseline, .baseline]
        default: []
        }
    }

    @Sendable static func distance(offered: Codec, source: Codec) -> Int? {
        // By the letter no parameters mean Baseline in single units. Who writes none (GStreamer) decodes whatever comes, so it is the
        // last choice and not none; the answer tells what is sent.
        guard !offered.fmtp.isEmpty else { return unnamedDistance }
        let have = offered.parameter("packetization-mode") ?? "0"
        let need = source.parameter("packetization-mode") ?? "0"
        guard have == need || (have == "1" && need == "0") else { return nil }
        let profile = H264Profile(profileLevelID: source.parameter("profile-level-id"))
        let player = H264Profile(profileLevelID: offered.parameter("profile-level-id"))
        let modes = have == need ? 0 : modeDistance
        if let steps = profile.players.firstIndex(of: player) { return steps + modes }
        return profile.guesses.firstIndex(of: player).map { guessDistance + $0 + modes }
    }

    private static let modeDistance = 8
    /// Farther than any profile and mode that fit.
    private static let unnamedDistance = 16
    /// Farther than all that fit.
    static let guessDistance = 24

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }
}
