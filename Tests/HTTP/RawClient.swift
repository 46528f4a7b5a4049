import CMicrohttpd
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
    private let kept = Locked<[UInt8]>([])
    private let timedOut = Locked(false)

    init(_ port: UInt16) throws {
        descriptor = cmicrohttpd_stream_socket(AF_INET, 1)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var limit = timeval(tv_sec: 50, tv_usec: 0)
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
                    write(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent)
                }
                if count <= 0 { return false }
                sent += count
            }
            return true
        }
    }

    @discardableResult
    func send(_ text: String) async -> Bool { await send(Array(text.utf8)) }

    /// Reads until `cut` tells where the wanted bytes end, or to the end of the connection; what is beyond is kept for the next call.
    private func receive(_ cut: @escaping @Sendable ([UInt8]) -> Int?) async -> [UInt8] {
        let start = kept.withLock { kept in
            defer { kept = [] }
            return kept
        }
        let (all, end) = await blocking { [self] in
            var all = start
            var buffer = [UInt8](repeating: 0, count: 65536)
            while true {
                if let end = cut(all) { return (all, end) }
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count <= 0 {
                    if count < 0, errno == EAGAIN { timedOut.withLock { $0 = true } }
                    return (all, all.count)
                }
                all += buffer[..<count]
            }
        }
        kept.withLock { $0 = Array(all[end...]) }
        return Array(all[..<end])
    }

    /// Exactly so many bytes, fewer when the connection ends before.
    func receive(count: Int) async -> [UInt8] { await receive { $0.count >= count ? count : nil } }

    /// Everything until the server closes.
    func receiveBytes() async -> [UInt8] { await receive { _ in nil } }

    /// Everything until the server closes.
    func receiveAll() async -> String { String(decoding: await receiveBytes(), as: UTF8.self) }

    /// Through the first `text`, or to the end of the connection.
    func receive(until text: String) async -> String {
        let wanted = Array(text.utf8)
        return String(decoding: await receive { firstEnd(of: wanted, in: $0) }, as: UTF8.self)
    }

    /// Whether the server kept silent for 50 s.
    var hasTimedOut: Bool { timedOut.withLock { $0 } }

    func closeWriting() { cmicrohttpd_end_sending(descriptor) }

    /// Closes with a reset.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        cmicrohttpd_break(descriptor)
    }
}

private func firstEnd(of wanted: [UInt8], in bytes: [UInt8]) -> Int? {
    guard bytes.count >= wanted.count else { return nil }
    return (0...(bytes.count - wanted.count)).first { bytes[$0..<($0 + wanted.count)].elementsEqual(wanted) }.map {
        $0 + wanted.count
    }
}

/// Runs blocking code away from the few threads of the tasks.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        let whole: @Sendable () -> Void = { continuation.resume(returning: body()) }
        if !BlockingThread.start(whole) { whole() }
    }
}
