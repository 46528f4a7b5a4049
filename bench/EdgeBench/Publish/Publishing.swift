import CLinux
import HTTP
import Log
import MediaPlane
import SDP
import SampleMedia

/// `edge-bench publish`: keeps one input published, again after the session was lost.
struct Publishing {
    private static let patienceMs = 60_000

    let options: PublishOptions
    let lateness: Lateness

    init(_ options: PublishOptions, _ lateness: Lateness) {
        self.options = options
        self.lateness = lateness
    }

    /// Publishes all streams; the worst exit status.
    static func run(_ options: PublishOptions) async -> Int32 {
        Inquiry.install()
        let lateness = Lateness()
        let answering = Task { await lateness.answer() }
        defer { answering.cancel() }
        return await withTaskGroup { group in
            for number in 1...options.streams {
                group.addTask { await Publishing(options.stream(number), lateness).run() }
            }
            return await group.reduce(0) { max($0, $1) }
        }
    }

    func run() async -> Int32 {
        let tracks: [MediaTrack]
        let feed: SampleFeed
        switch await MediaReader.start(options.input, loops: options.loops) {
        case .success(let input): (tracks, feed) = input
        case .failure(let error):
            Console.error("\(error)")
            return 1
        }
        defer { feed.stop() }
        let start = tributary_monotonic_ns()
        let endNs = options.durationSeconds.map { start + UInt64($0) * 1_000_000_000 } ?? .max
        let http = HTTPClient()
        let client = SessionClient(client: http, token: options.token)
        let certificate: DTLSCertificate
        do throws(DTLSCertificateError) { certificate = try DTLSCertificate() } catch {
            Console.error("\(error)")
            return 1
        }
        var status: Int32 = 0
        while !Interrupt.isRequested, tributary_monotonic_ns() < endNs {
            do {
                let end = try await session(client, certificate, tracks: tracks, feed: feed, endNs: endNs)
                guard case .lost(let reason) = end else { break }
                Program.log.warning("session lost, publishing again", ["reason": reason])
            } catch {
                if !Interrupt.isRequested {
                    Console.error("cannot publish to \(options.url): \(error)")
                    status = 1
                }
                break
            }
        }
        await http.shutdown()
        return status
    }

    /// One session from offer to DELETE.
    private func session(
        _ client: SessionClient, _ certificate: DTLSCertificate, tracks: [MediaTrack], feed: SampleFeed, endNs: UInt64
    ) async throws -> PublishSession.End {
        let identity = ClientIdentity(certificate: certificate)
        let offer = PublishOffer(codecs: tracks.map(\.codec)) { UInt32.random(in: 1 ... .max) }
        let answer = try await client.postPatiently(
            offer.sdp(local: identity.local), to: options.url, patienceMs: Self.patienceMs)
        let result: Result<PublishSession.End, any Error>
        do {
            let negotiated = try offer.accept(answer: SessionDescription(parsing: answer.sdp))
            result = await BlockingThread.run {
                Result {
                    try PublishSession(
                        negotiated, identity: identity, tracks: tracks, feed: feed, options: options, lateness: lateness
                    ).run(endNs: endNs)
                }
            }
        } catch {
            result = .failure(error)
        }
        await client.delete(answer.session)
        return try result.get()
    }
}
