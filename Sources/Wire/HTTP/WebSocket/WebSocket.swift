/// The server's end of a WebSocket (RFC 6455): an asynchronous sequence of messages, and `send`.
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

    let incoming: BytePipe
    let outgoing: BytePipe

    init(incoming: BytePipe, outgoing: BytePipe) {
        (self.incoming, self.outgoing) = (incoming, outgoing)
    }

    /// Sends a text message; waits while the client is slow. Throws when the connection is gone.
    public func send(text: String) async throws { _ = text }

    /// Sends a binary message; waits while the client is slow. Throws when the connection is gone.
    public func send(binary: [UInt8]) async throws { _ = binary }

    /// Starts the closing handshake. Messages that are still to be read are lost.
    public func close(_ code: CloseCode = .normal, reason: String = "") async { _ = (code, reason) }

    /// Starts reading; one task at a time.
    public func makeAsyncIterator() -> Iterator { Iterator(socket: self) }

    /// Gives the messages in order, then nil when the client closed properly; throws when it vanished or broke the protocol.
    public struct Iterator: AsyncIteratorProtocol {
        let socket: WebSocket

        /// The next message.
        public mutating func next() async throws -> Message? { nil }
    }
}
