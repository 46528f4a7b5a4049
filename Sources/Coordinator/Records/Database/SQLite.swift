import CSQLite

/// A row of a SQLite statement.
private struct SQLiteRow: SQLRow {
    let statement: OpaquePointer

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }

    func withText<Value>(_ column: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value {
        let start = sqlite3_column_text(statement, column)
        return body(UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column))))
    }
}

/// A SQLite file.
final class SQLiteConnection: SQLConnection {
    /// Taken at once: a transaction that read first could not wait for another's to end.
    let begin = "BEGIN IMMEDIATE"
    /// There is one writer anyhow.
    let rowLock = ""
    let isOpen = true
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
            throw IndexError(code: "sqlite \(code)", message: "cannot open \(path): \(words)")
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

    func run(_ sql: String) throws(IndexError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw failure(code, doing: sql) }
    }

    func each(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) -> Void) throws(IndexError) {
        let statement = try prepare(sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, value) in values.enumerated() { try bind(value, at: Int32(index + 1), to: statement, of: sql) }
        while true {
            let code = sqlite3_step(statement)
            switch code {
            case SQLITE_ROW: body(SQLiteRow(statement: statement))
            case SQLITE_DONE: return
            default: throw failure(code, doing: sql)
            }
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
        IndexError(code: "sqlite \(code)", message: "\(String(cString: sqlite3_errmsg(handle))) in: \(sql.prefix(80))")
    }
}
