@testable import MediaPlane

/// A hub and clients with SCTP of their own, joined by a wire in memory, on virtual time; all on the data channel thread.
final class ChannelLab {
    final class Client {
        let id: UInt64
        private(set) var association: SCTPAssociation?
        private(set) var isUp = false
        private(set) var isDown = false
        /// Messages with their stream.
        private(set) var heard: [(stream: UInt16, bytes: [UInt8])] = []
        /// Streams of its own that the hub closed.
        private(set) var closed: [UInt16] = []
        /// Packets of the hub that are lost on their way here.
        var isDeaf = false

        init(_ id: UInt64, output: @escaping ([UInt8]) -> Void) {
            self.id = id
            association = SCTPAssociation(peerPort: SCTPLimits.port, output: output)
        }

        func receive(_ packet: [UInt8]) {
            guard !isDeaf else { return }
            association?.receive(packet)
            follow()
        }

        func follow() {
            for event in association?.takeEvents() ?? [] {
                switch event {
                case .up: isUp = true
                case .down: isDown = true
                case .reset(let stream): closed.append(stream)
                case .message(let stream, let payload, let bytes):
                    if payload != DataPayload.dcep.rawValue { heard.append((stream, bytes)) }
                }
            }
        }

        func open(_ label: String, on stream: UInt16, _ reliability: ChannelReliability = ChannelReliability()) {
            let message = DCEPMessage.open(label: Array(label.utf8), protocol: [], reliability: reliability)
            _ = association?.send(
                message.bytes, stream: stream, payload: DataPayload.dcep.rawValue, reliability: ChannelReliability())
        }

        @discardableResult
        func say(_ bytes: [UInt8], on stream: UInt16) -> SCTPSendOutcome {
            association?.send(
                bytes, stream: stream, payload: DataPayload.binary.rawValue, reliability: ChannelReliability()) ?? .refused
        }

        func close() {
            association?.abort()
            association = nil
        }
    }

    private enum Packet {
        case toHub(UInt64, [UInt8])
        case toClient(UInt64, [UInt8])
    }

    /// Where the hub's packets go; its closures may be called from anywhere, these are not.
    // why: the lab and its hub live on one thread.
    private final class Wire: @unchecked Sendable {  // why: see above
        var packets: [Packet] = []
    }

    let hub = DataChannelHub()
    private let wire = Wire()
    private var clients: [UInt64: Client] = [:]
    private static let room = DataChannelRoom(plane: 0, stream: StreamKey(id: 1))
    private(set) var now: UInt64 = 1_000_000_000
    /// Everything that went to the hub.
    private(set) var sentToHub: [[UInt8]] = []
    private(set) var largestPacket = 0
    /// What usrsctp reads its times from.
    private let clock: UnsafeMutablePointer<UInt64>

    init(clock: UnsafeMutablePointer<UInt64>) { self.clock = clock }

    /// Lets a peer in and connects it.
    func join(_ id: UInt64, isPublisher: Bool = false, messageBytes: Int = .max) -> Client {
        let wire = wire
        hub.join(
            id,
            DataChannelOrder(
                room: Self.room, isPublisher: isPublisher, peerPort: SCTPLimits.port, messageBytes: messageBytes,
                send: { wire.packets.append(.toClient(id, $0)) }))
        let client = Client(id) { wire.packets.append(.toHub(id, $0)) }
        clients[id] = client
        run(milliseconds: 50)
        return client
    }

    /// The same peer with an association of its own anew.
    func rejoin(_ id: UInt64) -> Client {
        guard clients[id] != nil else { return join(id) }
        let wire = wire
        let client = Client(id) { wire.packets.append(.toHub(id, $0)) }
        clients[id] = client
        run(milliseconds: 50)
        return client
    }

    /// Lets a publisher and a viewer in who each have a channel `a` on stream 0.
    func joinTwo() -> (publisher: Client, viewer: Client) {
        let two = (join(1, isPublisher: true), join(2))
        two.0.open("a", on: 0)
        two.1.open("a", on: 0)
        run(milliseconds: 50)
        return two
    }

    /// Feeds the hub a packet that no association made.
    func inject(_ packet: [UInt8], from id: UInt64) {
        hub.receive(id, packet, now: now)
        pump()
    }

    /// Delivers everything, also what that causes.
    func pump() {
        while !wire.packets.isEmpty {
            let packets = wire.packets
            wire.packets = []
            for packet in packets { deliver(packet) }
        }
    }

    private func deliver(_ packet: Packet) {
        switch packet {
        case .toHub(let id, let bytes):
            largestPacket = max(largestPacket, bytes.count)
            sentToHub.append(bytes)
            hub.receive(id, bytes, now: now)
        case .toClient(let id, let bytes):
            largestPacket = max(largestPacket, bytes.count)
            clients[id]?.receive(bytes)
        }
    }

    /// Lets time pass, on the wire and for usrsctp.
    func run(milliseconds: Int) {
        pump()
        for _ in 0..<(milliseconds / 10) {
            now += 10_000_000
            clock.pointee += 10_000_000
            hub.advance(milliseconds: 10, now: now)
            for client in clients.values { client.follow() }
            pump()
        }
    }

    func finish() {
        for (id, client) in clients {
            hub.leave(id)
            client.close()
        }
    }

    /// Runs `body` with a lab on the thread that usrsctp belongs to.
    static func run<Result: Sendable>(_ body: @escaping @Sendable (ChannelLab) -> Result) async throws -> Result {
        let thread = try DataChannelThread.shared()
        return await withCheckedContinuation { done in
            thread.post(
                .perform {
                    let result = withWallClock { clock in
                        let lab = ChannelLab(clock: clock)
                        defer { lab.finish() }
                        return body(lab)
                    }
                    done.resume(returning: result)
                })
        }
    }
}

extension [UInt8] {
    /// An SCTP packet with its checksum made right (RFC 9260 section 6.8), so that a damaged one is looked into.
    func withChecksum() -> [UInt8] {
        guard count >= 12 else { return self }
        var packet = self
        for index in 8..<12 { packet[index] = 0 }
        var crc: UInt32 = .max
        for byte in packet {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : crc >> 1 ^ 0x82F6_3B78 }
        }
        crc = ~crc
        for index in 0..<4 { packet[8 + index] = UInt8(truncatingIfNeeded: crc >> (8 * UInt32(index))) }
        return packet
    }
}
