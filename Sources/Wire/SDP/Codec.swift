/// A codec as SDP names it (RFC 8866 section 6.6, RFC 4855).
public struct Codec: Sendable, Hashable {
    /// The encoding name in its registered spelling: `H264`, `H265`, `VP8`, `VP9`, `AV1`, `opus`, `multiopus`,
    /// `MPEG4-GENERIC`, `PCMU`, `PCMA` or `G722`.
    public let name: String
    /// RTP clock rate in Hz.
    public let clockRate: Int
    /// Audio channels; 1 for video.
    public let channels: Int
    /// The format parameters as sent, without the payload type; empty when there are none.
    public let fmtp: String

    /// Makes a codec value.
    public init(name: String, clockRate: Int, channels: Int = 1, fmtp: String = "") {
        self.name = name
        self.clockRate = clockRate
        self.channels = channels
        self.fmtp = fmtp
    }

    /// H.264 constrained baseline, non-interleaved mode: what every client can do.
    public static let h264 = Codec(
        name: "H264", clockRate: 90000, fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
    /// Opus with in-band FEC.
    public static let opus = Codec(name: "opus", clockRate: 48000, channels: 2, fmtp: "minptime=10;useinbandfec=1")

    /// The kind of media, or nil for a name that is not in the table.
    public var kind: MediaKind? { CodecRule.named(name)?.kind }

    /// The format parameter `key` in lower case, or nil.
    public func parameter(_ key: String) -> String? { FormatParameters(fmtp)[key] }

    /// What an `rtpmap` says after the payload type.
    var rtpmap: String { channels > 1 ? "\(name)/\(clockRate)/\(channels)" : "\(name)/\(clockRate)" }
}

/// Which codecs may be negotiated; names as in `Codec.name`.
public struct CodecPolicy: Sendable {
    /// Allowed names; order does not matter, the peer's order of preference is kept.
    public let names: Set<String>

    /// Allows the given names; names that are not in the table are never matched.
    public init(_ names: some Sequence<String>) { self.names = Set(names) }

    /// Every codec of the table.
    public static let all = CodecPolicy(CodecRule.table.map(\.name))
    /// Every codec of the table: what is forwarded, and recorded where recordings hold it.
    public static let standard = all
    /// H.264 and Opus.
    public static let h264AndOpus = CodecPolicy(["H264", "opus"])
}

/// `key=value;…` of an `fmtp` (RFC 8866 section 6.15); keys compare without case.
struct FormatParameters {
    private(set) var pairs: [(key: String, value: String)] = []

    init(_ text: String) {
        for part in text.utf8.split(separator: UInt8(ascii: ";")) {
            let trimmed = Self.trimmed(Substring(part))
            guard !trimmed.isEmpty else { continue }
            if let equals = trimmed.utf8.firstIndex(of: UInt8(ascii: "=")) {
                let key = Self.trimmed(trimmed[..<equals])
                let value = Self.trimmed(trimmed[trimmed.utf8.index(after: equals)...])
                pairs.append((key.lowercased(), String(value)))
            } else {
                pairs.append((trimmed.lowercased(), ""))
            }
        }
    }

    subscript(key: String) -> String? { pairs.first { $0.key == key }?.value }

    /// The pairs whose key is in `keys`, as text, in their order.
    func text(keeping keys: Set<String>) -> String {
        var seen: Set<String> = []
        let kept = pairs.filter { keys.contains($0.key) && $0.value.utf8.count <= 64 && seen.insert($0.key).inserted }
        return kept.map { "\($0.key)=\($0.value)" }.joined(separator: ";")
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var bytes = text.utf8
        while let first = bytes.first, first == 0x20 || first == 0x09 { bytes.removeFirst() }
        while let last = bytes.last, last == 0x20 || last == 0x09 { bytes.removeLast() }
        return Substring(bytes)
    }
}
