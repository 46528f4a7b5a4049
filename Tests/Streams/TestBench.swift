import Cluster
import MediaPlane
import SDP
@testable import Streams
import Synchronization

/// A clock that only moves when told. It begins at the real time, since the media plane's readings are compared with it.
final class TestClock: Sendable {
    private let now = Mutex(StreamTime.system())

    func read() -> StreamTime { now.withLock { $0 } }

    func advance(ms: Int64) {
        now.withLock {
            $0.wallMs += ms
            $0.monotonicNs += UInt64(ms) * 1_000_000
        }
    }
}

/// A registry on a real media plane with loopback sockets, and clients that only talk SDP.
struct TestBench {
    let plane: MediaPlane
    let registry: StreamRegistry
    let clock = TestClock()

    init(_ change: (inout StreamSettings) -> Void = { _ in }) throws {
        var media = MediaSettings()
        media.bindAddress = "127.0.0.1"
        media.loops = 1
        plane = try MediaPlane(media)
        var settings = StreamSettings()
        change(&settings)
        registry = StreamRegistry(plane: plane, settings: settings, time: clock.read)
    }

    func stop() async {
        await registry.stop()
        await plane.shutdown()
    }

    /// Runs a test body and stops the plane after it, whatever happens.
    static func with(
        _ change: (inout StreamSettings) -> Void = { _ in }, _ body: (TestBench) async throws -> Void
    ) async throws {
        let bench = try TestBench(change)
        do {
            try await body(bench)
        } catch {
            await bench.stop()
            throw error
        }
        await bench.stop()
    }

    func publish(
        _ name: String, codecs: [Codec] = [.opus, .h264], credential: String? = nil
    ) async throws(StreamError) -> SessionAnswer {
        try await registry.publish(stream: name, offer: TestOffer.publish(codecs), from: SessionClient(credential: credential))
    }

    func subscribe(_ name: String, codecs: [Codec] = [.opus, .h264]) async throws(StreamError) -> SessionAnswer {
        try await registry.subscribe(stream: name, offer: TestOffer.subscribe(codecs), from: SessionClient(credential: nil))
    }

    /// Lets a stream's publisher have connected, as the media plane tells it.
    func connectPublisher(_ name: String) async {
        guard let publisher = await registry.streams[name]?.publisher, let handle = publisher.handle else { return }
        await registry.take(MediaEvent.sessionState(handle, session: publisher.id, .connected))
    }

    func sessions(_ name: String) async -> (publishers: Int, viewers: Int) {
        let record = await registry.record(of: name)
        return (
            record?.publish.sessions.filter { $0.leaveAt == 0 }.count ?? -1,
            record?.subscribe.sessions.filter { $0.leaveAt == 0 }.count ?? -1
        )
    }
}

enum TestOffer {
    static func local() -> LocalTransport {
        LocalTransport(
            ice: .random(),
            fingerprint: Fingerprint(algorithm: "sha-256", bytes: [UInt8](repeating: 7, count: 32)),
            candidates: [])
    }

    static func publish(_ codecs: [Codec]) -> [UInt8] {
        Array(PublishOffer(codecs: codecs) { .random(in: 1 ... .max) }.sdp(local: local()).utf8)
    }

    static func subscribe(_ codecs: [Codec]) -> [UInt8] {
        Array(SubscribeOffer(codecs: codecs).sdp(local: local()).utf8)
    }
}
