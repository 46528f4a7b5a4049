import CLinux
import Glibc

/// The socket of one session that we dial, with its own send arena.
///
/// Two nodes have one port for each loop, so two sessions between the same two loops would share both addresses, and DTLS and SRTP
/// carry nothing else to tell them apart. A port of its own for the side that dials makes every session's addresses unique.
final class DialedSocket {
    let socket: UDPSocket
    let arena: UnsafeMutablePointer<SendArena>

    /// - Throws: ``MediaPlaneError`` when the system gives no socket or port.
    init(_ settings: MediaSettings) throws(MediaPlaneError) {
        socket = try UDPSocket(
            bindAddress: settings.bindAddress, port: 0,
            bufferBytes: min(settings.socketBufferBytes, MediaLimits.dialedBufferBytes))
        arena = .allocate(capacity: 1)
        arena.initialize(
            to: SendArena(
                descriptor: socket.descriptor, isDualStack: socket.isDualStack, usesSegmentation: settings.usesSegmentation))
    }

    deinit {
        arena.deinitialize(count: 1)
        arena.deallocate()
    }
}
