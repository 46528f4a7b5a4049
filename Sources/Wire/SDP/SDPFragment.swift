/// An `application/trickle-ice-sdpfrag` body (RFC 8840 section 9, RFC 9725 section 4.3).
public struct SDPFragment: Sendable, Equatable {
    /// The credentials that the candidates belong to; nil when the fragment names none.
    public let ice: ICECredentials?
    /// The fragment's user fragment alone, for senders that leave the password out.
    public let ufrag: String?
    /// Usable candidates; names, TCP-active, other components and unknown transports are left out silently.
    public let candidates: [Candidate]
    /// Whether `end-of-candidates` stands in it.
    public let endOfCandidates: Bool

    /// Reads a fragment. There may be no `m=` line at all; candidates count in the first section only.
    ///
    /// - Throws: `SDPError.malformed` or `.tooLarge`.
    public init(parsing text: String) throws(SDPError) { try self.init(parsing: Array(text.utf8)) }

    /// Reads a fragment from bytes; see `init(parsing:)` for text.
    ///
    /// - Throws: `SDPError.malformed` or `.tooLarge`.
    public init(parsing bytes: [UInt8]) throws(SDPError) {
        var reader = try LineReader(bytes)
        var sections = 0
        var candidateLines = 0
        var transport = TransportAttributes()
        var ended = false
        while let line = try reader.next() {
            switch line.type {
            case UInt8(ascii: "m"):
                sections += 1
                guard sections <= SDPLimits.sections else { throw .malformed("too many media sections") }
                _ = try MediaDescription(mediaLine: line.value)
            case UInt8(ascii: "a"):
                let halves = line.value.utf8.split(separator: UInt8(ascii: ":"), maxSplits: 1).map { String(Substring($0)) }
                guard let name = halves.first else { throw .malformed("an attribute without a name") }
                if name == "candidate" {
                    candidateLines += 1
                    guard candidateLines <= SDPLimits.candidates else { throw .malformed("too many candidates") }
                    if sections > 1 { continue }
                }
                if name == "end-of-candidates" { ended = true }
                try transport.take(SDPAttribute(name, halves.count == 2 ? halves[1] : nil))
            case UInt8(ascii: "a")...UInt8(ascii: "z"): break
            default: throw .malformed("unknown line type")
            }
        }
        ufrag = transport.ufrag
        candidates = transport.candidates
        endOfCandidates = ended
        guard let ufrag = transport.ufrag, let password = transport.password else {
            ice = nil
            return
        }
        let ice = ICECredentials(ufrag: ufrag, password: password)
        guard ice.isValid else { throw .malformed("ice-ufrag or ice-pwd is not legal") }
        self.ice = ice
    }

    /// The body that answers an ICE restart: our new credentials and all candidates (RFC 9725 section 4.3.3).
    ///
    /// - Parameters:
    ///   - kind: the kind of the tagged section.
    ///   - mid: its mid; empty leaves the line out.
    public static func restartAnswer(local: LocalTransport, kind: MediaKind, mid: String) -> String {
        var lines = ["a=ice-lite", "a=ice-options:trickle", "a=ice-ufrag:" + local.ice.ufrag, "a=ice-pwd:" + local.ice.password]
        lines.append("m=\(kind.rawValue) 9 UDP/TLS/RTP/SAVPF 0")
        if !mid.isEmpty { lines.append("a=mid:" + mid) }
        lines += Candidate.attributeValues(of: local.candidates).map { "a=candidate:" + $0 }
        lines.append("a=end-of-candidates")
        return lines.joined(separator: "\r\n") + "\r\n"
    }
}
