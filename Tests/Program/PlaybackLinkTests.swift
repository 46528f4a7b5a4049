import Auth
import HTTP
import Testing

@testable import Program

@Suite("Links to files")
struct PlaybackLinkTests {
    private static let now: Int64 = 1_800_000_000
    private static let clip = "/api/playback/demo/export.mp4"
    private static let gate = Gate(Authorizer(AuthSettings(tokens: ["all"], roomTokens: ["demo": "room"])))

    private static func link(_ target: String, _ gate: Gate = gate) throws -> String {
        gate.link(to: try HTTPRequest(method: .post, target: target), stream: "demo", now: now)
    }

    private static func linked(
        _ target: String, _ access: Access = .subscribe(stream: "demo"), now: Int64 = now
    ) throws -> Principal? {
        gate.linked(try HTTPRequest(method: .get, target: target), access, now: now)
    }

    @Test("is the address that was asked for, without credentials, and lets in to play for a minute")
    func link() throws {
        let url = try Self.link(
            Self.clip + "?signature=x&start=2026-11-20T10:00:00%2B02:00&token=all&cut=exact&access_token=all&expires=9")
        #expect(
            url.hasPrefix(
                Self.clip + "?start=2026-11-20T10%3A00%3A00%2B02%3A00&cut=exact&expires=1800000060&signature="))
        #expect(try Self.linked(url) == Principal(id: "demo", rights: .subscribe))
        #expect(try Self.linked(url, now: Self.now + 59) != nil)
        #expect(try Self.linked(url, now: Self.now + 60) == nil)
        let whole = try Self.link(Self.clip)
        #expect(whole.hasPrefix(Self.clip + "?expires=1800000060&signature="))
        #expect(try Self.linked(whole) != nil)
    }

    @Test(
        "opens nothing else",
        arguments: [
            .subscribe(stream: "other"), .publish(stream: "demo"), .administrate(stream: "demo"), .observe(stream: "demo"),
            .session(stream: "demo"), .browse, .cluster,
        ] as [Access])
    func access(_ access: Access) throws {
        #expect(try Self.linked(try Self.link(Self.clip + "?start=1&end=2"), access) == nil)
    }

    @Test(
        "changed it opens nothing",
        arguments: [
            ("start=1", "start=0"), ("end=2", "end=20"), ("?", "?cut=exact&"), ("export", "expert"), ("demo", "other"),
            ("expires=1800000060", "expires=1800000061"), ("expires=1800000060&", ""), ("&signature=", "&signature=x"),
            ("&signature=", "&start=0&signature="), ("&signature=", "&x="), ("start=1&end=2", "end=2&start=1"),
        ] as [(String, String)])
    func changed(part: String, other: String) throws {
        let url = try Self.link(Self.clip + "?start=1&end=2").replacing(part, with: other)
        #expect(try Self.linked(url) == nil)
    }

    @Test("with more behind it it opens nothing", arguments: ["&start=0", "&", "&signature=x", "0", "%30"])
    func behind(more: String) throws {
        #expect(try Self.linked(try Self.link(Self.clip + "?start=1&end=2") + more) == nil)
    }

    @Test("where nobody needs a credential it is the address alone")
    func open() throws {
        let open = Gate(Authorizer(AuthSettings()))
        #expect(try Self.link(Self.clip, open) == Self.clip)
        #expect(try Self.link(Self.clip + "?start=1&token=undefined", open) == Self.clip + "?start=1")
    }
}
