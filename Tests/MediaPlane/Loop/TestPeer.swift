import CLinux
import Glibc
import Testing

@testable import MediaPlane

/// A client on a real UDP socket: checks, handshakes, sends and receives like any publisher or viewer, on the caller's thread.
final class TestPeer {
    struct Credentials {
        let ufrag: String
        let password: String

        static func random() -> Credentials {
            let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
            func text(_ count: Int) -> String { String((0..<count).map { _ in letters.randomElement() ?? "x" }) }
            return Credentials(ufrag: text(8), password: text(24))
        }
    }

    let local = Credentials.random()
    let remote = Credentials.random()
    let certificate: DTLSCertificate
    private var socket: UDPSocket
    private var transport: PeerTransport?
    private var output = TransportOutput()
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2048, alignment: 16)

    /// Decrypted RTP in order of arrival, and every RTCP compound.
    private(set) var media: [[UInt8]] = []
    private(set) var reports: [[UInt8]] = []
    /// Where RTP came from.
    private(set) var mediaSources: Set<SocketAddress> = []
    /// RTP as it was on the wire, replays too.
    private(set) var encrypted: [[UInt8]] = []
    /// Return true to lose a datagram of RTP before it is looked at.
    var loses: (UInt16) -> Bool = { _ in false }
    /// Whether it sends checks of its own; answers it sends in any case.
    var sendsChecks = true
    /// Return true to lose a packet of ours on its way out; it can be resent.
    var losesOutgoing: (UInt16) -> Bool = { _ in false }
    private var sent: [UInt16: [UInt8]] = [:]
    private var answered = 0

    init() throws {
        certificate = try DTLSCertificate()
        socket = try UDPSocket(bindAddress: "127.0.0.1", port: 0, bufferBytes: 4 << 20)
    }

    deinit { buffer.deallocate() }

    /// What the plane is told about this peer.
    var spec: TransportSpec {
        TransportSpec(
            localUfrag: remote.ufrag, localPassword: remote.password, remoteUfrag: local.ufrag, remotePassword: local.password,
            remoteFingerprints: [.init(algorithm: "sha-256", bytes: certificate.sha256Fingerprint)], isDTLSClient: false)
    }

    func connect(to plane: MediaPlane, _ handle: SessionHandle) throws {
        try begin(to: plane, handle)
        guard run(until: { $0.isConnected }) else { throw TestPeerError.notConnected }
    }

    /// Makes ready to connect; ``step()`` and ``run(seconds:until:)`` do it.
    ///
    /// - Parameter host: the plane's address to ask, of those it has.
    func begin(to plane: MediaPlane, _ handle: SessionHandle, host: UInt32 = 0x7F00_0001) throws {
        let port = try #require(plane.candidates(loop: handle.loop).first?.port)
        try begin(port: port, fingerprint: plane.fingerprint, host: host)
    }

    /// - Parameter meanwhile: called between two looks at the socket, for a loop that has no thread of its own.
    func connect(port: UInt16, fingerprint: [UInt8], seconds: Double = 30, _ meanwhile: () -> Void) throws {
        try begin(port: port, fingerprint: fingerprint)
        let isUp = run(seconds: seconds) {
            meanwhile()
            return $0.isConnected
        }
        guard isUp else { throw TestPeerError.notConnected }
    }

    private func begin(port: UInt16, fingerprint: [UInt8], host: UInt32 = 0x7F00_0001) throws {
        transport = try PeerTransport(
            settings: TransportSettings(
                local: ICECredentialPair(ufrag: local.ufrag, password: local.password),
                remote: ICECredentialPair(ufrag: remote.ufrag, password: remote.password),
                remoteFingerprints: [PeerFingerprint(algorithm: "sha-256", bytes: fingerprint)], iceRole: .controlling,
                dtlsRole: .client, certificate: certificate, remoteCandidates: [SocketAddress(ipv4: host, port: port)]),
            now: tributary_monotonic_ns())
    }

    var isConnected: Bool { transport?.state == .connected }
    var state: TransportState { transport?.state ?? .new }

    /// Reads and answers until `done` or the deadline; returns whether `done` came true.
    @discardableResult
    func run(seconds: Double = 30, until done: (TestPeer) -> Bool) -> Bool {
        let deadline = tributary_monotonic_ns() + UInt64(seconds * 1e9)
        while true {
            step()
            if done(self) { return true }
            let now = tributary_monotonic_ns()
            if now >= deadline { return false }
            var descriptor = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
            poll(&descriptor, 1, 2)
        }
    }

    /// Handles what has arrived and what is due, without waiting.
    func step() {
        let now = tributary_monotonic_ns()
        var storage = sockaddr_storage()
        while true {
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(socket.descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT), $0, &length)
                }
            }
            guard count > 0, let source = SocketAddress(&storage) else { break }
            take(UnsafeMutableRawBufferPointer(rebasing: buffer[0..<count]), from: source, now)
        }
        if sendsChecks { transport?.handleTimeout(now: now, output: &output) }
        sendOutput()
    }

    /// What goes out from now on comes from another port, and nobody hears the old one.
    /// Speaks from the other's address from now on, and the other from ours.
    func swapSockets(with other: TestPeer) { swap(&socket, &other.socket) }

    func changePort() throws { socket = try UDPSocket(bindAddress: "127.0.0.1", port: 0, bufferBytes: 4 << 20) }

    private func take(_ datagram: UnsafeMutableRawBufferPointer, from source: SocketAddress, _ now: UInt64) {
        if DatagramKind(UnsafeRawBufferPointer(datagram)) == .rtp {
            mediaSources.insert(source)
            if loses(UInt16(datagram[2]) << 8 | UInt16(datagram[3])) { return }
            encrypted.append(Array(datagram))
        }
        switch transport?.receive(datagram, from: source, now: now, output: &output) {
        case .rtp(let count): media.append(Array(datagram[0..<count]))
        case .rtcp(let count): reports.append(Array(datagram[0..<count]))
        case .some(.none), .dropped, nil: break
        }
    }

    private func sendOutput() {
        for index in 0..<output.count { send(Array(output.bytes(at: index)), to: output.address(at: index)) }
        output.removeAll()
    }

    private func send(_ bytes: [UInt8], to address: SocketAddress) {
        var storage = sockaddr_storage()
        let length = address.encode(into: &storage, dualStack: false)
        _ = withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(socket.descriptor, bytes, bytes.count, 0, $0, length)
            }
        }
    }

    /// Encrypts and sends one RTP packet; its rollover counter is 0.
    func sendMedia(
        payloadType: UInt8, sequence: UInt16, timestamp: UInt32, ssrc: UInt32, marker: Bool = false, padding: UInt8 = 0,
        extensions: [(UInt8, [UInt8])] = [], payload: [UInt8]
    ) {
        var header: [UInt8] = [0x80, payloadType | (marker ? 0x80 : 0), UInt8(sequence >> 8), UInt8(sequence & 0xFF)]
        for word in [timestamp, ssrc] { for shift in [24, 16, 8, 0] { header.append(UInt8(word >> UInt32(shift) & 0xFF)) } }
        var body = payload
        if padding > 0 {
            header[0] |= 0x20
            body += [UInt8](repeating: 0, count: Int(padding) - 1) + [padding]
        }
        if !extensions.isEmpty {
            header[0] |= 0x10
            var block: [UInt8] = []
            for (id, value) in extensions { block += [id << 4 | UInt8(value.count - 1)] + value }
            while block.count % 4 != 0 { block.append(0) }
            header += [0xBE, 0xDE, 0, UInt8(block.count / 4)] + block
        }
        var packet = [UInt8](repeating: 0, count: header.count + body.count + 32)
        let count = packet.withUnsafeMutableBytes { into in
            header.withUnsafeBytes { header in
                body.withUnsafeBytes { body in
                    guard let base = into.baseAddress else { return 0 }
                    return transport?.protectRTP(
                        header: header, payload: body, extendedSequence: UInt64(sequence), into: base) ?? 0
                }
            }
        }
        sent[sequence] = Array(packet[0..<count])
        if !losesOutgoing(sequence) { resend(sequence) }
    }

    /// Sends a packet again as it was.
    func resend(_ sequence: UInt16) {
        if let address = transport?.selectedAddress, let packet = sent[sequence] { send(packet, to: address) }
    }

    /// Resends what the other side has asked for since the last call.
    func answerNacks() {
        let wanted = nackedSequences
        for sequence in wanted[min(answered, wanted.count)...] { resend(sequence) }
        answered = wanted.count
    }

    /// Encrypts and sends a compound that `write` builds.
    func sendReports(_ write: (inout RTCPWriter) -> Void) {
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: 1500, alignment: 16)
        defer { scratch.deallocate() }
        var writer = RTCPWriter(scratch)
        write(&writer)
        var packet = [UInt8](repeating: 0, count: 1600)
        let count = packet.withUnsafeMutableBytes { into in
            into.baseAddress.map { transport?.protectRTCP(writer.bytes, into: $0) ?? 0 } ?? 0
        }
        if let address = transport?.selectedAddress { send(Array(packet[0..<count]), to: address) }
    }

    /// Encrypts and sends bytes that need not be RTP, as long as they would be taken for it.
    func sendRaw(_ bytes: [UInt8], sequence: UInt64) {
        guard bytes.count >= 12, let address = transport?.selectedAddress else { return }
        var packet = [UInt8](repeating: 0, count: bytes.count + 32)
        let count = packet.withUnsafeMutableBytes { into in
            bytes.withUnsafeBytes { bytes in
                guard let base = into.baseAddress else { return 0 }
                return transport?.protectRTP(
                    header: UnsafeRawBufferPointer(rebasing: bytes[0..<12]),
                    payload: UnsafeRawBufferPointer(rebasing: bytes[12...]), extendedSequence: sequence, into: base) ?? 0
            }
        }
        send(Array(packet[0..<count]), to: address)
    }

    /// Encrypts and sends bytes as a compound.
    func sendRawReports(_ bytes: [UInt8]) {
        guard bytes.count >= 8, let address = transport?.selectedAddress else { return }
        var packet = [UInt8](repeating: 0, count: bytes.count + 64)
        let count = packet.withUnsafeMutableBytes { into in
            bytes.withUnsafeBytes { bytes in into.baseAddress.map { transport?.protectRTCP(bytes, into: $0) ?? 0 } ?? 0 }
        }
        send(Array(packet[0..<count]), to: address)
    }

    func close() {
        transport?.close(output: &output)
        sendOutput()
    }

    /// Empties the socket without looking at anything.
    func discard() {
        while recv(socket.descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT)) > 0 {}
    }

    func forgetMedia() {
        media = []
        encrypted = []
        reports = []
        answered = 0
    }
}

enum TestPeerError: Error { case notConnected }

/// A packet a viewer got, taken apart.
struct ViewedPacket {
    let header: RTPHeader
    let payload: [UInt8]

    init?(_ bytes: [UInt8]) {
        guard let header = try? RTPHeader(parsing: bytes.span) else { return nil }
        self.header = header
        payload = Array(bytes[header.payloadOffset..<(header.payloadOffset + header.payloadCount)])
    }
}

extension TestPeer {
    /// What arrived under one SSRC, in order of arrival.
    func packets(_ ssrc: UInt32) -> [ViewedPacket] { media.compactMap { ViewedPacket($0) }.filter { $0.header.ssrc == ssrc } }

    /// Numbers and payloads of a source, in order of arrival, those that came as its retransmissions too (RFC 4588 §4).
    func payloads(_ ssrc: UInt32, repair: UInt32) -> [(sequence: UInt16, payload: [UInt8])] {
        media.compactMap { ViewedPacket($0) }.compactMap { packet in
            if packet.header.ssrc == ssrc { return (packet.header.sequence, packet.payload) }
            guard packet.header.ssrc == repair, packet.payload.count >= 2 else { return nil }
            return (UInt16(packet.payload[0]) << 8 | UInt16(packet.payload[1]), Array(packet.payload[2...]))
        }
    }

    /// Asks for packets of `media` again, in a compound of their own.
    func askAgain(_ sequences: [UInt16], of media: UInt32) {
        sendReports { writer in
            writer.receiverReport(sender: 1, blocks: 0) { _ in unusedBlock }
            sequences.withUnsafeBufferPointer { _ = writer.nack(sender: 1, media: media, sequences: $0) }
        }
    }

    /// Parts of every compound that arrived.
    func forEachReport(_ body: (RTCPPacket, Span<UInt8>) -> Void) {
        for compound in reports {
            var reader = RTCPReader()
            let bytes = compound.span
            while let part = reader.next(in: bytes) { body(part, bytes) }
        }
    }

    var senderReports: [SenderReport] {
        var found: [SenderReport] = []
        forEachReport { part, bytes in if let report = SenderReport(part, in: bytes) { found.append(report) } }
        return found
    }

    func feedbackCount(_ kind: FeedbackHeader.Kind) -> Int {
        var count = 0
        forEachReport { part, bytes in if FeedbackHeader(part, in: bytes)?.kind == kind { count += 1 } }
        return count
    }

    /// Sequence numbers asked for so far.
    var nackedSequences: [UInt16] {
        var found: [UInt16] = []
        forEachReport { part, bytes in
            guard let feedback = FeedbackHeader(part, in: bytes) else { return }
            var index = 0
            while let item = feedback.nackItem(index, in: bytes) {
                found.append(item.first)
                for bit in 0..<UInt16(16) where item.mask & (1 << bit) != 0 { found.append(item.first &+ bit &+ 1) }
                index += 1
            }
        }
        return found
    }
}
