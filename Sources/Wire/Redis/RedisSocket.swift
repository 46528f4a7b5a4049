import CHiredis
import COpenSSL
import Glibc

/// The bytes of a connection, in the clear or under TLS. The socket never blocks: what waits does so in `poll`, for a bounded time.
struct RedisSocket: ~Copyable {
    /// A server that takes longer than this to take a connection or to answer counts as gone.
    static let timeoutMs = 2_000
    private static let readBytes = 64 << 10

    private let context: UnsafeMutablePointer<redisContext>
    private let session: RedisTLSSession?

    private init(context: UnsafeMutablePointer<redisContext>, session: RedisTLSSession?) {
        self.context = context
        self.session = session
    }

    /// Connects, with hiredis, which knows how to try all addresses of a name; then TLS if the address says so.
    static func connect(_ address: RedisAddress) throws(RedisError) -> RedisSocket {
        let timeout = timeval(tv_sec: timeoutMs / 1_000, tv_usec: timeoutMs % 1_000 * 1_000)
        let made =
            switch address.endpoint {
            case .tcp(let host, let port): redisConnectWithTimeout(host, Int32(port), timeout)
            case .unix(let path): redisConnectUnixWithTimeout(path, timeout)
            }
        guard let made else { throw .unavailable("out of memory") }
        do throws(RedisError) {
            guard made.pointee.err == 0 else { throw .unavailable(reason(made)) }
            let descriptor = made.pointee.fd
            if case .tcp = address.endpoint { redisEnableKeepAlive(made) }
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
            let session: RedisTLSSession? =
                if let tls = address.tls { try RedisTLSSession(tls, server: address.endpoint, descriptor: descriptor) } else {
                    nil
                }
            return RedisSocket(context: made, session: session)
        } catch {
            redisFree(made)
            throw error
        }
    }

    deinit { redisFree(context) }

    var descriptor: Int32 { context.pointee.fd }

    /// Returns when the kernel has taken all.
    func write(_ bytes: [UInt8]) throws(RedisError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            switch rest.withUnsafeBytes({ step(writing: $0) }) {
            case .done(let count): rest = rest.dropFirst(count)
            case .wait(let events): try Self.wait(descriptor, events)
            case .ended: throw .unavailable("the server closed the connection")
            case .failed(let reason): throw .unavailable(reason)
            }
        }
    }

    /// What has arrived; nothing when nothing has, and only then.
    func read() throws(RedisError) -> [UInt8] {
        var result = RedisSocketStep.ended
        let bytes = [UInt8](unsafeUninitializedCapacity: Self.readBytes) { buffer, count in
            result = step(reading: UnsafeMutableRawBufferPointer(buffer))
            if case .done(let read) = result { count = read }
        }
        switch result {
        case .done, .wait: return bytes
        case .ended: throw .unavailable("the server closed the connection")
        case .failed(let reason): throw .unavailable(reason)
        }
    }

    /// Waits until something may have arrived.
    func waitToRead() throws(RedisError) { try Self.wait(descriptor, Int16(POLLIN)) }

    private func step(writing bytes: UnsafeRawBufferPointer) -> RedisSocketStep {
        if let session { return session.write(bytes) }
        return RedisSocketStep(plain: Glibc.write(descriptor, bytes.baseAddress, bytes.count), Int16(POLLOUT))
    }

    private func step(reading bytes: UnsafeMutableRawBufferPointer) -> RedisSocketStep {
        if let session { return session.read(bytes) }
        let count = Glibc.read(descriptor, bytes.baseAddress, bytes.count)
        return count == 0 ? .ended : RedisSocketStep(plain: count, Int16(POLLIN))
    }

    static func wait(_ descriptor: Int32, _ events: Int16) throws(RedisError) {
        var waited = pollfd(fd: descriptor, events: events, revents: 0)
        while true {
            let count = poll(&waited, 1, Int32(timeoutMs))
            if count > 0 { return }
            guard count < 0, errno == EINTR else { throw .unavailable("no answer in \(timeoutMs) ms") }
        }
    }

    private static func reason(_ context: UnsafeMutablePointer<redisContext>) -> String {
        let pointer = context.pointer(to: \.errstr)
        let text = pointer.map { String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) } ?? ""
        return text.isEmpty ? "no connection" : text
    }
}

/// What came of an attempt to read or to write.
enum RedisSocketStep {
    case done(Int)
    /// Again when the descriptor is ready for this.
    case wait(Int16)
    case ended
    case failed(String)

    init(plain count: Int, _ events: Int16) {
        if count >= 0 {
            self = .done(count)
        } else {
            self = [EAGAIN, EINTR].contains(errno) ? .wait(events) : .failed(String(cString: strerror(errno)))
        }
    }
}
