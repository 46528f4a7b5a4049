/// The ICE user fragment and password of one side (RFC 8839 section 5.4).
public struct ICECredentials: Sendable, Hashable {
    /// 4...256 ice-chars.
    public let ufrag: String
    /// 22...256 ice-chars. A secret: never logged.
    public let password: String

    /// Takes credentials as they are; `isValid` tells whether they keep the grammar.
    public init(ufrag: String, password: String) {
        self.ufrag = ufrag
        self.password = password
    }

    /// Mints credentials from letters and digits only: some clients refuse `_` and `-`.
    ///
    /// 8 characters carry 47 bits for the demultiplexer, 24 carry 142 bits of secret (RFC 8445 section 5.3 asks for 24 and 128).
    public static func random() -> ICECredentials {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
        func text(_ count: Int) -> String {
            String(decoding: (0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] }, as: UTF8.self)
        }
        return ICECredentials(ufrag: text(8), password: text(24))
    }

    /// Lengths and characters as RFC 8839 section 5.4 has them.
    public var isValid: Bool {
        (4...256).contains(ufrag.utf8.count) && (22...256).contains(password.utf8.count)
            && ufrag.utf8.allSatisfy(Self.isICECharacter) && password.utf8.allSatisfy(Self.isICECharacter)
    }

    private static func isICECharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "+"), UInt8(ascii: "/"): true
        default: false
        }
    }
}

/// Who sends the DTLS ClientHello (RFC 8842 section 5.3).
public enum SetupRole: String, Sendable {
    case actpass, active, passive
}

/// The digest of a peer's certificate (RFC 8122 section 5).
public struct Fingerprint: Sendable, Hashable {
    /// The hash function in lower case, such as `sha-256`.
    public let algorithm: String
    /// The digest.
    public let bytes: [UInt8]

    /// Makes a fingerprint; `algorithm` in lower case.
    public init(algorithm: String, bytes: [UInt8]) {
        self.algorithm = algorithm
        self.bytes = bytes
    }

    /// Digest lengths of the hash functions that are strong enough to be taken.
    static let lengths = ["sha-256": 32, "sha-384": 48, "sha-512": 64]

    /// Reads `sha-256 AB:CD:…`; nil when it is not of that form.
    init?(attribute: String) {
        let fields = sdpFields(attribute)
        guard fields.count == 2, fields[0].utf8.count <= SDPLimits.tokenBytes else { return nil }
        var bytes: [UInt8] = []
        for pair in fields[1].utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false) {
            guard pair.count == 2, bytes.count < 64, let byte = UInt8(hexadecimal: Substring(pair)) else { return nil }
            bytes.append(byte)
        }
        let algorithm = fields[0].lowercased()
        if let length = Self.lengths[algorithm], length != bytes.count { return nil }
        self.init(algorithm: algorithm, bytes: bytes)
    }

    /// The attribute's value: upper-case hexadecimal with colons.
    public var attributeValue: String {
        let digits = Array("0123456789ABCDEF")
        return algorithm + " " + bytes.map { "\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined(separator: ":")
    }
}

extension UInt8 {
    /// Two hexadecimal digits of either case; unlike `UInt8(_:radix:)` no sign is taken.
    init?(hexadecimal text: some StringProtocol) {
        guard text.utf8.count == 2, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else {
            return nil
        }
        self.init(text, radix: 16)
    }
}

/// An ICE candidate (RFC 8839 section 5.1) as far as a lite agent looks at it.
public struct Candidate: Sendable, Hashable {
    /// A numeric IPv4 or IPv6 address; names are not taken.
    public let address: String
    /// The UDP or TCP port, not 0.
    public let port: UInt16
    /// Whether the transport is TCP.
    public let isTCP: Bool
    /// The priority; higher is better.
    public let priority: UInt32

    /// Makes a candidate; `address` has to be numeric.
    public init(address: String, port: UInt16, isTCP: Bool = false, priority: UInt32 = 0) {
        self.address = address
        self.port = port
        self.isTCP = isTCP
        self.priority = priority
    }

    /// Reads the value after `candidate:`. Nil for what we never use: names (`.local` and others), components other than 1,
    /// transports other than UDP and TCP, port 0, unspecified addresses.
    public init?(attribute: String) {
        let fields = sdpFields(attribute, maximum: 9)
        guard fields.count >= 8, sdpNumber(fields[1], limit: 256) == 1, fields[6] == "typ" else { return nil }
        let isTCP = equalIgnoringCase(fields[2], "tcp")
        guard isTCP || equalIgnoringCase(fields[2], "udp") else { return nil }
        guard let priority = sdpNumber(fields[3], limit: Int(UInt32.max)) else { return nil }
        guard let port = sdpNumber(fields[5], limit: 65535), port > 0 else { return nil }
        let address = String(fields[4])
        guard Self.isNumeric(address), address != "0.0.0.0", address != "::" else { return nil }
        self.init(address: address, port: UInt16(port), isTCP: isTCP, priority: UInt32(priority))
    }

    /// Whether the address is IPv6.
    public var isIPv6: Bool { address.utf8.contains(UInt8(ascii: ":")) }

    private static func isNumeric(_ address: String) -> Bool {
        let bytes = address.utf8
        guard !bytes.isEmpty, bytes.count <= 45 else { return false }
        if bytes.contains(UInt8(ascii: ":")) {
            return bytes.allSatisfy { byte in
                switch byte {
                case 0x30...0x3A, 0x41...0x46, 0x61...0x66, UInt8(ascii: "."): true
                default: false
                }
            }
        }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { sdpNumber(Substring($0), limit: 255) != nil }
    }

    /// `candidate` attribute values of host candidates with falling priorities: UDP before TCP, since some clients look at the first
    /// only, and IPv4 before IPv6 (RFC 8445 section 5.1.2).
    ///
    /// TCP ones are passive. Their type preference is below any of UDP's, their direction preference that of a passive host candidate
    /// (RFC 6544 section 4.2).
    static func attributeValues(of candidates: [Candidate]) -> [String] {
        let ordered = [false, true].flatMap { isTCP in
            [false, true].flatMap { isIPv6 in candidates.filter { $0.isTCP == isTCP && $0.isIPv6 == isIPv6 } }
        }
        return ordered.enumerated().map { index, candidate in
            let preference = candidate.isTCP ? UInt32(4) << 13 | UInt32(max(0, 8191 - index)) : UInt32(max(0, 65535 - index))
            let priority = UInt32(candidate.isTCP ? 90 : 126) << 24 | preference << 8 | 255
            let start = "\(index + 1) 1 \(candidate.isTCP ? "tcp" : "udp") \(priority) \(candidate.address) \(candidate.port)"
            return start + " typ host" + (candidate.isTCP ? " tcptype passive" : "")
        }
    }
}

/// What a description says about its sender's transport.
public struct RemoteTransport: Sendable, Equatable {
    /// The peer's ICE credentials.
    public let ice: ICECredentials
    /// Digests of the peer's certificate; the certificate has to match one of them.
    public let fingerprints: [Fingerprint]
    /// The peer's role as offered or answered.
    public let setup: SetupRole
    /// Candidates that could be used; empty is normal.
    public let candidates: [Candidate]
    /// Whether the peer sends no checks of its own.
    public let isICELite: Bool
    /// The peer's data channels; nil when none were agreed.
    public let dataChannels: DataChannelTerms?
}

/// What our description says about our transport.
public struct LocalTransport: Sendable {
    /// Our ICE credentials, new for every session.
    public let ice: ICECredentials
    /// The SHA-256 digest of our certificate.
    public let fingerprint: Fingerprint
    /// Our host candidates, the preferred one first.
    public let candidates: [Candidate]
    /// The session id of the `o=` line (RFC 8866 section 5.2).
    public let sessionID: UInt64

    /// Makes the local half; `sessionID` may be any number below 2^63.
    public init(
        ice: ICECredentials, fingerprint: Fingerprint, candidates: [Candidate],
        sessionID: UInt64 = .random(in: 1..<(1 << 62))
    ) {
        self.ice = ice
        self.fingerprint = fingerprint
        self.candidates = candidates
        self.sessionID = sessionID
    }

    var origin: String { "- \(sessionID) 1 IN IP4 127.0.0.1" }
}
