import Testing

@testable import Log

@Suite("Log lines")
struct LogTests {
    private func record(_ message: String, _ fields: KeyValuePairs<String, String> = [:]) -> LogRecord {
        LogRecord(level: .info, subsystem: "test", message: message, fields: fields)
    }

    @Test("text lines quote what would be ambiguous")
    func text() {
        let line = record("came", ["stream": "demo", "why": "a b", "empty": ""]).line(format: .text, time: "T")
        #expect(line == "T info  test: came stream=demo why=\"a b\" empty=\"\"\n")
    }

    @Test("JSON lines escape quotes, controls and backslashes")
    func json() {
        let line = record("a\"b\\c\u{1}", ["k": "v\n"]).line(format: .json, time: "T")
        #expect(
            line == #"{"time":"T","level":"info","subsystem":"test","message":"a\"b\\c\u0001","k":"v\n"}"# + "\n")
    }

    @Test("a message with a line feed stays on one line")
    func forgery() {
        #expect(record("a\nb").line(format: .text, time: "T") == "T info  test: a\\nb\n")
    }

    @Test("levels filter")
    func levels() {
        LogOutput.configure(level: .warn, format: .text)
        defer { LogOutput.configure(level: .info, format: .text) }
        #expect(!LogOutput.isOn(.info))
        #expect(LogOutput.isOn(.error))
    }

    @Test("time is RFC 3339 in UTC")
    func time() {
        let now = LogRecord.now()
        #expect(now.count == 24 && now.hasSuffix("Z") && now.contains("T"))
    }
}
