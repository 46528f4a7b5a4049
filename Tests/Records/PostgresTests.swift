import EdgeFixtures
import HTTP
import PostgresFixtures
import Presentation
import Testing

@testable import Records

@Suite("Recording index in PostgreSQL", .timeLimit(.minutes(5)))
struct PostgresTests {
    private static func columns(_ kind: IndexKind, of table: String) async throws -> [String] {
        let home = try IndexHome(kind)
        try await home.open().close()
        let query =
            kind == .sqlite
            ? "SELECT name FROM pragma_table_info(?1)"
            : "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ?1"
        return try home.connect().rows(query, [.text(table)]) { $0.text(0) }.sorted()
    }

    @Test(
        "both databases have the same tables",
        arguments: ["recordings", "tracks", "spans", "cursors", "clocks", "added_nodes", "drained_nodes"])
    func tables(name: String) async throws {
        let columns = try await Self.columns(.sqlite, of: name)
        #expect(!columns.isEmpty)
        #expect(try await Self.columns(.postgresql, of: name) == columns)
    }

    @Test("coordinators that start at once make the tables once")
    func startAtOnce() async throws {
        let home = try IndexHome(.postgresql)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<6 { group.addTask { try await home.open().close() } }
            try await group.waitForAll()
        }
        let versions = try home.connect().rows("SELECT version FROM index_schema") { $0.integer(0) }
        #expect(versions == [Int64(IndexSchema.postgresSteps.count)])
    }

    @Test("two coordinators that write the same at once have what one alone has")
    func writeAtOnce() async throws {
        let home = try IndexHome(.postgresql)
        let rounds = Array(1...40)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    let index = try await home.open()
                    for round in rounds {
                        for session in ["a", "b"] {
                            let updatedUs = tenOClockUs + Int64(round)
                            _ = try await index.upsert(recording(session, updatedUs: updatedUs))
                            try await index.setDetail(
                                node: "edge-1", session: session, periods: [period(segments: round * 20)], updatedUs: updatedUs)
                        }
                        try await index.setCursor(SyncCursor(sinceUs: Int64(round), incarnationMs: 1), node: "edge-1")
                    }
                    await index.close()
                }
            }
            try await group.waitForAll()
        }
        let index = try await home.open()
        for session in ["a", "b"] {
            let stored = try #require(try await index.recording(node: "edge-1", session: session))
            #expect(try await index.periods(of: stored) == [period(segments: 800)])
            #expect(try await !index.upsert(recording(session, updatedUs: tenOClockUs + 40)), "nothing is left to be asked for")
        }
    }

    @Test("what a slower coordinator heard before changes nothing of what a faster one has stored")
    func slowerCoordinator() async throws {
        let home = try IndexHome(.postgresql)
        let (slow, fast) = (try await home.open(), try await home.open())
        _ = try await slow.upsert(recording("a"))
        _ = try await fast.upsert(recording("a", updatedUs: tenOClockUs + 5))
        try await fast.setDetail(node: "edge-1", session: "a", periods: [period(segments: 9)], updatedUs: tenOClockUs + 5)
        try await slow.setDetail(node: "edge-1", session: "a", periods: [period(segments: 4)], updatedUs: tenOClockUs)
        let stored = try #require(try await slow.recording(node: "edge-1", session: "a"))
        #expect(try await slow.periods(of: stored) == [period(segments: 9)])
    }

    @Test("while the server is away all is refused, and it comes back by itself with everything")
    func away() async throws {
        let server = try PostgresServerProcess()
        try server.start()
        let location = try #require(IndexLocation(try server.createDatabase()))
        let index = RecordingIndex(location)
        try await index.open()
        _ = try await index.upsert(recording("a"))
        server.stop()
        await #expect { _ = try await index.counts() } throws: { ($0 as? IndexError)?.isAway == true }
        await #expect { _ = try await index.counts() } throws: { ($0 as? IndexError)?.httpError?.status == .serviceUnavailable }
        let late = RecordingIndex(location)
        try await late.open()
        await #expect { _ = try await late.counts() } throws: { error in
            (error as? IndexError)?.isAway == true && !"\(error)".contains(PostgresServerProcess.password)
        }
        try server.start()
        for each in [index, late] {
            try await eventually("the index is back") { (try? await each.counts().all) == 1 }
        }
        await index.close()
        await late.close()
    }

    @Test("a wrong password is told without it")
    func wrongPassword() async throws {
        let url = try PostgresServerProcess.emptyDatabase().replacing(PostgresServerProcess.password, with: "not-this")
        let index = RecordingIndex(try #require(IndexLocation(url)))
        try await index.open()
        await #expect { _ = try await index.counts() } throws: { error in
            "\(error)".contains("password authentication failed") && !"\(error)".contains("not-this")
        }
        await index.close()
    }

    @Test(
        "addresses are shown without user and password",
        arguments: [
            ("postgresql://u:secret@h:5433/d", "postgresql://h:5433/d"),
            ("postgres://h1,h2/d?sslmode=require", "postgresql://h1,h2/d"),
            ("postgresql:///d?host=/run/pg&password=secret", "postgresql:///run/pg/d"),
        ])
    func addresses(url: String, shown: String) {
        #expect(PostgresAddress(url)?.description == shown)
    }

    @Test(
        "what libpq does not understand, and what it would look up pieces of the password for, is refused",
        arguments: [
            "postgresql://u:se@cret@h/d", "postgresql://h:port:2/d", "postgresql://h/d?no=such", "postgresql://%zz@h/d",
            "mysql://h/d",
            "postgresql://h/d\u{0}",
        ])
    func badAddresses(url: String) { #expect(PostgresAddress(url) == nil) }
}
