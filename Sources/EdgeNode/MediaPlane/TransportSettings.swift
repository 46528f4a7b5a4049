/// Which side of ICE we are (RFC 8445 sections 2.5 and 6.1.1).
package enum ICERole: Sendable, Equatable {
    /// Ice-lite, always controlled: answers checks and never starts one, except to prove a new path.
    case lite
    /// Full agent that checks the given remote candidates and nominates.
    case controlling
    /// Full agent that checks and follows the peer's nominations; a controlling one becomes it when it loses a role conflict.
    case controlled
}

/// Which side of the DTLS handshake we are (RFC 5763 section 5).
package enum DTLSRole: Sendable, Equatable {
    case client
    case server
}

/// SRTP protection profiles in our order of preference (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
package enum SRTPProfile: UInt16, Sendable, CaseIterable {
    case aeadAES128GCM = 0x0007
    case aes128CMSHA1_80 = 0x0001

    /// OpenSSL's name of the profile.
    var name: String {
        switch self {
        case .aeadAES128GCM: "SRTP_AEAD_AES_128_GCM"
        case .aes128CMSHA1_80: "SRTP_AES128_CM_SHA1_80"
        }
    }
}

/// A peer certificate's digest as signalled (RFC 8122 section 5).
package struct PeerFingerprint: Sendable, Equatable {
    /// Hash name as in SDP, any case: "sha-256", "sha-384", "sha-512".
    package let algorithm: String
    package let bytes: [UInt8]

    package init(algorithm: String, bytes: [UInt8]) {
        self.algorithm = algorithm
        self.bytes = bytes
    }
}

/// A ufrag and password pair (RFC 8839 section 5.4).
package struct ICECredentialPair: Sendable, Equatable {
    package let ufrag: String
    package let password: String

    package init(ufrag: String, password: String) {
        self.ufrag = ufrag
        self.password = password
    }
}

/// Everything one peer connection is set up with.
package struct TransportSettings: Sendable {
    package var local: ICECredentialPair
    package var remote: ICECredentialPair
    package var remoteFingerprints: [PeerFingerprint]
    package var iceRole: ICERole
    package var dtlsRole: DTLSRole
    package var certificate: DTLSCertificate
    /// Where a controlling agent sends its checks; ignored when lite.
    package var remoteCandidates: [SocketAddress]
    /// The host that asked for the session, whatever its port; nil when nobody knows.
    package var asker: SocketAddress?
    /// Seeds transaction ids, the tie breaker and timer jitter. Must be unpredictable outside tests.
    package var seed: UInt64
    /// Offered or accepted, first is preferred.
    package var profiles: [SRTPProfile]
    /// Whether whoever drives the transport takes the steps of its handshake to another thread
    /// (``PeerTransport/takeHandshakeStep()``); else they are done where the datagrams arrive.
    package var handshakesElsewhere: Bool

    package init(
        local: ICECredentialPair, remote: ICECredentialPair, remoteFingerprints: [PeerFingerprint], iceRole: ICERole,
        dtlsRole: DTLSRole, certificate: DTLSCertificate, remoteCandidates: [SocketAddress] = [],
        asker: SocketAddress? = nil, seed: UInt64 = UInt64.random(in: .min ... .max),
        profiles: [SRTPProfile] = SRTPProfile.allCases,
        handshakesElsewhere: Bool = false
    ) {
        self.local = local
        self.remote = remote
        self.remoteFingerprints = remoteFingerprints
        self.iceRole = iceRole
        self.dtlsRole = dtlsRole
        self.certificate = certificate
        self.remoteCandidates = remoteCandidates
        self.asker = asker
        self.seed = seed
        self.profiles = profiles
        self.handshakesElsewhere = handshakesElsewhere
    }
}

/// Where a peer connection stands.
package enum TransportState: Sendable, Equatable {
    /// Nothing valid was heard yet.
    case new
    /// Checks are under way, none is answered or authenticated yet; only a controlling agent is ever here.
    case checking
    /// A path works, DTLS is under way.
    case handshaking
    /// Media may flow.
    case connected
    case closed(TransportCloseReason)
}

/// Why a peer connection ended.
package enum TransportCloseReason: String, Sendable, Equatable {
    case local
    case peer
    case consentExpired
    case iceTimeout
    case dtlsTimeout
    case dtlsFailed
    case fingerprintMismatch
    case tooManySources
}

/// What setting up a transport can fail with.
package enum TransportError: Error, Sendable, Equatable {
    /// OpenSSL refused, with its own words.
    case crypto(String)
    /// No fingerprint with a hash we know (sha-256, sha-384, sha-512).
    case noUsableFingerprint
}
