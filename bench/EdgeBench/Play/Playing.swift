import CLinux
import Glibc
import HTTP
import MediaPlane
import SDP
import SampleMedia

/// `edge-bench play`: many viewers of one stream.
struct Playing {
    private static let patienceMs = 15_000

    /// What a browser would offer, so that the server finds the stream's profile.
    private static let codecs =
        ["42e01f", "42001f", "4d001f", "64001f"].map { profile in
            Codec(
                name: "H264", clockRate: 90_000,
                fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=\(profile)")
        } + [.opus]

    let options: PlayOptions

    init(_ options: PlayOptions) { self.options = options }

    func run() async -> Int32 {
        let http = HTTPClient()
        let client = SessionClient(client: http, token: options.token)
        let certificate: DTLSCertificate
        do throws(DTLSCertificateError) { certificate = try DTLSCertificate() } catch {
            Console.error("\(error)")
            return 1
        }
        let queue = JoinQueue()
        async let joining: Void = joinAll(client, certificate, queue)
        let report = await BlockingThread.run { [options] in PlayLoop(queue: queue, options).run() }
        await joining
        print(options.json ? report.jsonLine : report.text)
        // Whoever reads this through a pipe need not wait for the sessions' ends.
        fflush(nil)
        await leave(client, sessions: report.sessions + queue.take().map(\.session))
        await http.shutdown()
        let reached = options.expectsNothing || options.isDeaf ? report.connected : report.withMedia
        return reached == options.viewers ? 0 : 1
    }

    private func joinAll(_ client: SessionClient, _ certificate: DTLSCertificate, _ queue: JoinQueue) async {
        let start = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<options.viewers {
                if number >= options.joining { await group.next() }
                if let rate = options.joinsPerSecond {
                    try? await Task.sleep(until: start + .seconds(1) * number / rate, tolerance: .milliseconds(1))
                }
                if Interrupt.isRequested || queue.isClosed { break }
                group.addTask { await join(client, certificate, queue, number: number + 1) }
            }
        }
    }

    private func join(_ client: SessionClient, _ certificate: DTLSCertificate, _ queue: JoinQueue, number: Int) async {
        let url = options.url.replacing(PublishOptions.placeholder, with: String(number))
        let identity = ClientIdentity(certificate: certificate, profiles: options.profiles)
        let offer = SubscribeOffer(codecs: Self.codecs)
        let sdp = offer.sdp(local: identity.local)
        do {
            let answer = try await client.postPatiently(sdp, to: url, patienceMs: Self.patienceMs) { !queue.isClosed }
            let negotiated: NegotiatedSession
            do {
                negotiated = try offer.accept(answer: SessionDescription(parsing: answer.sdp))
            } catch {
                await client.delete(answer.session)
                throw error
            }
            queue.add(
                Joined(
                    session: answer.session, negotiated: negotiated, identity: identity, startNs: answer.offeredNs))
        } catch {
            queue.fail()
            if !Interrupt.isRequested, !queue.isClosed { Console.error("a viewer cannot join \(url): \(error)") }
        }
    }

    /// DELETEs all sessions, a few at a time.
    private func leave(_ client: SessionClient, sessions: [String]) async {
        await withTaskGroup(of: Void.self) { group in
            for (number, session) in sessions.enumerated() {
                if number >= options.joining { await group.next() }
                group.addTask { await client.delete(session) }
            }
        }
    }
}
