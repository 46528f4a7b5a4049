import CPostgreSQL
import Glibc

/// A row of what a PostgreSQL server has answered, all values as text.
private struct PostgresRow: SQLRow {
    let result: OpaquePointer
    let row: Int32

    func isNull(_ column: Int32) -> Bool { PQgetisnull(result, row, column) == 1 }

    func integer(_ column: Int32) -> Int64 { PQgetvalue(result, row, column).map { Int64(strtoll($0, nil, 10)) } ?? 0 }

    func withText<Value>(_ column: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value {
        let count = Int(PQgetlength(result, row, column))
        guard let start = PQgetvalue(result, row, column) else { return body(UnsafeBufferPointer(start: nil, count: 0)) }
        return start.withMemoryRebound(to: UInt8.self, capacity: count) { body(UnsafeBufferPointer(start: $0, count: count)) }
    }
}

/// A connection to a PostgreSQL server, which blocks whoever uses it, but no longer than `answerMs` for an answer.
///
/// Broken once, it stays so: there is another for the next attempt.
final class PostgresConnection: SQLConnection {
    /// A server that takes longer than this to let us in counts as away.
    static let connectMs = 5_000
    /// The same for an answer.
    static let answerMs = 10_000

    let begin = "BEGIN"
    let rowLock = " FOR UPDATE"
    private(set) var isOpen = true
    private let handle: OpaquePointer
    private var prepared: [String: String] = [:]

    /// Connects and sets what holds for the session.
    ///
    /// Throws with `isAway` when the server can't be reached or does not let us in; libpq's reasons name the host and the user,
    /// never the password.
    init(_ address: PostgresAddress) throws(IndexError) {
        guard let started = Self.start(address) else { throw IndexError(message: "out of memory", isAway: true) }
        handle = started
        PQsetNoticeProcessor(handle, dropNotice, nil)
        try finishConnecting()
        // What a crash of the server may take back of a commit that it has told is less than a second, always a whole transaction
        // and never one in the middle: the sync then goes on from the older cursor. A coordinator that is cut off in the midst of a
        // transaction must not hold its locks for long.
        try run(
            "SET synchronous_commit = off; SET idle_in_transaction_session_timeout = 10000; SET lock_timeout = 5000")
    }

    deinit { PQfinish(handle) }

    func run(_ sql: String) throws(IndexError) {
        guard PQsendQuery(handle, sql) == 1 else { throw lost() }
        PQclear(try answer(doing: sql))
    }

    func each(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) -> Void) throws(IndexError) {
        let name = try prepare(sql)
        guard Self.withTexts(values, { PQsendQueryPrepared(handle, name, Int32(values.count), $0, nil, nil, 0) }) == 1 else {
            throw lost()
        }
        let result = try answer(doing: sql)
        defer { PQclear(result) }
        for row in 0..<PQntuples(result) { body(PostgresRow(result: result, row: row)) }
    }

    private func prepare(_ sql: String) throws(IndexError) -> String {
        if let name = prepared[sql] { return name }
        let name = "s\(prepared.count)"
        guard PQsendPrepare(handle, name, sql.replacing("?", with: "$"), 0, nil) == 1 else { throw lost() }
        PQclear(try answer(doing: sql))
        prepared[sql] = name
        return name
    }

    /// The values as C strings, nil for null. All of them stand in one buffer: pointers into it stay good for the call.
    private static func withTexts<Result>(
        _ values: [SQLValue], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
    ) -> Result {
        var bytes: [UInt8] = []
        var starts: [Int?] = []
        for value in values {
            starts.append(value == .null ? nil : bytes.count)
            switch value {
            case .null: continue
            case .integer(let number): bytes += String(number).utf8
            case .text(let text): bytes += text.utf8
            }
            bytes.append(0)
        }
        return bytes.withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                let pointers = starts.map { start in start.flatMap { start in characters.baseAddress.map { $0 + start } } }
                return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
            }
        }
    }
}

// MARK: waiting for the server

extension PostgresConnection {
    private static func start(_ address: PostgresAddress) -> OpaquePointer? {
        // What stands in the URL goes before what stands in front of it here, and after it comes what must be.
        let options = [
            ("connect_timeout", "3"), ("keepalives_idle", "5"), ("keepalives_interval", "5"), ("keepalives_count", "2"),
            ("fallback_application_name", "tributary"), ("dbname", address.url), ("client_encoding", "UTF8"),
        ]
        return withCStrings(options.map(\.0)) { names in
            withCStrings(options.map(\.1)) { PQconnectStartParams(names, $0, 1) }
        }
    }

    /// An array of C strings that ends with a null pointer.
    private static func withCStrings<Result>(
        _ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
    ) -> Result {
        let copies = texts.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return (copies.map { UnsafePointer($0) } + [nil]).withUnsafeBufferPointer { body($0.baseAddress) }
    }

    private func finishConnecting() throws(IndexError) {
        let deadline = Deadline(milliseconds: Self.connectMs)
        var events = Int16(POLLOUT)
        while PQstatus(handle) != CONNECTION_BAD {
            try wait(events, deadline)
            switch PQconnectPoll(handle) {
            case PGRES_POLLING_OK:
                PQsetnonblocking(handle, 1)
                return
            case PGRES_POLLING_READING: events = Int16(POLLIN)
            case PGRES_POLLING_WRITING: events = Int16(POLLOUT)
            default: throw lost()
            }
        }
        throw lost()
    }

    /// What comes of what was sent: the last result, or the first refusal.
    private func answer(doing sql: String) throws(IndexError) -> OpaquePointer {
        let deadline = Deadline(milliseconds: Self.answerMs)
        var last: OpaquePointer?
        var refusal: IndexError?
        while let result = try next(deadline) {
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK:
                PQclear(last)
                last = result
            default:
                refusal = refusal ?? self.refusal(result, doing: sql)
                PQclear(result)
            }
        }
        if let refusal {
            PQclear(last)
            if refusal.isAway { isOpen = false }
            throw refusal
        }
        guard let last else { throw lost() }
        return last
    }

    private func next(_ deadline: Deadline) throws(IndexError) -> OpaquePointer? {
        while PQisBusy(handle) == 1 {
            let unsent = PQflush(handle)
            guard unsent >= 0 else { throw lost() }
            try wait(unsent == 0 ? Int16(POLLIN) : Int16(POLLIN | POLLOUT), deadline)
            guard PQconsumeInput(handle) == 1 else { throw lost() }
        }
        return PQgetResult(handle)
    }

    private func wait(_ events: Int16, _ deadline: Deadline) throws(IndexError) {
        var descriptor = pollfd(fd: PQsocket(handle), events: events, revents: 0)
        while true {
            let count = poll(&descriptor, 1, deadline.leftMs)
            if count > 0 { return }
            if count < 0, errno == EINTR { continue }
            isOpen = false
            throw IndexError(message: "PostgreSQL does not answer", isAway: true)
        }
    }

    private func lost() -> IndexError {
        isOpen = false
        // One line: libpq tells of each address that it has tried.
        let words = String(cString: PQerrorMessage(handle)).split(separator: "\n")
            .map { $0.drop(while: \.isWhitespace) }.joined(separator: "; ")
        return IndexError(message: words.isEmpty ? "the connection to PostgreSQL is lost" : words, isAway: true)
    }

    /// Class 08 is a broken connection, 57P a server that ends or starts, 53300 one that is full, 25006 one that has become a standby.
    private func refusal(_ result: OpaquePointer, doing sql: String) -> IndexError {
        let code = tributary_pq_sqlstate(result).map { String(cString: $0) } ?? ""
        let words = tributary_pq_message(result).map { String(cString: $0) } ?? "the connection to PostgreSQL is lost"
        let isAway =
            PQstatus(handle) == CONNECTION_BAD || code.isEmpty || ["53300", "25006"].contains(code)
            || ["08", "57P"].contains { code.hasPrefix($0) }
        return IndexError(code: code, message: isAway ? words : "\(words) in: \(sql.prefix(80))", isAway: isAway)
    }
}

/// Notices are for people at a prompt.
private func dropNotice(_ context: UnsafeMutableRawPointer?, _ text: UnsafePointer<CChar>?) {}

private struct Deadline {
    private let atMs: Int64

    init(milliseconds: Int) { atMs = Self.nowMs() + Int64(milliseconds) }

    /// Not below zero.
    var leftMs: Int32 { Int32(clamping: max(0, atMs - Self.nowMs())) }

    private static func nowMs() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000 + Int64(now.tv_nsec) / 1_000_000
    }
}
