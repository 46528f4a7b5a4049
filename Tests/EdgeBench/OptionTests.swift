import Testing

@testable import EdgeBench

@Suite("edge-bench: command line and session URLs")
struct OptionTests {
    @Test("options of both commands")
    func options() throws {
        guard
            case .publish(let publish) = try Command(parsing: [
                "publish", "--url", "http://h/whip/a", "--token", "t", "--input", "f.mkv", "--loop", "--duration", "7",
            ])
        else {
            Issue.record("no publish command")
            return
        }
        #expect(publish.url == "http://h/whip/a" && publish.token == "t" && publish.input == "f.mkv")
        #expect(publish.loops && publish.durationSeconds == 7)
        guard case .play(let play) = try Command(parsing: ["play", "--viewers", "50", "--url", "u", "--json"]) else {
            Issue.record("no play command")
            return
        }
        #expect(play.viewers == 50 && play.json && play.durationSeconds == nil)
    }

    @Test(
        "what is wrong is named",
        arguments: [
            ([], "publish or play is required"), (["play"], "--url is required"),
            (["dance"], "unknown option or command: dance"), (["play", "--url"], "--url needs a value"),
            (["play", "--viewers", "0"], "--viewers: not a value it can take: 0"),
            (["publish", "--url", "u", "--fast"], "unknown option or command: --fast"),
        ])
    func wrong(arguments: [String], message: String) {
        do throws(OptionError) {
            _ = try Command(parsing: arguments)
            Issue.record("taken")
        } catch {
            #expect(error.description == message)
        }
    }

    @Test(
        "session URLs resolve against the URL that answered",
        arguments: [
            ("/session/a/1", "http://h:7777/session/a/1"), ("http://other/s", "http://other/s"), ("s1", "http://h:7777/whip/s1"),
        ])
    func resolve(location: String, expected: String) {
        #expect(SessionClient.resolve(location, against: "http://h:7777/whip/a?x=/y/") == expected)
        #expect(SessionClient.resolve("s", against: "http://h") == "http://h/s")
    }
}
