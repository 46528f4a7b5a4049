import CLinux
import Glibc

@testable import MediaPlane

/// Carries a ``TestPeer``'s datagrams over one TCP connection as a client without UDP would (RFC 4571), and can be as slow or as rude as
/// such a client.
final class TCPBridge {
    /// Where the peer sends its datagrams to.
    let port: UInt16
    private let near: UDPSocket
    private var far: Int32 = -1
    private let serverPort: UInt16
    private var peer = sockaddr_storage()
    private var peerLength: socklen_t = 0
    private var reader = FrameReader()
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    /// Leaves what the server sends where it is.
    var isReadingPaused = false
    /// Writes each byte by itself.
    var isDripping = false

    init(serverPort: UInt16) throws {
        self.serverPort = serverPort
        near = try UDPSocket(bindAddress: "127.0.0.1", port: 0, bufferBytes: 1 << 20)
        port = near.port
        connectAgain()
    }

    deinit {
        close(far)
        buffer.deallocate()
    }

    /// Ends the connection and opens another.
    func connectAgain() {
        close(far)
        reader = FrameReader()
        far = socket(AF_INET, tributary_sock_stream(), 0)
        // Small, so that a reader that stops is felt soon.
        var size: Int32 = 16 * 1024
        setsockopt(far, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        tributary_prepare_stream(far, 1 << 20)
        var storage = sockaddr_storage()
        let length = SocketAddress(ipv4: 0x7F00_0001, port: serverPort).encode(into: &storage, dualStack: false)
        _ = withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(far, $0, length) }
        }
    }

    /// Moves what is there in both directions; false when the server has closed the connection.
    @discardableResult
    func pump() -> Bool {
        while true {
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(near.descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT), $0, &length)
                }
            }
            guard count > 0 else { break }
            peerLength = length
            write([UInt8(count >> 8), UInt8(count & 0xFF)] + Array(buffer[0..<count]))
        }
        return isReadingPaused || read()
    }

    /// Sends bytes as they are.
    func write(_ bytes: [UInt8]) {
        let runs = isDripping ? bytes.map { [$0] } : [bytes]
        for run in runs { _ = run.withUnsafeBytes { send(far, $0.baseAddress, $0.count, tributary_no_signal()) } }
    }

    private func read() -> Bool {
        while true {
            let room = reader.room()
            let count = recv(far, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
            if count == 0 || (count < 0 && errno == ECONNRESET) { return false }
            guard count > 0 else { return true }
            reader.commit(count)
            while case .frame(let frame) = reader.next() {
                _ = withUnsafePointer(to: &peer) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        sendto(near.descriptor, frame.baseAddress, frame.count, 0, $0, peerLength)
                    }
                }
            }
        }
    }
}
