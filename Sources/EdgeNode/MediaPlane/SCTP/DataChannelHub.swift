/// A stream of one media plane: who is in the same room hears each other.
struct DataChannelRoom: Hashable, Sendable {
    let plane: UInt64
    let stream: StreamKey
}

/// A peer that agreed on data channels.
struct DataChannelOrder: Sendable {
    let room: DataChannelRoom
    let isPublisher: Bool
    /// The peer's `a=sctp-port`.
    let peerPort: UInt16
    /// The longest message that the peer takes.
    let messageBytes: Int
    /// Takes packets for the peer's DTLS; any thread's.
    let send: @Sendable ([UInt8]) -> Void
}

/// Passes messages on: what the publisher says to every viewer, what a viewer says to the publisher. Lives on the data channel thread.
final class DataChannelHub {
    private struct Room {
        var publisher: UInt64?
        var viewers: Set<UInt64> = []
    }

    private var peers: [UInt64: DataChannelPeer] = [:]
    private var rooms: [DataChannelRoom: Room] = [:]
    private var peerOfAssociation: [UInt: UInt64] = [:]

    /// Whether there is an association whose timers may be due.
    var hasAssociations: Bool { associationCount > 0 }

    /// How many associations there are.
    var associationCount: Int { peerOfAssociation.count }

    /// Whether the peer has an association, coming up or up.
    func isConnected(_ id: UInt64) -> Bool { peers[id]?.associationID != nil }

    /// How many channels the peer has.
    func channelCount(_ id: UInt64) -> Int { peers[id]?.channels.count ?? 0 }

    /// Lets a peer in. A second publisher takes the first one's place.
    func join(_ id: UInt64, _ order: DataChannelOrder) {
        peers[id] = DataChannelPeer(order)
        if order.isPublisher {
            rooms[order.room, default: Room()].publisher = id
        } else {
            rooms[order.room, default: Room()].viewers.insert(id)
        }
    }

    func leave(_ id: UInt64) {
        guard let peer = peers.removeValue(forKey: id) else { return }
        if let association = peer.associationID { peerOfAssociation[association] = nil }
        peer.close()
        let key = peer.order.room
        guard var room = rooms[key] else { return }
        if room.publisher == id { room.publisher = nil }
        room.viewers.remove(id)
        rooms[key] = room.publisher == nil && room.viewers.isEmpty ? nil : room
    }

    /// Feeds a packet of a peer.
    func receive(_ id: UInt64, _ packet: [UInt8], now: UInt64) {
        guard let peer = peers[id] else { return }
        follow(id, peer) { peer.receive(packet, now: now) }
    }

    /// Lets usrsctp's time pass.
    func advance(milliseconds: UInt32, now: UInt64) {
        SCTPLibrary.advance(milliseconds: milliseconds)
        for association in SCTPLibrary.takeActive() {
            guard let id = peerOfAssociation[association], let peer = peers[id] else { continue }
            follow(id, peer) { peer.takeEvents(now: now) }
        }
    }

    /// Passes on what a peer said, and keeps up with its association coming and going.
    private func follow(_ id: UInt64, _ peer: DataChannelPeer, _ body: () -> [DataMessage]) {
        let before = peer.associationID
        for message in body() { forward(message, from: peer) }
        note(id, peer, before: before)
    }

    private func note(_ id: UInt64, _ peer: DataChannelPeer, before: UInt?) {
        let after = peer.associationID
        guard before != after else { return }
        if let before { peerOfAssociation[before] = nil }
        if let after { peerOfAssociation[after] = id }
    }

    private func forward(_ message: DataMessage, from peer: DataChannelPeer) {
        guard let room = rooms[peer.order.room] else { return }
        if peer.order.isPublisher {
            for viewer in room.viewers { send(message, to: viewer) }
        } else if let publisher = room.publisher {
            send(message, to: publisher)
        }
    }

    private func send(_ message: DataMessage, to id: UInt64) {
        guard let peer = peers[id] else { return }
        let before = peer.associationID
        peer.send(message)
        note(id, peer, before: before)
    }
}
