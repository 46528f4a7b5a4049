import CUSRSCTP

/// What an association tells.
enum SCTPEvent: Equatable {
    case up
    /// Ended by the peer or by time; nothing follows.
    case down
    case message(stream: UInt16, payload: UInt32, [UInt8])
    /// The peer closed its half of a stream (RFC 6525).
    case reset(stream: UInt16)
}

/// What became of a message.
enum SCTPSendOutcome: Equatable {
    case sent
    /// The send buffer has no room: the peer is slow or away.
    case full
    case refused
}

/// One SCTP association over a peer's DTLS (RFC 8261, RFC 8831 section 6). Lives on the data channel thread.
final class SCTPAssociation {
    /// The number that usrsctp knows the peer by.
    private(set) var id: UInt = 0
    /// Gets each packet that is to go to the peer.
    let output: ([UInt8]) -> Void
    private var socket: OpaquePointer?
    /// What happened inside usrsctp since the last look; taken outside of it, because its callbacks come while it is at work.
    private var events: [SCTPEvent] = []
    private var partial: [UInt8] = []
    private var isOverlong = false

    /// Begins to connect to the peer's port; both sides may at once (RFC 9260 section 5.2.1).
    init?(peerPort: UInt16, output: @escaping ([UInt8]) -> Void) {
        self.output = output
        id = SCTPLibrary.register(self)
        socket = tributary_sctp_open(id, peerPort)
        if socket == nil {
            SCTPLibrary.forget(id)
            return nil
        }
    }

    deinit { abort() }

    /// Feeds a packet as it came out of DTLS; one that is not sound is dropped.
    func receive(_ packet: [UInt8]) {
        guard SCTPPacketForm.isSound(packet.span) else { return }
        packet.withUnsafeBytes { tributary_sctp_input(id, $0.baseAddress, $0.count) }
    }

    /// Sends one message, or puts it into the send buffer.
    func send(_ bytes: [UInt8], stream: UInt16, payload: UInt32, reliability: ChannelReliability) -> SCTPSendOutcome {
        guard let socket else { return .refused }
        let (kind, value): (tributary_sctp_reliability, UInt32) =
            switch reliability.limit {
            case .none: (TRIBUTARY_SCTP_RELIABLE, 0)
            case .retransmissions(let count): (TRIBUTARY_SCTP_LIMITED_RETRANSMISSIONS, count)
            case .milliseconds(let time): (TRIBUTARY_SCTP_LIMITED_TIME, time)
            }
        let outcome = bytes.withUnsafeBytes {
            tributary_sctp_send(
                socket, $0.baseAddress, $0.count, stream, payload, reliability.isOrdered ? 1 : 0, kind, value)
        }
        switch outcome {
        case TRIBUTARY_SCTP_SENT: return .sent
        case TRIBUTARY_SCTP_FULL: return .full
        default: return .refused
        }
    }

    /// Closes our half of a stream (RFC 8831 section 6.7).
    func reset(stream: UInt16) {
        if let socket { tributary_sctp_reset(socket, stream) }
    }

    /// What happened since the last call, in order.
    func takeEvents() -> [SCTPEvent] {
        defer { events = [] }
        return events
    }

    /// Ends at once, with an ABORT to the peer; everything that waited is freed.
    func abort() {
        guard let open = socket else { return }
        socket = nil
        tributary_sctp_abort(open, id)
        SCTPLibrary.forget(id)
    }

    // MARK: Called by usrsctp

    /// A message that the receive window cannot hold comes in parts.
    func take(_ part: UnsafeRawBufferPointer, stream: UInt16, payload: UInt32, isEnd: Bool) {
        if partial.count + part.count > SCTPLimits.messageBytes { isOverlong = true }
        if !isOverlong { partial.append(contentsOf: part) }
        guard isEnd else { return }
        if !isOverlong { note(.message(stream: stream, payload: payload, partial)) }
        partial = []
        isOverlong = false
    }

    func note(_ event: SCTPEvent) { events.append(event) }
}
