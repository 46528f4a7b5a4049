import HTTP
import Synchronization
import Testing

@testable import EdgeServe

@Suite("Command line")
struct CommandLineTests {
    @Test("what is understood")
    func good() throws {
        #expect(try CommandLineOptions(arguments: []).action == .run)
        let check = try CommandLineOptions(arguments: ["--config", "a.toml", "--check"])
        #expect(check.action == .check && check.configFile == "a.toml")
        #expect(try CommandLineOptions(arguments: ["--config=b.toml"]).configFile == "b.toml")
        #expect(try CommandLineOptions(arguments: ["--check", "--version", "--help", "--check"]).action == .help)
    }

    @Test("what is not", arguments: [["--config"], ["--config", ""], ["--config="], ["-x"], ["file"], [""]])
    func bad(_ arguments: [String]) {
        #expect(throws: CommandLineOptions.UsageError.self) { try CommandLineOptions(arguments: arguments) }
    }
}

@Suite("Rate limit (RFC 6585 section 4)")
struct RateLimiterTests {
    @Test("a burst, then the rate; addresses don't share")
    func bucket() {
        let now = Mutex<UInt64>(1_000_000_000)
        let limiter = RateLimiter(perSecond: 2, burst: 3) { now.withLock { $0 } }
        #expect((0..<4).map { _ in limiter.wait("a") } == [nil, nil, nil, 1])
        #expect(limiter.wait("b") == nil)
        now.withLock { $0 += 500_000_000 }
        #expect(limiter.wait("a") == nil)
        #expect(limiter.wait("a") == 1)
        now.withLock { $0 += 3_600_000_000_000 }
        #expect((0..<4).map { _ in limiter.wait("a") } == [nil, nil, nil, 1])
    }

    @Test("many addresses stay bounded and a busy one is remembered")
    func bounded() {
        let limiter = RateLimiter(perSecond: 1, burst: 1) { 5 }
        for index in 0..<40_000 { _ = limiter.wait("address\(index)") }
        #expect(limiter.wait("address39999") == 1)
    }
}

@Suite("Prometheus text format")
struct MetricTextTests {
    @Test("labels are escaped and whole numbers have no fraction")
    func text() {
        var text = MetricText()
        let metric = Metric(name: "m", type: .gauge, help: "Help.")
        text.add(metric, [MetricSample(["a": "x\"y\\z\n"], 2), MetricSample([:], 0.5)])
        text.add(metric, [])
        #expect(text.text == "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\"y\\\\z\\n\"} 2\nm 0.5\n")
    }
}
