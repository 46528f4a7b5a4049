import Testing

@testable import Program

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

@Suite("Prometheus text format")
struct MetricTextTests {
    @Test("labels are escaped and whole numbers have no fraction")
    func text() {
        var text = MetricText()
        let metric = Metric.gauge("m", "Help.")
        text.add(metric, [MetricSample(["a": "x\"y\\z\n"], 2), MetricSample([:], 0.5)])
        text.add(metric, [])
        #expect(text.text == "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\"y\\\\z\\n\"} 2\nm 0.5\n")
    }
}
