import Testing

@testable import HTTP

#if canImport(Glibc)
    import Glibc
#endif

/// A plain TCP connection, for bytes that no proper client would send. Its calls block, so they run on threads of their own.
final class RawClient: Sendable {
    struct Failure: Error {
        let what: String
    }

    private let descriptor: Int32

    init(_ port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Failure(what: "connect: \(errno)") }
    }

    deinit { close(descriptor) }

    /// Sends all of it; false when the peer is gone.
    @discardableResult
    func send(_ bytes: [UInt8]) async -> Bool {
        await blocking { [descriptor] in
            var sent = 0
            while sent < bytes.count {
                let count = bytes.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent, Int32(MSG_NOSIGNAL))
                }
                if count <= 0 { return false }
                sent += count
            }
            return true
        }
    }

    @discardableResult
    func send(_ text: String) async -> Bool { await send(Array(text.utf8)) }

    /// Reads until `isEnough` or the end of the connection.
    func receive(until isEnough: @escaping @Sendable ([UInt8]) -> Bool) async -> [UInt8] {
        await blocking { [descriptor] in
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 16384)
            while !isEnough(all) {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count <= 0 { break }
                all += buffer[..<count]
            }
            return all
        }
    }

    /// Everything until the server closes.
    func receiveAll() async -> String {
        String(decoding: await receive { _ in false }, as: UTF8.self)
    }

    /// Until `text` has come, or the end.
    func receive(until text: String) async -> String {
        let wanted = Array(text.utf8)
        return String(decoding: await receive { contains($0, wanted) }, as: UTF8.self)
    }

    func closeWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Closes with a reset.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        shutdown(descriptor, Int32(SHUT_RDWR))
    }
}

func contains(_ bytes: [UInt8], _ wanted: [UInt8]) -> Bool {
    guard bytes.count >= wanted.count else { return false }
    return (0...(bytes.count - wanted.count)).contains { bytes[$0..<($0 + wanted.count)].elementsEqual(wanted) }
}

/// Runs blocking code away from the few threads of the tasks.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        let whole: @Sendable () -> Void = { continuation.resume(returning: body()) }
        if !BlockingThread.start(whole) { whole() }
    }
}
