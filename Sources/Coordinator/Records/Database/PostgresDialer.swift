/// Connects on a thread of its own: a server that does not answer takes seconds, and what waits for the index must not wait with it.
actor PostgresDialer {
    private let thread = IndexThread("index-dialer")
    private let address: PostgresAddress

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init(_ address: PostgresAddress) { self.address = address }

    /// A connection to a database whose schema is up to date.
    func dial() throws(IndexError) -> sending PostgresConnection {
        let connection = try PostgresConnection(address)
        try IndexSchema.migrate(connection)
        return connection
    }
}
