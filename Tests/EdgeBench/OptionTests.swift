import MediaPlane
import Testing

@testable import EdgeBench

@Suite("edge-bench: command line and session URLs")
struct OptionTests {
    @Test("options of all commands")
    func options() throws {
        guard
            case .publish(let publish) = try Command(parsing: [
                "publish", "--url", "http://h/whip/a", "--token", "t", "--input", "f.mkv", "--loop", "--duration", "7",
                "--patience", "6",
            ])
        else {
            Issue.record("no publish command")
            return
        }
        #expect(publish.url == "http://h/whip/a" && publish.token == "t" && publish.input == "f.mkv")
        #expect(publish.loops && publish.durationSeconds == 7 && publish.patienceSeconds == 6 && publish.streams == 1)
        guard case .publish(let several) = try Command(parsing: ["publish", "--url", "u/{n}", "--input", "f", "--streams", "9"])
        else { return }
        #expect(several.streams == 9 && several.stream(3).url == "u/3" && several.stream(3).streams == 1)
        guard case .play(let play) = try Command(parsing: ["play", "--viewers", "50", "--url", "u", "--json"]) else {
            Issue.record("no play command")
            return
        }
        #expect(play.viewers == 50 && play.json && play.durationSeconds == nil)
        guard
            case .ask(let ask) = try Command(parsing: [
                "ask", "--to", "10.0.0.1:7901", "--sockets", "9", "--rate", "3", "--bytes", "70",
            ])
        else {
            Issue.record("no ask command")
            return
        }
        #expect(ask.address == SocketAddress("10.0.0.1", port: 7901) && ask.sockets == 9 && ask.perSecond == 3 && ask.bytes == 70)
    }

    @Test(
        "what is wrong is named",
        arguments: [
            ([], "publish, play or ask is required"), (["play"], "--url is required"),
            (["ask"], "--to is required"), (["ask", "--to", "host:1"], "--to: not a value it can take: host:1"),
            (["ask", "--to", "10.0.0.1"], "--to: not a value it can take: 10.0.0.1"),
            (["dance"], "unknown option or command: dance"), (["play", "--url"], "--url needs a value"),
            (["play", "--viewers", "0"], "--viewers: not a value it can take: 0"),
            (["publish", "--url", "u", "--fast"], "unknown option or command: --fast"),
            (["publish", "--url", "u", "--input", "f", "--streams", "2"], "--url: not a value it can take: u"),
            (
                ["publish", "--url", "u{n}", "--streams", "2"],
                "--input, because standard input can be read only once, is required"
            ),
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
