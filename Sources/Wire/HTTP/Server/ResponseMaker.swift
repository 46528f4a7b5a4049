import CMicrohttpd
import Log

#if canImport(Glibc)
    import Glibc
#endif

/// Turns an ``HTTPResponse`` into the library's object.
enum ResponseMaker {
    private static let log = Logger("http")
    /// Fields the library writes itself.
    private static let ownFields = ["Content-Length", "Transfer-Encoding", "Date"]
    private static let readerBlockBytes = 32 << 10

    /// Nil when the system has no memory or descriptor left; the connection breaks then.
    static func make(_ response: HTTPResponse, isHead: Bool, for exchange: Exchange) -> OpaquePointer? {
        guard let made = makeBody(response, isHead, exchange) else { return nil }
        for field in response.headers where !ownFields.contains(where: { HTTPHeaders.same($0, field.name) }) {
            if !add(field.name, field.value, to: made) {
                log.warning("a response header was left out because it is not valid", ["name": field.name])
            }
        }
        if exchange.core.isStopping { _ = add("Connection", "close", to: made) }
        return made
    }

    /// False for what the library holds to be no valid field. The closures spare the copies that a `String` argument of a C function makes.
    private static func add(_ name: String, _ value: String, to made: OpaquePointer) -> Bool {
        name.withCString { name in value.withCString { value in MHD_add_response_header(made, name, value) == .YES } }
    }

    private static func makeBody(_ response: HTTPResponse, _ isHead: Bool, _ exchange: Exchange) -> OpaquePointer? {
        switch response.body {
        case .none: return cmicrohttpd_bytes(0, nil)
        case .bytes(let bytes):
            let slice = response.slice.map { bytes[Int($0.lowerBound)..<Int($0.upperBound)] } ?? bytes[...]
            return slice.withUnsafeBytes { cmicrohttpd_bytes($0.count, $0.baseAddress) }
        case .shared(let body, let owner):
            let part = response.slice ?? 0..<Int64(body.count)
            return makeShared(SharedPart(body: body, owner: owner, start: Int(part.lowerBound), exchange: exchange), part.count)
        case .file(let file):
            let part = response.slice ?? 0..<file.count
            if isHead || part.isEmpty {
                // Only its length is told.
            } else if let (block, start) = exchange.core.files.block(file, part) {
                return makeKept(block, block.bytes + start, part.count)
            }
            // The library closes its descriptor together with the response.
            let own = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
            guard own >= 0 else { return nil }
            let made = MHD_create_response_from_fd_at_offset64(
                UInt64(part.count), own, UInt64(file.offset + part.lowerBound))
            if made == nil { close(own) }
            return made
        case .stream(let length, _):
            let context = Unmanaged.passRetained(exchange)
            let size = length.map { UInt64(clamping: $0) } ?? cmicrohttpd_size_unknown()
            let made = MHD_create_response_from_callback(size, readerBlockBytes, readBody, context.toOpaque(), releaseBody)
            if made == nil { context.release() }
            return made
        case .relay(let body): return makeRelay(Relay(body: body, exchange: exchange))
        case .webSocket(let body):
            let webSocket = WebSocketConnection(core: exchange.core, body: body)
            exchange.state.withLock { $0.webSocket = webSocket }
            return MHD_create_response_for_upgrade(onUpgrade, nil)
        }
    }
}

extension ResponseMaker {
    /// Memory that `owner` keeps.
    private static func makeKept(_ owner: AnyObject, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> OpaquePointer? {
        let context = Unmanaged.passRetained(owner)
        let made = MHD_create_response_from_buffer_with_free_callback_cls(count, bytes, releaseOwner, context.toOpaque())
        if made == nil { context.release() }
        return made
    }

    /// What is all there is sent from where it lies; what is still coming is copied as it comes.
    private static func makeShared(_ part: SharedPart, _ count: Int) -> OpaquePointer? {
        if part.body.isComplete { return makeKept(part, part.body.block + part.start, count) }
        let context = Unmanaged.passRetained(part)
        let made = MHD_create_response_from_callback(
            UInt64(count), readerBlockBytes, readPart, context.toOpaque(), releaseOwner)
        if made == nil { context.release() }
        return made
    }
}

extension ResponseMaker {
    private static func makeRelay(_ relay: Relay) -> OpaquePointer? {
        let context = Unmanaged.passRetained(relay)
        let size = relay.body.length.map { UInt64(clamping: $0) } ?? cmicrohttpd_size_unknown()
        let made = MHD_create_response_from_callback(size, readerBlockBytes, readRelay, context.toOpaque(), releaseOwner)
        if made == nil { context.release() }
        return made
    }
}

/// Another server's body on its way to a client. Letting go of it gives the transfer up.
private final class Relay: Sendable {
    let body: RelayedBody
    let exchange: Exchange

    init(body: RelayedBody, exchange: Exchange) { (self.body, self.exchange) = (body, exchange) }
}

/// The library asks for bytes of another server's answer.
private func readRelay(
    _ context: UnsafeMutableRawPointer?, _ position: UInt64, _ buffer: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    guard let context, let buffer else { return cmicrohttpd_broken() }
    let relay = Unmanaged<Relay>.fromOpaque(context).takeUnretainedValue()
    guard !relay.exchange.isAborted else { return cmicrohttpd_broken() }
    switch relay.body.take(into: UnsafeMutableRawBufferPointer(start: buffer, count: room)) {
    case .bytes(let count): return count
    case .finished: return cmicrohttpd_end()
    case .failed: return cmicrohttpd_broken()
    case .empty:
        let waker = relay.exchange.waker
        waker.suspend()
        // Who aborts the exchange wakes it afterwards, or has done so before this.
        if !relay.body.park({ waker.wake() }) || relay.exchange.isAborted { waker.wake() }
        return 0
    }
}

/// What an answer sends of a shared body.
private final class SharedPart: Sendable {
    let body: SharedBody
    let owner: (any Sendable)?
    let start: Int
    let exchange: Exchange

    init(body: SharedBody, owner: (any Sendable)?, start: Int, exchange: Exchange) {
        (self.body, self.owner, self.start, self.exchange) = (body, owner, start, exchange)
    }
}

/// The library asks for bytes to send of a body that is still coming in.
private func readPart(
    _ context: UnsafeMutableRawPointer?, _ position: UInt64, _ buffer: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    guard let context, let buffer else { return cmicrohttpd_broken() }
    let part = Unmanaged<SharedPart>.fromOpaque(context).takeUnretainedValue()
    guard !part.exchange.isAborted else { return cmicrohttpd_broken() }
    let place = part.start + Int(position)
    switch part.body.read(at: place, into: UnsafeMutableRawBufferPointer(start: buffer, count: room)) {
    case .bytes(let count): return count
    case .failed: return cmicrohttpd_broken()
    case .empty:
        part.exchange.waker.suspend()
        // Who aborts the exchange or fills the body wakes it afterwards, or has done so before this.
        if !part.body.park(part.exchange.waker, at: place) || part.exchange.isAborted { part.exchange.waker.wake() }
        return 0
    }
}

private func releaseOwner(_ context: UnsafeMutableRawPointer?) {
    guard let context else { return }
    Unmanaged<AnyObject>.fromOpaque(context).release()
}

/// The library asks for bytes to send.
private func readBody(
    _ context: UnsafeMutableRawPointer?, _ position: UInt64, _ buffer: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    guard let context, let buffer else { return cmicrohttpd_broken() }
    let exchange = Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
    switch exchange.outgoing.take(into: UnsafeMutableRawBufferPointer(start: buffer, count: room)) {
    case .bytes(let count): return count
    case .finished: return cmicrohttpd_end()
    case .failed: return cmicrohttpd_broken()
    case .empty:
        exchange.waker.suspend()
        if !exchange.outgoing.parkReader() { exchange.waker.wake() }
        return 0
    }
}

private func releaseBody(_ context: UnsafeMutableRawPointer?) {
    guard let context else { return }
    Unmanaged<Exchange>.fromOpaque(context).release()
}
