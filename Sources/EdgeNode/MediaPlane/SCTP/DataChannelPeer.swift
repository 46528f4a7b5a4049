/// A message on its way from one peer to others.
struct DataMessage {
    /// The channel it came on.
    let label: [UInt8]
    let payload: UInt32
    let bytes: [UInt8]
}

/// One peer's association and the channels it opened (RFC 8831, RFC 8832). Lives on the data channel thread.
///
/// The association is made when the peer's first packet comes, so that a peer that agreed on data channels and uses none costs nothing.
final class DataChannelPeer {
    struct Channel: Equatable {
        let label: [UInt8]
        let reliability: ChannelReliability
    }

    let order: DataChannelOrder
    private var association: SCTPAssociation?
    private(set) var channels: [UInt16: Channel] = [:]
    private var associationsLeft = SCTPLimits.associationsPerPeer
    private var budget = TokenBucket(perSecond: SCTPLimits.viewerMessagesPerSecond, burst: SCTPLimits.viewerMessageBurst)

    init(_ order: DataChannelOrder) { self.order = order }

    /// What usrsctp knows it by, while it is there.
    var associationID: UInt? { association?.id }

    /// Feeds one packet from DTLS; returns what is to be passed on.
    func receive(_ packet: [UInt8], now: UInt64) -> [DataMessage] {
        if association == nil {
            guard associationsLeft > 0 else { return [] }
            associationsLeft -= 1
            association = SCTPAssociation(peerPort: order.peerPort, output: order.send)
        }
        association?.receive(packet)
        return takeEvents(now: now)
    }

    /// What happened in the association meanwhile; returns what is to be passed on.
    func takeEvents(now: UInt64) -> [DataMessage] {
        var messages: [DataMessage] = []
        for event in association?.takeEvents() ?? [] {
            switch event {
            case .up: break
            case .down: close()
            case .reset(let stream): reset(stream)
            case .message(let stream, let payload, let bytes):
                if let message = take(bytes, payload, on: stream, now: now) { messages.append(message) }
            }
        }
        return messages
    }

    private func take(_ bytes: [UInt8], _ payload: UInt32, on stream: UInt16, now: UInt64) -> DataMessage? {
        switch DataPayload(rawValue: payload) {
        case .dcep:
            open(bytes, on: stream)
            return nil
        case .text, .binary, .emptyText, .emptyBinary:
            // Without an OPEN the two applications agreed on the channel between themselves (RFC 8831 section 6.5).
            if channels[stream] == nil { add(Channel(label: [], reliability: ChannelReliability()), on: stream) }
            guard let channel = channels[stream], order.isPublisher || budget.take(now: now) else { return nil }
            return DataMessage(label: channel.label, payload: payload, bytes: bytes)
        case nil: return nil
        }
    }

    private func open(_ bytes: [UInt8], on stream: UInt16) {
        // Anything but a well-formed OPEN leaves things as they are.
        guard case .open(let label, _, let reliability)? = try? DCEPMessage(parsing: bytes.span) else { return }
        guard label.count <= SCTPLimits.labelBytes, add(Channel(label: label, reliability: reliability), on: stream) else {
            association?.reset(stream: stream)
            return
        }
        _ = association?.send(
            DCEPMessage.acknowledge.bytes, stream: stream, payload: DataPayload.dcep.rawValue, reliability: ChannelReliability())
    }

    @discardableResult
    private func add(_ channel: Channel, on stream: UInt16) -> Bool {
        guard channels[stream] != nil || channels.count < SCTPLimits.channelsPerPeer else { return false }
        channels[stream] = channel
        return true
    }

    /// The peer closed a channel; our half follows (RFC 8831 section 6.7).
    private func reset(_ stream: UInt16) {
        if channels.removeValue(forKey: stream) != nil { association?.reset(stream: stream) }
    }

    /// Sends to the peer's channels of the message's label; a peer that has none of that label gets it on all it has.
    ///
    /// A channel that may lose messages loses this one when there is no room for it. A viewer whose channel may not is too slow for
    /// the stream, and its association is closed. The publisher loses the message in either case: it is one viewer's, and others
    /// wait for the channel.
    func send(_ message: DataMessage) {
        guard message.bytes.count <= order.messageBytes else { return }
        let isNamed = channels.contains { $0.value.label == message.label }
        var isTooSlow = false
        for (stream, channel) in channels where !isNamed || channel.label == message.label {
            let outcome = association?.send(
                message.bytes, stream: stream, payload: message.payload, reliability: channel.reliability)
            if outcome == .full, channel.reliability.limit == .none, !order.isPublisher { isTooSlow = true }
        }
        if isTooSlow { close() }
    }

    /// Gives everything up; the peer may begin again.
    func close() {
        association?.abort()
        association = nil
        channels = [:]
    }
}
