import CSQLite

/// What SQLite said no to.
public struct IndexError: Error, Sendable, Equatable, CustomStringConvertible {
    /// SQLite's extended result code.
    public let code: Int32
    /// SQLite's words, with what was being done.
    public let message: String

    /// The message with the code behind it.
    public var description: String { "\(message) (sqlite \(code))" }
}

/// A value going into or coming out of a statement.
enum SQLValue: Sendable, Equatable {
    case null
    case integer(Int64)
    case text(String)

    init(_ value: Int64?) { self = value.map(SQLValue.integer) ?? .null }
    init(_ value: Int?) { self = value.map { .integer(Int64($0)) } ?? .null }
    init(_ value: String?) { self = value.map(SQLValue.text) ?? .null }
}

/// One row while it is being looked at; columns count from 0.
struct SQLRow {
    fileprivate let statement: OpaquePointer

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }

    func optionalInteger(_ column: Int32) -> Int64? {
        sqlite3_column_type(statement, column) == SQLITE_NULL ? nil : integer(column)
    }

    func text(_ column: Int32) -> String {
        sqlite3_column_text(statement, column).map { String(cString: $0) } ?? ""
    }

    /// The bytes of a text where they are; only for as long as the row is looked at.
    func withText(_ column: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        let start = sqlite3_column_text(statement, column)
        body(UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column))))
    }

    func optionalText(_ column: Int32) -> String? {
        sqlite3_column_type(statement, column) == SQLITE_NULL ? nil : text(column)
    }
}

/// One connection with its prepared statements, confined to whoever owns it (the index actor).
final class SQLiteConnection {
    private let handle: OpaquePointer
    private var prepared: [String: OpaquePointer] = [:]

    /// Opens or creates the database file with a write-ahead log, so readers and a crash meet whole transactions.
    init(path: String) throws(IndexError) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let code = sqlite3_open_v2(path, &opened, flags, nil)
        guard code == SQLITE_OK, let opened else {
            let words = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
            sqlite3_close_v2(opened)
            throw IndexError(code: code, message: "cannot open \(path): \(words)")
        }
        handle = opened
        sqlite3_extended_result_codes(handle, 1)
        sqlite3_busy_timeout(handle, 5_000)
        try run("PRAGMA journal_mode = WAL")
        try run("PRAGMA synchronous = NORMAL")
        try run("PRAGMA foreign_keys = ON")
    }

    deinit {
        for statement in prepared.values { sqlite3_finalize(statement) }
        sqlite3_close_v2(handle)
    }

    /// Runs one or more statements that take no values and whose rows nobody wants.
    func run(_ sql: String) throws(IndexError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw failure(code, doing: sql) }
    }

    /// Runs a prepared statement to its end and hands each row to `body`.
    func query(_ sql: String, _ values: [SQLValue] = [], _ body: (SQLRow) -> Void = { _ in }) throws(IndexError) {
        let statement = try prepare(sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, value) in values.enumerated() { try bind(value, at: Int32(index + 1), to: statement, of: sql) }
        while true {
            let code = sqlite3_step(statement)
            switch code {
            case SQLITE_ROW: body(SQLRow(statement: statement))
            case SQLITE_DONE: return
            default: throw failure(code, doing: sql)
            }
        }
    }

    /// The rows of a query as values.
    func rows<Value>(
        _ sql: String, _ values: [SQLValue] = [], _ make: (SQLRow) -> Value
    ) throws(IndexError) -> [Value] {
        var result: [Value] = []
        try query(sql, values) { result.append(make($0)) }
        return result
    }

    /// Everything `body` writes becomes visible at once, or not at all.
    func transaction<Value>(_ body: () throws(IndexError) -> Value) throws(IndexError) -> Value {
        try run("BEGIN IMMEDIATE")
        do throws(IndexError) {
            let value = try body()
            try run("COMMIT")
            return value
        } catch {
            // A failed statement may already have rolled back; then there is nothing left to undo.
            _ = sqlite3_exec(handle, "ROLLBACK", nil, nil, nil)
            throw error
        }
    }

    private func prepare(_ sql: String) throws(IndexError) -> OpaquePointer {
        if let statement = prepared[sql] { return statement }
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else { throw failure(code, doing: sql) }
        prepared[sql] = statement
        return statement
    }

    private func bind(
        _ value: SQLValue, at index: Int32, to statement: OpaquePointer, of sql: String
    ) throws(IndexError) {
        let code: Int32
        switch value {
        case .null: code = sqlite3_bind_null(statement, index)
        case .integer(let number): code = sqlite3_bind_int64(statement, index, number)
        case .text(let text):
            // SQLITE_TRANSIENT is a cast the importer leaves out: SQLite copies the bytes during the call.
            let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
            code = sqlite3_bind_text(statement, index, text, -1, transient)
        }
        guard code == SQLITE_OK else { throw failure(code, doing: sql) }
    }

    private func failure(_ code: Int32, doing sql: String) -> IndexError {
        IndexError(code: code, message: "\(String(cString: sqlite3_errmsg(handle))) in: \(sql.prefix(80))")
    }
}
