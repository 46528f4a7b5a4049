import Cluster
import Foundation
import HTTP
import Journal
import MediaFixtures
import Synchronization
import TestThreads
import Testing

@testable import MediaPlane
@testable import Record
@testable import Store

/// A server that writes down what it gets and answers as it is told.
private final class Sink: Sendable {
    let server: HTTPServer
    private let state: Mutex<(requests: [(headers: HTTPHeaders, body: [UInt8])], answers: [Int])>

    /// - Parameter answers: statuses of the first requests; after them 204.
    init(answers: [Int] = []) throws {
        state = Mutex(([], answers))
        var router = Router()
        let box = WeakSink()
        router.post("/hook", RouteDescription("A hook", tag: "test")) { request in
            let body = try await request.body.bytes()
            return HTTPResponse(HTTPStatus(rawValue: box.sink?.take(request.headers, body) ?? 500))
        }
        var settings = HTTPServerSettings()
        settings.listen = "127.0.0.1:0"
        server = try HTTPServer(settings, router: router)
        box.set(self)
        try server.start()
    }

    var url: String { server.url + "/hook?key=k" }
    var requests: [(headers: HTTPHeaders, body: [UInt8])] { state.withLock { $0.requests } }
    var events: [[String: Any]] {
        requests.compactMap { try? JSONSerialization.jsonObject(with: Data($0.body)) as? [String: Any] }
    }

    fileprivate func take(_ headers: HTTPHeaders, _ body: [UInt8]) -> Int {
        state.withLock { state in
            state.requests.append((headers, body))
            return state.answers.isEmpty ? 204 : state.answers.removeFirst()
        }
    }
}

private final class WeakSink: Sendable {
    private struct Reference {
        weak var sink: Sink?
    }

    private let value = Mutex(Reference())
    var sink: Sink? { value.withLock { $0.sink } }
    func set(_ sink: Sink) { value.withLock { $0.sink = sink } }
}

@Suite("Hooks are told of recordings", .offThePool)
struct HookTests {
    private static let pictures: [SyntheticMedia.Picture] = (try? SyntheticMedia.h264(frames: 60, gop: 15, size: "160x90")) ?? []

    private func event(_ stream: String = "demo", number: Int64 = 1) throws -> RecordingEvent {
        var line = JournalLine(.session, at: number)
        line.id = "id\(number)"
        line.stream = stream
        line.node = "edge-a"
        line.startUs = 1_000_000
        return RecordingEvent(.start, try #require(RecordedSession(line, directory: "demo/2026/01/02")), at: number)
    }

    @Test("a server hears of start, segments and stop of a real recording, in order and signed")
    func recording() async throws {
        let sink = try Sink()
        let place = try RecordingDirectory()
        let feed = try RecorderFeed()
        let hooks = HookSettings(url: sink.url, secret: "key")
        let recorder = try place.recorder(
            ["demo": feed], settings: RecordSettings(segmentSeconds: 0.5, freeBytesMin: 0, threads: 1, hooks: hooks))
        try await recorder.start(stream: "demo", key: RecordingDirectory.key("demo"))
        var publisher = Publisher()
        publisher.startNs = WallClock.monotonicNs()
        publisher.pictures = Self.pictures
        publisher.sounds = (0..<100).map(Publisher.sound)
        feed.send(publisher.events())
        #expect(await eventually { recorder.metrics.segments >= 6 })
        await recorder.stopAll()
        let events = sink.events
        let kinds = events.compactMap { $0["event"] as? String }
        #expect(kinds.first == "start" && kinds.last == "stop" && kinds.dropFirst().dropLast().allSatisfy { $0 == "segment" })
        let row = try #require(recorder.recordings().sessions.first)
        #expect(events.allSatisfy { $0["stream"] as? String == "demo" && $0["id"] as? String == row.id })
        var bytes = 0
        for segment in events where segment["event"] as? String == "segment" {
            let object = try #require(segment["object"] as? String)
            bytes += try #require(segment["bytes"] as? Int)
            #expect(try place.bytes(object).count == segment["bytes"] as? Int)
            #expect(try #require(segment["duration"] as? Double) > 0.2)
        }
        let stop = try #require(events.last)
        #expect(
            stop["bytes"] as? Int == bytes && stop["end_ts"] as? Int64 == row.endTs && stop["mpd_path"] as? String == row.mpdPath)
        #expect(abs((stop["duration"] as? Double ?? 0) - 2) < 0.05)
        for (headers, body) in sink.requests {
            #expect(headers["X-Tributary-Signature"] == "sha256=" + WebHook.signature(body, key: Array("key".utf8)))
            #expect(headers["Content-Type"] == "application/json")
        }
        #expect(recorder.metrics.hooks == HookMetrics(delivered: Int64(events.count)))
        await sink.server.stop()
    }

    @Test("HMAC-SHA256 (RFC 4231, test case 2)")
    func signature() {
        let digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        #expect(WebHook.signature(Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8)) == digest)
    }

    @Test(
        "a server in trouble is asked again, one that refuses is not",
        arguments: [([503, 500], 3, true), ([400], 1, false), ([500, 500, 500, 500], 3, false)])
    func retries(_ answers: [Int], _ requests: Int, _ isDelivered: Bool) async throws {
        let sink = try Sink(answers: answers)
        let hook = WebHook(HookSettings(url: sink.url), retryMs: [1, 1])
        #expect(await hook.deliver(try event()) == isDelivered)
        #expect(sink.requests.count == requests)
        #expect(Set(sink.requests.compactMap { $0.headers["X-Tributary-Delivery"] }).count == 1)
        await hook.shutdown()
        await sink.server.stop()
    }

    @Test("nobody there: what cannot wait is dropped and counted, the teller never waits, and stopping ends")
    func overflow() async throws {
        let hooks = HookDispatcher(HookSettings(command: ["/bin/sleep", "600"], timeoutMs: 600_000))
        for number in 0..<1000 { hooks.tell(try? event(number: Int64(number)), .start) }
        #expect(hooks.metrics.dropped >= 1000 - 2 - Int64(HookDispatcher.waitingMax))
        await hooks.stop(within: .milliseconds(50))
        #expect(hooks.metrics.delivered == 0)
    }

    @Test("only what was asked for is told")
    func chosen() async throws {
        let sink = try Sink()
        let hooks = HookDispatcher(HookSettings(url: sink.url, events: [.stop]))
        hooks.tell(try? event(), .start)
        hooks.tell(try? event(number: 7), .stop)
        await hooks.stop(within: .seconds(20))
        #expect(sink.events.compactMap { $0["id"] as? String } == ["id7"])
        await sink.server.stop()
    }

    // MARK: Programs

    private func script(_ text: String, in folder: TemporaryDirectory) throws -> String {
        let path = folder.path + "/hook.sh"
        try Data("#!/bin/sh\n\(text)\n".utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        return path
    }

    @Test("a program gets the fields in its environment and JSON on standard input, and nothing of ours")
    func environment() async throws {
        let folder = try TemporaryDirectory()
        setenv("EDGE_AUTH_SECRET", "hidden", 1)
        defer { unsetenv("EDGE_AUTH_SECRET") }
        let path = try script("env > \"$1\"; cat >> \"$1\"; ls /proc/self/fd | wc -l >> \"$1\"", in: folder)
        let hook = ScriptHook(HookSettings(command: [path, folder.path + "/out put; $(x)"]))
        var event = try event()
        event.reason = "a \"quoted\"\n$(reason) `x`"
        #expect(await hook.deliver(event))
        let out = try String(contentsOfFile: folder.path + "/out put; $(x)", encoding: .utf8)
        for line in [
            "TRIBUTARY_EVENT=start", "TRIBUTARY_STREAM=demo", "TRIBUTARY_MPD_PATH=demo/2026/01/02/manifest.mpd",
            "TRIBUTARY_REASON=a \"quoted\"",
        ] {
            #expect(out.contains(line + "\n"))
        }
        #expect(out.contains(String(decoding: event.json, as: UTF8.self) + "\n"))
        #expect(!out.contains("hidden"))
        // Standard input, output and error, the directory that ls reads, and sh's own at most.
        #expect(try #require(out.split(separator: "\n").last.flatMap { Int($0) }) <= 5)
    }

    @Test(
        "what goes wrong is told apart",
        arguments: [
            ("exit 3", "status 3"), ("kill -SEGV $$", "signal 11"), ("sleep 600 & wait", "too long"),
            ("exec 1>&- 2>&-; sleep 600", "too long"), ("while :; do echo x; done", "too long"),
        ])
    func failing(_ text: String, _ problem: String) throws {
        let folder = try TemporaryDirectory()
        let path = try script(text, in: folder)
        let outcome = ScriptRun(command: [path], environment: []).run(input: [1], timeoutMs: 200, isStopped: { false })
        #expect(outcome.problem?.contains(problem) == true, "\(outcome)")
        #expect(outcome.output.utf8.count <= 3 * ScriptRun.outputBytesMax)
    }

    @Test("a program that is not there, or is not one")
    func missing() throws {
        let folder = try TemporaryDirectory()
        for path in [folder.path + "/none", folder.path] {
            let outcome = ScriptRun(command: [path], environment: []).run(input: [], timeoutMs: 1000, isStopped: { false })
            #expect(outcome.problem?.hasPrefix("cannot be started") == true)
        }
    }

    @Test("what it says is kept, up to a bound; what it leaves running does not hold us up")
    func output() throws {
        let folder = try TemporaryDirectory()
        let path = try script("echo out; echo err >&2; sleep 600 & exit 0", in: folder)
        let outcome = ScriptRun(command: [path], environment: []).run(input: [], timeoutMs: 60_000, isStopped: { false })
        #expect(outcome.problem == nil && outcome.output == "out | err")
    }
}
