@testable import MediaPlane

/// Two transports joined by a seeded in-memory network on virtual time.
final class TransportPair {
    struct Rules {
        var lossPercent = 0
        /// Number of the flight (all datagrams of one call, counted over both sides) that is lost whole.
        var lostFlight: Int?
        var delayNs: UInt64 = 10_000_000
        var jitterNs: UInt64 = 0
        /// How long a step of the server's handshake is away; nil does them in place.
        var handshakeNs: UInt64?
    }

    private struct Datagram {
        let at: UInt64
        let serial: Int
        let from: SocketAddress
        let to: SocketAddress
        let bytes: [UInt8]
    }

    let server: PeerTransport
    let client: PeerTransport
    let serverAddress = SocketAddress(ipv4: 0x7F00_0001, port: 7000)
    var clientAddress = SocketAddress(ipv4: 0x7F00_0001, port: 9000)
    var rules: Rules
    var now: UInt64 = 1_000_000_000
    private var random: Mutator.Random
    private var inFlight: [Datagram] = []
    private var serial = 0
    private(set) var flightCount = 0
    private(set) var largestDatagram = 0
    private(set) var serverReceived: [Received] = []
    private(set) var clientReceived: [Received] = []
    /// Plain packets that came out, in order.
    private(set) var serverPlain: [[UInt8]] = []
    private(set) var clientPlain: [[UInt8]] = []
    private var output = TransportOutput()
    /// The step of the server's handshake that is away, and when it comes back.
    private var away: (step: HandshakeStep, at: UInt64)?
    private var scratch = TransportOutput(capacity: 32)
    private(set) var stepCount = 0
    private let clock: UnsafeMutablePointer<UInt64>
    /// Turns a datagram on its way into others; nil leaves it as it is.
    var rewrite: (([UInt8]) -> [[UInt8]]?)?

    init(
        clock: UnsafeMutablePointer<UInt64>, seed: UInt64 = 1, rules: Rules = Rules(), serverIsDTLSClient: Bool = false,
        serverProfiles: [SRTPProfile] = SRTPProfile.allCases, profiles: [SRTPProfile] = SRTPProfile.allCases,
        clientFingerprint: [PeerFingerprint]? = nil, serverFingerprint: [PeerFingerprint]? = nil, serverRole: ICERole = .lite,
        clientCurve: String = "P-256", clientShowsCertificate: Bool = true,
        asker: SocketAddress? = SocketAddress(ipv4: 0x7F00_0001, port: 0)
    ) throws {
        self.clock = clock
        self.rules = rules
        random = Mutator.Random(seed: seed)
        let serverIdentity = try DTLSCertificate()
        let clientIdentity = try DTLSCertificate(curve: clientCurve, isShown: clientShowsCertificate)
        let serverPair = ICECredentialPair(ufrag: "srv1", password: "serverpasswordserverpassword")
        let clientPair = ICECredentialPair(ufrag: "cli1", password: "clientpasswordclientpassword")
        let right = [PeerFingerprint(algorithm: "SHA-256", bytes: clientIdentity.sha256Fingerprint)]
        server = try PeerTransport(
            settings: TransportSettings(
                local: serverPair, remote: clientPair, remoteFingerprints: clientFingerprint ?? right, iceRole: serverRole,
                dtlsRole: serverIsDTLSClient ? .client : .server, certificate: serverIdentity,
                remoteCandidates: [clientAddress], asker: asker, seed: seed &+ 1,
                profiles: serverProfiles, handshakesElsewhere: rules.handshakeNs != nil),
            now: now)
        client = try PeerTransport(
            settings: TransportSettings(
                local: clientPair, remote: serverPair,
                remoteFingerprints: serverFingerprint
                    ?? [PeerFingerprint(algorithm: "sha-256", bytes: serverIdentity.sha256Fingerprint)],
                iceRole: .controlling, dtlsRole: serverIsDTLSClient ? .server : .client, certificate: clientIdentity,
                remoteCandidates: [serverAddress], seed: seed &+ 2, profiles: profiles),
            now: now)
    }

    var isConnected: Bool { server.state == .connected && client.state == .connected }

    /// Virtual seconds since the start.
    var elapsedMs: UInt64 { (now - 1_000_000_000) / 1_000_000 }

    /// Puts what a side wants sent on the wire.
    private func ship(from: SocketAddress) {
        guard !output.isEmpty else { return }
        let flight = flightCount
        flightCount += 1
        for index in 0..<output.count {
            let bytes = Array(output.bytes(at: index))
            largestDatagram = max(largestDatagram, bytes.count)
            for bytes in rewrite?(bytes) ?? [bytes] {
                send(bytes, from: from, to: output.address(at: index), flight: flight)
            }
        }
        output.removeAll()
    }

    func send(_ bytes: [UInt8], from: SocketAddress, to: SocketAddress, flight: Int = -1) {
        if rules.lostFlight == flight { return }
        if Int.random(in: 0..<100, using: &random) < rules.lossPercent { return }
        let jitter = rules.jitterNs > 0 ? UInt64.random(in: 0..<rules.jitterNs, using: &random) : 0
        serial += 1
        inFlight.append(Datagram(at: now + rules.delayNs + jitter, serial: serial, from: from, to: to, bytes: bytes))
    }

    /// One event: the next datagram arrives or the next deadline is due. False when there is nothing left to do.
    @discardableResult
    func step() -> Bool {
        let next = inFlight.indices.min { (inFlight[$0].at, inFlight[$0].serial) < (inFlight[$1].at, inFlight[$1].serial) }
        let arrival = next.map { inFlight[$0].at } ?? .max
        let deadline = min(server.nextDeadlineNs, client.nextDeadlineNs)
        let returning = away?.at ?? .max
        let at = min(arrival, deadline, returning)
        guard at != .max else { return false }
        advance(to: max(now, at))
        defer { sendAway() }
        if returning == at {
            comeBack()
        } else if arrival <= deadline, let next {
            deliver(inFlight.remove(at: next))
        } else {
            server.handleTimeout(now: now, output: &output)
            ship(from: serverAddress)
            client.handleTimeout(now: now, output: &output)
            ship(from: clientAddress)
        }
        return true
    }

    private func sendAway() {
        guard away == nil, let step = server.takeHandshakeStep() else { return }
        away = (step, now + (rules.handshakeNs ?? 0))
        stepCount += 1
    }

    /// The step is carried out when it comes back, which is the same thing on virtual time.
    private func comeBack() {
        guard let step = away.take()?.step else { return }
        step.run(now: now, scratch: &scratch)
        server.finish(step, now: now, output: &output)
        ship(from: serverAddress)
        for held in server.takeHeld() { deliver(held.bytes, from: held.address, toServer: true) }
    }

    private func advance(to time: UInt64) {
        clock.pointee += time - now
        now = time
    }

    private func deliver(_ datagram: Datagram) {
        let isServer = datagram.to == serverAddress
        guard isServer || datagram.to == clientAddress else { return }
        deliver(datagram.bytes, from: datagram.from, toServer: isServer)
    }

    private func deliver(_ datagram: [UInt8], from: SocketAddress, toServer isServer: Bool) {
        var bytes = datagram
        let received = bytes.withUnsafeMutableBytes { buffer in
            (isServer ? server : client).receive(buffer, from: from, now: now, output: &output)
        }
        ship(from: isServer ? serverAddress : clientAddress)
        if isServer { serverReceived.append(received) } else { clientReceived.append(received) }
        switch received {
        case .rtp(let count), .rtcp(let count):
            if isServer { serverPlain.append(Array(bytes.prefix(count))) } else { clientPlain.append(Array(bytes.prefix(count))) }
        case .none, .dropped: break
        }
    }

    /// Runs until `done` or `limitMs` of virtual time; true when done.
    @discardableResult
    func run(limitMs: UInt64, until done: (TransportPair) -> Bool = { _ in false }) -> Bool {
        let end = now + limitMs * 1_000_000
        while !done(self) {
            let next = min(inFlight.map(\.at).min() ?? .max, server.nextDeadlineNs, client.nextDeadlineNs, away?.at ?? .max)
            guard next <= end else {
                advance(to: end)
                return done(self)
            }
            step()
        }
        return true
    }

    func sendData(_ bytes: [UInt8], fromServer: Bool) {
        bytes.withUnsafeBytes { (fromServer ? server : client).sendApplicationData($0, output: &output) }
        ship(from: fromServer ? serverAddress : clientAddress)
    }

    func closeServer() {
        server.close(output: &output)
        ship(from: serverAddress)
    }

    /// The same for media from an address that the server's loop doesn't know; nil when it can't be the client's.
    func feedServerElsewhere(_ bytes: [UInt8], from: SocketAddress) -> Received? {
        guard bytes.withUnsafeBytes({ server.mayContinue($0, from: from) }) else { return nil }
        var bytes = bytes
        let received = bytes.withUnsafeMutableBytes { server.receiveElsewhere($0, from: from, now: now, output: &output) }
        ship(from: serverAddress)
        return received
    }

    /// Feeds bytes to the server as if they had just arrived, what it says goes on the wire.
    func feedServer(_ bytes: [UInt8], from: SocketAddress) -> Received {
        var bytes = bytes
        let received = bytes.withUnsafeMutableBytes { server.receive($0, from: from, now: now, output: &output) }
        ship(from: serverAddress)
        return received
    }
}

/// A plain RTP packet with a 12-byte header.
func rtpPacket(ssrc: UInt32, sequence: UInt16, payload: [UInt8], extensionWords: Int = 0, csrcs: Int = 0) -> [UInt8] {
    var packet: [UInt8] = [0x80 | UInt8(csrcs) | (extensionWords > 0 ? 0x10 : 0), 96]
    packet += [UInt8(sequence >> 8), UInt8(sequence & 0xFF), 0, 0, 0, 7]
    packet += (0..<4).map { UInt8(truncatingIfNeeded: ssrc >> (24 - 8 * UInt32($0))) }
    for index in 0..<csrcs { packet += [0, 0, 0, UInt8(index)] }
    if extensionWords > 0 {
        packet += [0xBE, 0xDE, 0, UInt8(extensionWords)]
        packet += (0..<(4 * extensionWords)).map { UInt8($0 & 0xFF) }
    }
    return packet + payload
}

extension PeerTransport {
    /// Test form of ``protectRTP(header:payload:extendedSequence:into:)``.
    func protect(_ packet: [UInt8], headerBytes: Int = 12, rollover: UInt64 = 0) -> [UInt8] {
        let sequence = UInt64(packet[2]) << 8 | UInt64(packet[3])
        var out = [UInt8](repeating: 0, count: packet.count + Limits.srtpTrailerBytes)
        let count = packet.withUnsafeBytes { bytes in
            out.withUnsafeMutableBytes { place in
                protectRTP(
                    header: UnsafeRawBufferPointer(rebasing: bytes[..<headerBytes]),
                    payload: UnsafeRawBufferPointer(rebasing: bytes[headerBytes...]),
                    extendedSequence: rollover << 16 | sequence, into: place.baseAddress!)
            }
        }
        return Array(out.prefix(count))
    }

    /// Test form of ``protectRTCP(_:into:)``.
    func protectControl(_ packet: [UInt8]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: packet.count + Limits.srtpTrailerBytes)
        let count = packet.withUnsafeBytes { bytes in
            out.withUnsafeMutableBytes { protectRTCP(bytes, into: $0.baseAddress!) }
        }
        return Array(out.prefix(count))
    }
}
