import CLinux
import HTTP
import MediaPlane
import SDP

/// As much of WHEP as it takes to be a viewer's server.
struct Endpoint: Sendable {
    let tracks: [SourceTrack]
    let sender: Sender
    let certificate: DTLSCertificate
    let profile: SRTPProfile
    let candidate: Candidate

    func router() -> Router {
        var router = Router()
        router.get("/healthz", RouteDescription("Whether it is up")) { _ in .text("ok") }
        router.post("/whep/{stream}", RouteDescription("Watch the film")) { request in
            let offer = try await request.body.bytes(limit: 64 << 10)
            do {
                let answer = try join(offer)
                return .bytes(
                    Array(answer.utf8), status: .created, contentType: "application/sdp", headers: ["Location": "/session"])
            } catch {
                throw HTTPError(.unprocessableContent, "\(error)")
            }
        }
        router.delete("/session", RouteDescription("Does nothing: viewers leave by ending DTLS")) { _ in HTTPResponse(.ok) }
        return router
    }

    private func join(_ offer: [UInt8]) throws -> String {
        let description = try SessionDescription(parsing: offer)
        let answer = try SubscribeAnswer(offer: description, stream: tracks) { .random(in: 1 ... .max) }
        let ice = ICECredentials.random()
        let remote = answer.remote
        let transport = try PeerTransport(
            settings: TransportSettings(
                local: ICECredentialPair(ufrag: ice.ufrag, password: ice.password),
                remote: ICECredentialPair(ufrag: remote.ice.ufrag, password: remote.ice.password),
                remoteFingerprints: remote.fingerprints.map { PeerFingerprint(algorithm: $0.algorithm, bytes: $0.bytes) },
                iceRole: .lite, dtlsRole: answer.ourSetup == .active ? .client : .server, certificate: certificate,
                profiles: [profile]),
            now: tributary_monotonic_ns())
        sender.add(
            Joining(
                ufrag: ice.ufrag, transport: transport,
                tracks: tracks.map { track in
                    answer.tracks.first { $0.kind == track.kind }.flatMap { agreed in
                        agreed.ssrc.map { OutgoingIdentity(ssrc: $0, payloadType: agreed.payloadType) }
                    }
                }))
        return answer.sdp(
            local: LocalTransport(
                ice: ice, fingerprint: Fingerprint(algorithm: "sha-256", bytes: certificate.sha256Fingerprint),
                candidates: [candidate]))
    }
}
