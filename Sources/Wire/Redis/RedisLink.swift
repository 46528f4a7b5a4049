import CHiredis
import Glibc

/// One blocking connection, used by one thread only. Freed, and with it closed, at the end of its life.
struct RedisLink: ~Copyable {
    /// A server that takes longer than this to take a connection or to answer counts as gone.
    static let timeoutMs = 2_000

    private let context: UnsafeMutablePointer<redisContext>

    private init(context: UnsafeMutablePointer<redisContext>) { self.context = context }

    /// Connects, authenticates, selects the database and asks whether the server is ready.
    ///
    /// Throws `.unavailable` with the system's or the server's reason; it never holds the password.
    static func connect(_ address: RedisAddress) throws(RedisError) -> RedisLink {
        let timeout = timeval(tv_sec: timeoutMs / 1_000, tv_usec: timeoutMs % 1_000 * 1_000)
        let made =
            switch address.endpoint {
            case .tcp(let host, let port): redisConnectWithTimeout(host, Int32(port), timeout)
            case .unix(let path): redisConnectUnixWithTimeout(path, timeout)
            }
        guard let made else { throw .unavailable("out of memory") }
        let link = RedisLink(context: made)
        guard made.pointee.err == 0, redisSetTimeout(made, timeout) == REDIS_OK else { throw .unavailable(link.reason()) }
        if case .tcp = address.endpoint { redisEnableKeepAlive(made) }
        for command in greeting(address) {
            if case .error(let text) = try link.answer(to: [command])[0] { throw .unavailable(text) }
        }
        return link
    }

    deinit { redisFree(context) }

    var descriptor: Int32 { context.pointee.fd }

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

    /// Sends all commands at once and reads as many answers.
    func answer(to commands: [RedisCommand]) throws(RedisError) -> [RedisValue] {
        for command in commands { try append(command) }
        var values: [RedisValue] = []
        values.reserveCapacity(commands.count)
        for _ in commands {
            var reply: UnsafeMutableRawPointer?
            guard redisGetReply(context, &reply) == REDIS_OK else { throw .unavailable(reason()) }
            values.append(Self.take(reply))
        }
        return values
    }

    /// Sends commands whose answers are read with `nextMessage`.
    func send(_ command: RedisCommand) throws(RedisError) {
        try append(command)
        var isDone: Int32 = 0
        while isDone == 0 {
            guard redisBufferWrite(context, &isDone) == REDIS_OK else { throw .unavailable(reason()) }
        }
    }

    /// Reads what has arrived; only when the descriptor is readable.
    func receive() throws(RedisError) {
        guard redisBufferRead(context) == REDIS_OK else { throw .unavailable(reason()) }
    }

    /// The next whole message of what was received, or nil.
    func nextMessage() throws(RedisError) -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        guard redisGetReplyFromReader(context, &reply) == REDIS_OK else { throw .unavailable(reason()) }
        return reply == nil ? nil : Self.take(reply)
    }

    private func append(_ command: RedisCommand) throws(RedisError) {
        // One buffer for all arguments: pointers into it stay good for the call.
        let joined = Array(command.arguments.joined()) + [0]
        let lengths = command.arguments.map(\.count)
        let result = joined.withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                var pointers: [UnsafePointer<CChar>?] = []
                var at = 0
                for length in lengths {
                    pointers.append(characters.baseAddress.map { $0 + at })
                    at += length
                }
                return redisAppendCommandArgv(context, Int32(lengths.count), &pointers, lengths)
            }
        }
        guard result == REDIS_OK else { throw .unavailable(reason()) }
    }

    private func reason() -> String {
        let pointer = context.pointer(to: \.errstr)
        let text = pointer.map { String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) } ?? ""
        return switch context.pointee.err {
        case REDIS_ERR_EOF: "the server closed the connection"
        case REDIS_ERR_IO where text.contains("temporarily unavailable"): "no answer in \(Self.timeoutMs) ms"
        default: text.isEmpty ? "connection lost" : text
        }
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
