import HTTP

/// What the database of the index said no to.
public struct IndexError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What SQLite (`sqlite 14`) or PostgreSQL (SQLSTATE) calls it; empty when it is neither's.
    public let code: String
    /// The database's words, with what was being done. Never a password.
    public let message: String
    /// Whether the database can't be reached; then it is asked again until it can.
    public let isAway: Bool

    init(code: String = "", message: String, isAway: Bool = false) {
        self.code = code
        self.message = message
        self.isAway = isAway
    }

    /// The message with the code behind it.
    public var description: String { code.isEmpty ? message : "\(message) (\(code))" }
}

extension IndexError: HTTPErrorConvertible {
    /// 503 while the database is away; anything else is nothing that the client could do something about.
    public var httpError: HTTPError? {
        isAway ? HTTPError(.serviceUnavailable, "the recording index is not available", headers: ["Retry-After": "2"]) : nil
    }
}

/// A value going into a statement.
enum SQLValue: Sendable, Equatable {
    case null
    case integer(Int64)
    case text(String)

    init(_ value: Int64?) { self = value.map(SQLValue.integer) ?? .null }
    init(_ value: Int?) { self = value.map { .integer(Int64($0)) } ?? .null }
    init(_ value: String?) { self = value.map(SQLValue.text) ?? .null }
}

/// One row while it is being looked at; columns count from 0.
protocol SQLRow {
    func isNull(_ column: Int32) -> Bool
    /// 0 when it is null.
    func integer(_ column: Int32) -> Int64
    /// The bytes of a text where they are; only for as long as the row is looked at. Null is empty.
    func withText<Value>(_ column: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value
}

extension SQLRow {
    func optionalInteger(_ column: Int32) -> Int64? { isNull(column) ? nil : integer(column) }

    func text(_ column: Int32) -> String { withText(column) { String(decoding: $0, as: UTF8.self) } }

    func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }
}

/// One connection to the database of an index with its prepared statements, confined to whoever owns it (the index actor).
///
/// Statements are written once, in what SQLite and PostgreSQL have in common, with `?1` for the first value. What they spell
/// differently is here and in `IndexSchema`.
protocol SQLConnection: AnyObject {
    /// Begins a transaction that writes.
    var begin: String { get }
    /// Behind a `SELECT`: others that ask for these rows so wait until the transaction ends.
    var rowLock: String { get }
    /// False once it can't be used any more.
    var isOpen: Bool { get }

    /// Runs one or more statements that take no values and whose rows nobody wants.
    func run(_ sql: String) throws(IndexError)
    /// Runs a prepared statement to its end and hands each row to `body`.
    func each(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) -> Void) throws(IndexError)
}

extension SQLConnection {
    /// Runs a prepared statement to its end and hands each row to `body`.
    func query(_ sql: String, _ values: [SQLValue] = [], _ body: (any SQLRow) -> Void = { _ in }) throws(IndexError) {
        try each(sql, values, body)
    }

    /// The rows of a query as values.
    func rows<Value>(
        _ sql: String, _ values: [SQLValue] = [], _ make: (any SQLRow) -> Value
    ) throws(IndexError) -> [Value] {
        var result: [Value] = []
        try each(sql, values) { result.append(make($0)) }
        return result
    }

    /// Everything `body` writes becomes visible at once, or not at all.
    func transaction<Value>(_ body: () throws(IndexError) -> Value) throws(IndexError) -> Value {
        try run(begin)
        do throws(IndexError) {
            let value = try body()
            try run("COMMIT")
            return value
        } catch {
            // A failed statement may already have rolled back; then there is nothing left to undo.
            if isOpen { try? run("ROLLBACK") }
            throw error
        }
    }
}
