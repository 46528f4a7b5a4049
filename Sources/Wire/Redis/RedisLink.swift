import CHiredis
import Glibc

/// One blocking connection, used by one thread only: commands out, answers in. Closed at the end of its life.
struct RedisLink: ~Copyable {
    /// A server that takes longer than this to take a connection or to answer counts as gone.
    static let timeoutMs = RedisSocket.timeoutMs

    /// Where the server is; behind Sentinels, what they said.
    let endpoint: RedisAddress.Endpoint
    private let socket: RedisSocket
    private let reader: UnsafeMutablePointer<redisReader>

    private init(
        endpoint: RedisAddress.Endpoint, socket: consuming RedisSocket, reader: UnsafeMutablePointer<redisReader>
    ) {
        self.endpoint = endpoint
        self.socket = socket
        self.reader = reader
    }

    /// Connects, authenticates, selects the database and asks whether the server is ready. Of several servers it is the master.
    ///
    /// Throws `.unavailable` with the system's or the server's reason; it never holds the password.
    static func connect(_ address: RedisAddress) throws(RedisError) -> RedisLink {
        guard let sentinels = address.sentinels else {
            let socket = try RedisSocket.connect(address)
            guard let reader = redisReaderCreate() else { throw .unavailable("out of memory") }
            let link = RedisLink(endpoint: address.endpoint, socket: socket, reader: reader)
            for command in greeting(address) { try link.demand(command) }
            return link
        }
        let link = try connect(address.server(at: try sentinels.ask().master))
        // What Sentinels say may be older than what the server knows of itself.
        guard try link.demand(RedisCommand("ROLE")).elements?.first?.text == "master" else {
            throw .unavailable("\(address.server(at: link.endpoint).safeDescription) is a replica")
        }
        return link
    }

    deinit { redisReaderFree(reader) }

    var descriptor: Int32 { socket.descriptor }

    /// A server that still loads its data refuses the `PING`, so it isn't taken for an empty one.
    private static func greeting(_ address: RedisAddress) -> [RedisCommand] {
        var commands: [RedisCommand] = []
        if !address.password.isEmpty {
            commands.append(
                address.user.isEmpty
                    ? RedisCommand("AUTH", address.password) : RedisCommand("AUTH", address.user, address.password))
        }
        if address.database != 0 { commands.append(RedisCommand("SELECT", String(address.database))) }
        return commands + [RedisCommand("PING")]
    }

    @discardableResult
    private func demand(_ command: RedisCommand) throws(RedisError) -> RedisValue {
        let value = try answer(to: [command])[0]
        if case .error(let text) = value { throw .unavailable(Self.withoutArguments(text)) }
        return value
    }

    /// A server that does not know `AUTH` repeats what came with it.
    private static func withoutArguments(_ text: String) -> String {
        text.firstRange(of: ", with args").map { String(text[..<$0.lowerBound]) } ?? text
    }

    /// Sends all commands at once and reads as many answers.
    func answer(to commands: [RedisCommand]) throws(RedisError) -> [RedisValue] {
        try socket.write(commands.reduce(into: []) { $1.encode(into: &$0) })
        var values: [RedisValue] = []
        values.reserveCapacity(commands.count)
        while values.count < commands.count {
            if let value = try nextMessage() {
                values.append(value)
            } else if try !receive() {
                try socket.waitToRead()
            }
        }
        return values
    }

    /// Sends a command whose answer is read with `nextMessage`.
    func send(_ command: RedisCommand) throws(RedisError) {
        var bytes: [UInt8] = []
        command.encode(into: &bytes)
        try socket.write(bytes)
    }

    /// Takes what has arrived, without waiting; false when nothing has.
    @discardableResult
    func receive() throws(RedisError) -> Bool {
        let bytes = try socket.read()
        guard bytes.withUnsafeBytes({ redisReaderFeed(reader, $0.baseAddress, $0.count) }) == REDIS_OK else {
            throw .unavailable(reason())
        }
        return !bytes.isEmpty
    }

    /// The next whole message of what was received, or nil.
    func nextMessage() throws(RedisError) -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &reply) == REDIS_OK else { throw .unavailable(reason()) }
        return reply == nil ? nil : Self.take(reply)
    }

    private func reason() -> String {
        let pointer = reader.pointer(to: \.errstr)
        return pointer.map { String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) } ?? "protocol error"
    }

    /// Copies a reply and frees it.
    private static func take(_ reply: UnsafeMutableRawPointer?) -> RedisValue {
        guard let reply else { return .null }
        defer { freeReplyObject(reply) }
        return value(reply.assumingMemoryBound(to: redisReply.self).pointee)
    }

    /// hiredis nests replies no deeper than 7 levels, so this recursion is bounded.
    private static func value(_ reply: redisReply) -> RedisValue {
        switch reply.type {
        case REDIS_REPLY_STRING: .bytes(bytes(reply))
        case REDIS_REPLY_STATUS: .status(String(decoding: bytes(reply), as: UTF8.self))
        case REDIS_REPLY_ERROR: .error(String(decoding: bytes(reply), as: UTF8.self))
        case REDIS_REPLY_INTEGER: .integer(reply.integer)
        case REDIS_REPLY_ARRAY:
            .array((0..<reply.elements).map { reply.element[$0].map { value($0.pointee) } ?? .null })
        default: .null
        }
    }

    private static func bytes(_ reply: redisReply) -> [UInt8] {
        guard let start = reply.str, reply.len > 0 else { return [] }
        return [UInt8](UnsafeRawBufferPointer(start: start, count: reply.len))
    }
}
