import MediaPlane
import SDP

/// What a client session is made of before its transport exists: identity and credentials for the offer.
struct ClientIdentity {
    let certificate: DTLSCertificate
    let ice: ICECredentials

    private let profiles: [SRTPProfile]

    init(certificate: DTLSCertificate, profiles: [SRTPProfile] = SRTPProfile.allCases) {
        self.certificate = certificate
        self.profiles = profiles
        ice = .random()
    }

    /// For the offer: no candidates, the server learns our address from our checks.
    var local: LocalTransport {
        LocalTransport(
            ice: ice, fingerprint: Fingerprint(algorithm: "sha-256", bytes: certificate.sha256Fingerprint), candidates: [])
    }

    /// The controlling transport that an accepted answer describes.
    func transport(_ session: NegotiatedSession, now: UInt64) throws(TransportError) -> PeerTransport {
        let remote = session.remote
        let candidates = remote.candidates.filter { !$0.isTCP }.compactMap { SocketAddress($0.address, port: $0.port) }
        return try PeerTransport(
            settings: TransportSettings(
                local: ICECredentialPair(ufrag: ice.ufrag, password: ice.password),
                remote: ICECredentialPair(ufrag: remote.ice.ufrag, password: remote.ice.password),
                remoteFingerprints: remote.fingerprints.map { PeerFingerprint(algorithm: $0.algorithm, bytes: $0.bytes) },
                iceRole: .controlling, dtlsRole: session.ourSetup == .active ? .client : .server, certificate: certificate,
                remoteCandidates: candidates, profiles: profiles),
            now: now)
    }
}
