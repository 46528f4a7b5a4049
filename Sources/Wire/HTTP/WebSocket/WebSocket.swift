/// The server's end of a WebSocket (RFC 6455): an asynchronous sequence of messages, and `send`.
///
/// Pings go out every 15 s; a client that answers nothing for 45 s counts as gone. A message over the server's
/// `webSocketMessageBytes` closes the connection with 1009. Messages that are not read yet hold the client back.
public final class WebSocket: AsyncSequence, Sendable {
    /// A message.
    public enum Message: Sendable, Equatable {
        /// A text message; always valid UTF-8.
        case text(String)
        /// A binary message.
        case binary([UInt8])
    }

    /// Why a connection ended (RFC 6455 section 7.4).
    public struct CloseCode: RawRepresentable, Hashable, Sendable {
        /// The number on the wire.
        public let rawValue: UInt16
        /// Any code.
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// 1000
        public static let normal = CloseCode(rawValue: 1000)
        /// 1001: the server stops.
        public static let goingAway = CloseCode(rawValue: 1001)
        /// 1002
        public static let protocolError = CloseCode(rawValue: 1002)
        /// 1008
        public static let policyViolation = CloseCode(rawValue: 1008)
        /// 1009
        public static let messageTooBig = CloseCode(rawValue: 1009)
        /// 1011
        public static let internalError = CloseCode(rawValue: 1011)
    }

    /// The connection vanished or broke the protocol.
    public struct Broken: Error, Equatable {}

    // A message is one chunk: its opcode, then its bytes. The pipes keep chunks whole.
    let incoming: BytePipe
    let outgoing: BytePipe

    init(incoming: BytePipe, outgoing: BytePipe) {
        (self.incoming, self.outgoing) = (incoming, outgoing)
    }

    /// Sends a text message; waits while the client is slow. Throws when the connection is gone. Any task may call it.
    public func send(text: String) async throws { try await outgoing.write([Opcode.text] + Array(text.utf8)) }

    /// Sends a binary message; waits while the client is slow. Throws when the connection is gone. Any task may call it.
    public func send(binary: [UInt8]) async throws { try await outgoing.write([Opcode.binary] + binary) }

    /// Starts the closing handshake; what was sent before still arrives. Safe to call twice.
    /// - Parameter reason: at most 123 bytes of UTF-8, more is cut off.
    public func close(_ code: CloseCode = .normal, reason: String = "") {
        var bytes: [UInt8] = []
        for scalar in reason.unicodeScalars {
            let next = Array(String(scalar).utf8)
            guard bytes.count + next.count <= 123 else { break }
            bytes += next
        }
        _ = outgoing.offer([Opcode.close, UInt8(code.rawValue >> 8), UInt8(truncatingIfNeeded: code.rawValue)] + bytes)
        outgoing.finish()
    }

    /// Starts reading; one task at a time.
    public func makeAsyncIterator() -> Iterator { Iterator(socket: self) }

    /// Gives the messages in order, then nil when the client closed properly.
    public struct Iterator: AsyncIteratorProtocol {
        let socket: WebSocket

        /// The next message. Throws ``WebSocket/Broken`` when the client vanished or broke the protocol.
        public mutating func next() async throws -> Message? {
            guard let chunk = try await socket.incoming.read(), let opcode = chunk.first else { return nil }
            let payload = chunk.dropFirst()
            return opcode == Opcode.text ? .text(String(decoding: payload, as: UTF8.self)) : .binary(Array(payload))
        }
    }
}

/// Opcodes of frames (RFC 6455 section 5.2).
enum Opcode {
    static let text: UInt8 = 1
    static let binary: UInt8 = 2
    static let close: UInt8 = 8
    static let ping: UInt8 = 9
}
