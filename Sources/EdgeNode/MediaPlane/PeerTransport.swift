import COpenSSL

/// What became of one datagram.
package enum Received: Equatable, Sendable {
    /// STUN or DTLS, dealt with; there may be output.
    case none
    /// A plain RTP packet of `count` bytes now stands at the start of the buffer.
    case rtp(count: Int)
    /// A plain compound RTCP packet of `count` bytes now stands at the start of the buffer.
    case rtcp(count: Int)
    case dropped(DropReason)
}

/// A datagram that came before it could be read.
package struct HeldDatagram {
    package let address: SocketAddress
    package var bytes: [UInt8]
}

/// One peer's ICE, DTLS and SRTP as a sans-IO machine: bytes and time in, datagrams out.
///
/// Owned by one loop; no locks, no sockets, no clock but the one OpenSSL reads for DTLS retransmission. The loop finds the transport of
/// a datagram: STUN by the local ufrag in USERNAME (``stunLocalUfrag(_:_:)``), the rest by source address; ``paths`` are the addresses
/// to route here, and ``pathGeneration`` changes with them.
package final class PeerTransport {
    package private(set) var state: TransportState
    /// Where media goes: set once the return path is proven by the DTLS handshake, follows later proven moves.
    package private(set) var selectedAddress: SocketAddress?
    /// When ``handleTimeout(now:output:)`` wants to be called; `UInt64.max` when never. Never later than what is due, sometimes earlier.
    package private(set) var nextDeadlineNs: UInt64 = .max
    /// The negotiated profile; nil before ``TransportState/connected``.
    package private(set) var profile: SRTPProfile?

    private var agent: ICEAgent
    private let dtlsRole: DTLSRole
    private let handshakesElsewhere: Bool
    private var association: DTLSAssociation
    /// Media that overtook the end of a handshake which is away.
    private var held: [HeldDatagram] = []
    /// What the handshake has to say to an address that hasn't sent enough for it yet.
    private var withheld: [(address: SocketAddress, bytes: [UInt8])] = []
    /// Set with ``receiveApplicationData(_:)``: a peer with data channels sends more than handshakes and alerts.
    private var dataBucket: TokenBucket?
    private var dtlsBucket = TokenBucket(perSecond: Limits.stunPerSecond, burst: Limits.stunBurst)
    private var sender: SRTPSender?
    private var receiver: SRTPReceiver?
    private let createdNs: UInt64
    private var handshakeStartedNs: UInt64 = 0

    /// - Throws: ``TransportError`` when OpenSSL cannot set up a session or no fingerprint is usable.
    package init(settings: TransportSettings, now: UInt64) throws(TransportError) {
        agent = ICEAgent(
            role: settings.iceRole, credentials: .init(local: settings.local, remote: settings.remote),
            candidates: settings.remoteCandidates, asker: settings.asker,
            allowance: settings.dtlsRole == .client ? Limits.beginningBytes : 0, seed: settings.seed, now: now)
        association = DTLSAssociation(
            try DTLSSession(
                role: settings.dtlsRole, certificate: settings.certificate, fingerprints: settings.remoteFingerprints,
                profiles: settings.profiles))
        dtlsRole = settings.dtlsRole
        handshakesElsewhere = settings.handshakesElsewhere
        state = settings.iceRole == .lite ? .new : .checking
        createdNs = now
        reschedule()
    }

    /// Changes whenever ``paths`` does.
    package var pathGeneration: UInt32 { agent.generation }

    /// Addresses that passed ICE, at most eight.
    package var paths: [SocketAddress] { agent.paths.filter(\.isValidated).map(\.address) }

    /// Monotonic time of the last authenticated packet from an address; 0 for one that nothing came from.
    func lastHeardNs(from address: SocketAddress) -> UInt64 {
        agent.paths.first { $0.address == address }?.lastHeardNs ?? 0
    }

    /// Monotonic time of the last authenticated packet from the peer, creation when there was none; for stale-publisher rules.
    package var lastHeardNs: UInt64 { agent.lastHeardNs }

    /// Handles a datagram from `from`, writable in place: RTP and RTCP are authenticated and decrypted where they stand.
    package func receive(
        _ datagram: UnsafeMutableRawBufferPointer, from: SocketAddress, now: UInt64, output: inout TransportOutput
    ) -> Received {
        let bytes = UnsafeRawBufferPointer(datagram)
        guard !bytes.isEmpty else { return .dropped(.empty) }
        if case .closed = state { return .dropped(.closed) }
        switch DatagramKind(bytes) {
        case .rtp: return receiveRTP(datagram, from: from, now: now, output: &output)
        case .rtcp: return receiveRTCP(datagram, from: from, now: now)
        case .stun: return receiveSTUN(bytes, from: from, now: now, output: &output)
        case .dtls: return receiveDTLS(bytes, from: from, now: now, output: &output)
        case .unknown: return .dropped(.unknownProtocol)
        }
    }

    @inline(__always)
    private func receiveRTP(
        _ datagram: UnsafeMutableRawBufferPointer, from: SocketAddress, now: UInt64, output: inout TransportOutput
    ) -> Received {
        guard let path = agent.validatedIndex(of: from) else { return .dropped(.unvalidatedPath) }
        guard let outcome = receiver?.unprotectRTP(datagram) else { return hold(UnsafeRawBufferPointer(datagram), from: from) }
        switch outcome {
        case .dropped(let reason):
            // Media of one more source would never be heard: who sends it is told goodbye, and may come again.
            if reason == .srtpTooManySources { close(.tooManySources, &output) }
            return .dropped(reason)
        case .plain(let count):
            heard(on: path, now: now)
            return .rtp(count: count)
        }
    }

    private func receiveRTCP(_ datagram: UnsafeMutableRawBufferPointer, from: SocketAddress, now: UInt64) -> Received {
        guard let path = agent.validatedIndex(of: from) else { return .dropped(.unvalidatedPath) }
        guard let outcome = receiver?.unprotectRTCP(datagram) else { return hold(UnsafeRawBufferPointer(datagram), from: from) }
        switch outcome {
        case .dropped(let reason): return .dropped(reason)
        case .plain(let count):
            heard(on: path, now: now)
            return .rtcp(count: count)
        }
    }

    /// Whether media from an address that no check came from may be this peer's: of the host that we send to, over UDP, and numbered as
    /// what comes next. Costs no cryptography.
    package func mayContinue(_ datagram: UnsafeRawBufferPointer, from: SocketAddress) -> Bool {
        guard let selectedAddress, agent.role == .lite, selectedAddress.stream == 0, from.way == selectedAddress.way,
            from.host64 == selectedAddress.host64
        else { return false }
        return receiver?.mayContinue(datagram) ?? false
    }

    /// Handles RTP or RTCP for which ``mayContinue(_:from:)`` holds. What is authentic makes its address a path, to be proven by a check
    /// of ours; what is not may be damaged, as it is decrypted where it stands.
    package func receiveElsewhere(
        _ datagram: UnsafeMutableRawBufferPointer, from: SocketAddress, now: UInt64, output: inout TransportOutput
    ) -> Received {
        let isControl = DatagramKind(UnsafeRawBufferPointer(datagram)) == .rtcp
        switch isControl ? receiver?.unprotectRTCP(datagram) : receiver?.unprotectRTP(datagram) {
        case nil: return .dropped(.notConnected)
        case .dropped(let reason): return .dropped(reason)
        case .plain(let count):
            agent.follow(from, now: now, output: &output)
            reschedule()
            return isControl ? .rtcp(count: count) : .rtp(count: count)
        }
    }

    @inline(__always)
    private func heard(on path: Int, now: UInt64) {
        let before = agent.selected
        agent.heard(on: path, now: now)
        // The deadline may stay as it is: it is too early at worst.
        if agent.selected != before { selectedAddress = agent.selectedAddress }
    }

    private func receiveSTUN(
        _ bytes: UnsafeRawBufferPointer, from: SocketAddress, now: UInt64, output: inout TransportOutput
    ) -> Received {
        if let reason = agent.receive(bytes, from: from, now: now, output: &output) { return .dropped(reason) }
        if !withheld.isEmpty { sendWithheld(&output) }
        if handshakeStartedNs == 0, let address = agent.role == .lite ? agent.bestAddress : agent.selectedAddress {
            handshakeStartedNs = max(now, 1)
            state = .handshaking
            // A server waits for its ClientHello.
            if dtlsRole == .client { _ = association.add(.start, address) }
            workInPlace(now: now, output: &output)
        }
        if state == .connected {
            selectedAddress = agent.selectedAddress
            // Consent goes on; the deadline may stay as it is until it is looked at.
            if agent.role == .lite, agent.nextCheckNs >= nextDeadlineNs { return .none }
        }
        reschedule()
        return .none
    }

    private func receiveDTLS(
        _ bytes: UnsafeRawBufferPointer, from: SocketAddress, now: UInt64, output: inout TransportOutput
    ) -> Received {
        guard let path = agent.validatedIndex(of: from) else { return .dropped(.unvalidatedPath) }
        if let reason = DTLSRecord.refusal(bytes, role: dtlsRole) { return .dropped(reason) }
        agent.paths[path].received(bytes.count)
        if !withheld.isEmpty { sendWithheld(&output) }
        guard dataBucket?.take(now: now) ?? dtlsBucket.take(now: now) else { return .dropped(.dtlsRateLimited) }
        if state == .connected {
            receiveRecords(bytes, on: path, from: from, now: now, output: &output)
        } else {
            guard association.add(.datagram(Array(bytes)), from) else { return .dropped(.dtlsBacklog) }
            workInPlace(now: now, output: &output)
        }
        reschedule()
        return .none
    }

    /// After the handshake: alerts, and the peer's last flight when it did not hear ours.
    private func receiveRecords(
        _ bytes: UnsafeRawBufferPointer, on path: Int, from: SocketAddress, now: UInt64, output: inout TransportOutput
    ) {
        guard let dtls = association.session else { return }
        let authentic = dtls.authenticCount
        dtls.receive(bytes, from: from, now: now, output: &output)
        switch dtls.status {
        case .closedByPeer:
            dtls.close(to: from, output: &output)
            end(.peer)
        case .failed(let reason): end(reason)
        case .idle, .handshaking, .complete:
            if dtls.authenticCount != authentic { heard(on: path, now: now) }
        }
    }

    /// The handshake is done and the certificate was the signalled one: keys go in, once.
    private func connect(
        _ dtls: DTLSSession, on address: SocketAddress, now: UInt64, output: inout TransportOutput
    ) {
        do throws(TransportError) {
            guard let profile = dtls.profile else { throw .crypto("no common SRTP profile") }
            var keys = try dtls.exportKeys(profile)
            defer {
                keys.ours.wipe()
                keys.theirs.wipe()
            }
            sender = try SRTPSender(profile: profile, master: keys.ours)
            receiver = try SRTPReceiver(profile: profile, master: keys.theirs)
            self.profile = profile
        } catch {
            dtls.close(to: address, output: &output)
            end(.dtlsFailed)
            return
        }
        withheld = []
        agent.connected(on: address, now: now)
        selectedAddress = agent.selectedAddress
        state = .connected
    }

    private func end(_ reason: TransportCloseReason) {
        if case .closed = state { return }
        state = .closed(reason)
        selectedAddress = nil
        sender = nil
        receiver = nil
        agent.forgetKeys()
        held = []
        withheld = []
        nextDeadlineNs = .max
    }

    // MARK: Handshake steps

    /// Whether a step of the handshake waits to be taken; never when the transport does them in place.
    package var hasHandshakeWork: Bool { association.hasWork }

    /// Who the handshake is with, for counting how many one host has under way.
    package var handshakeAddress: SocketAddress? { agent.bestAddress }

    /// Gives away the next step of the handshake, to be run on another thread and brought back to ``finish(_:now:output:)``.
    package func takeHandshakeStep() -> HandshakeStep? { association.takeStep() }

    /// Takes a step back that was run: what it has to send goes out, and when it ended the handshake the keys go in.
    ///
    /// Then ``takeHeld()`` has what came too early.
    package func finish(_ step: HandshakeStep, now: UInt64, output: inout TransportOutput) {
        finish(step, sentFrom: output.count, now: now, output: &output)
    }

    /// - Parameter first: where in `output` begins what the step has sent already.
    private func finish(_ step: HandshakeStep, sentFrom first: Int, now: UInt64, output: inout TransportOutput) {
        association.takeBack(step)
        if case .closed = state { return }
        // Who has ended the handshake has heard us.
        let isProven = step.dtls.status == .complete || step.dtls.status == .closedByPeer
        step.ship(&output)
        if !isProven { holdBack(from: first, output: &output) }
        switch step.dtls.status {
        case .idle, .handshaking: break
        case .failed(let reason): end(reason)
        case .complete, .closedByPeer:
            guard let address = step.completedBy else { break }
            connect(step.dtls, on: address, now: now, output: &output)
            // What came meanwhile finds the handshake done, so there is nothing left that takes long.
            if let rest = association.takeStep() {
                rest.run(now: now, output: &output)
                association.takeBack(rest)
            }
            if step.dtls.status == .closedByPeer { end(.peer) }
        }
        reschedule()
    }

    private func workInPlace(now: UInt64, output: inout TransportOutput) {
        guard !handshakesElsewhere else { return }
        while let step = association.takeStep() {
            let first = output.count
            step.run(now: now, output: &output)
            finish(step, sentFrom: first, now: now, output: &output)
        }
    }

    /// Takes out of `output` what goes beyond the share of an address that is not proven. A client's own next packet, or its answer to a
    /// check, releases it; to who never answers nothing more is sent, however often OpenSSL repeats it.
    private func holdBack(from first: Int, output: inout TransportOutput) {
        guard output.count > first else { return }
        let flight = (first..<output.count).map { (address: output.address(at: $0), bytes: Array(output.bytes(at: $0))) }
        output.removeLast(output.count - first)
        withheld = Array(flight.prefix(Limits.withheldDatagrams))
        sendWithheld(&output)
    }

    /// Sends what may be sent now, in order.
    private func sendWithheld(_ output: inout TransportOutput) {
        while let next = withheld.first {
            if let path = agent.validatedIndex(of: next.address) {
                guard agent.paths[path].mayBeSent(next.bytes.count) else { return }
                agent.paths[path].sent(next.bytes.count)
                next.bytes.withUnsafeBytes { output.append(to: next.address, bytes: $0) }
            }
            withheld.removeFirst()
        }
    }

    /// A peer that is the DTLS server sends media right behind its last flight, which may still be away; a picture that begins with a hole
    /// is of no use, and some encoders never send it again.
    private func hold(_ datagram: UnsafeRawBufferPointer, from: SocketAddress) -> Received {
        guard association.isAway, held.count < Limits.heldDatagrams else { return .dropped(.notConnected) }
        held.append(HeldDatagram(address: from, bytes: Array(datagram)))
        return .none
    }

    /// What came too early and may be received again now; empty until the handshake has ended.
    package func takeHeld() -> [HeldDatagram] {
        guard state == .connected, !held.isEmpty else { return [] }
        defer { held = [] }
        return held
    }

    /// Does what is due: retransmission, consent, expiry. Cheap when nothing is.
    package func handleTimeout(now: UInt64, output: inout TransportOutput) {
        guard nextDeadlineNs <= now else { return }
        agent.handleTimeout(now: now, output: &output)
        if association.deadlineNs <= now, let address = agent.bestAddress {
            if state == .connected {
                association.session?.handleTimeout(to: address, now: now, output: &output)
            } else if association.add(.timeout, address) {
                workInPlace(now: now, output: &output)
            }
        }
        // Without consent nothing more is sent, not even close_notify (RFC 7675 section 5.1).
        if let (deadline, reason) = expiry, deadline <= now { end(reason) }
        reschedule()
    }

    /// When this state has lasted too long, and what that means.
    private var expiry: (UInt64, TransportCloseReason)? {
        switch state {
        case .new, .checking: (createdNs &+ Limits.iceTimeoutNs, .iceTimeout)
        case .handshaking: (handshakeStartedNs &+ Limits.dtlsTimeoutNs, .dtlsTimeout)
        case .connected: (agent.lastHeardNs &+ Limits.consentNs, .consentExpired)
        case .closed: nil
        }
    }

    private func reschedule() {
        guard let (deadline, _) = expiry else {
            nextDeadlineNs = .max
            return
        }
        // With no way to the peer left there is nothing to send; the next one's first check brings us here again.
        let handshake = agent.bestAddress == nil ? UInt64.max : association.deadlineNs
        nextDeadlineNs = min(deadline, agent.nextCheckNs, handshake)
    }

    /// Writes one whole SRTP packet to `into`, encrypting straight from `payload`; returns its length, 0 when not connected.
    ///
    /// The caller guarantees room for header + payload + ``Limits/srtpTrailerBytes`` and never uses an (SSRC, extended sequence) twice
    /// with different bytes. No allocation, no lock, nothing retained.
    /// - Parameters:
    ///   - header: RTP header with CSRCs and extension; authenticated, not encrypted.
    ///   - extendedSequence: rollover counter and sequence number, ROC << 16 | seq.
    @inline(__always)
    package func protectRTP(
        header: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, extendedSequence: UInt64,
        into: UnsafeMutableRawPointer
    ) -> Int {
        sender?.protectRTP(header: header, payload: payload, extendedSequence: extendedSequence, into: into) ?? 0
    }

    /// Writes one whole SRTCP packet to `into`, which has room for the packet + ``Limits/srtpTrailerBytes``; 0 when not connected.
    package func protectRTCP(_ packet: UnsafeRawBufferPointer, into: UnsafeMutableRawPointer) -> Int {
        sender?.protectRTCP(packet, into: into) ?? 0
    }

    /// New credentials of an ICE restart (RFC 8445 section 9); the old ones stay valid until the first check with the new.
    package func restartICE(local: ICECredentialPair, remote: ICECredentialPair, now: UInt64) {
        agent.restart(local: local, remote: remote, now: now)
        reschedule()
    }

    /// More candidates of the peer, for a controlling agent; a lite one needs none.
    package func addRemoteCandidates(_ candidates: [SocketAddress], now: UInt64) {
        guard agent.role != .lite else { return }
        agent.add(candidates, now: now)
        reschedule()
    }

    /// From now on application data goes to `receiver`, which is called within ``receive(_:from:now:output:)`` and must not wait.
    /// Connected transports only: until then the association may be on another thread.
    package func receiveApplicationData(_ receiver: @escaping (UnsafeRawBufferPointer) -> Void) {
        guard case .connected = state else { return }
        dataBucket = TokenBucket(perSecond: SCTPLimits.recordsPerSecond, burst: SCTPLimits.recordBurst)
        association.session?.onApplicationData = receiver
    }

    /// Sends one record of application data; nothing when not connected.
    package func sendApplicationData(_ bytes: UnsafeRawBufferPointer, output: inout TransportOutput) {
        guard case .connected = state, let address = selectedAddress else { return }
        association.session?.send(bytes, to: address, output: &output)
    }

    /// A TCP connection is gone, and with it that way to the peer.
    package func lose(_ address: SocketAddress) {
        agent.remove(address)
        selectedAddress = agent.selectedAddress
        reschedule()
    }

    /// Sends close_notify and ends.
    package func close(output: inout TransportOutput) { close(.local, &output) }

    private func close(_ reason: TransportCloseReason, _ output: inout TransportOutput) {
        if let address = selectedAddress { association.session?.close(to: address, output: &output) }
        end(reason)
    }

    /// The local ufrag a STUN request is addressed to: the part of USERNAME before the colon (RFC 8445 section 7.2.2).
    ///
    /// `body` gets the ufrag bytes inside `datagram`; nil for anything that is no request with USERNAME. Answers to checks of
    /// our own carry no USERNAME: route them by address, as the rest.
    package static func stunLocalUfrag<Result>(
        _ datagram: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result? {
        guard let name = STUNMessage.username(ofRequest: datagram), let range = STUNMessage.localUfrag(name, in: datagram)
        else { return nil }
        return body(UnsafeRawBufferPointer(rebasing: datagram[range]))
    }
}

/// The keys that one direction's RTP is encrypted and signed with (RFC 3711 section 4.3).
package struct SRTPSessionKeys {
    package private(set) var cipher: [UInt8]
    package private(set) var authentication: [UInt8]
    package private(set) var salt: [UInt8]

    /// Overwrites them; nothing else may hold them.
    package mutating func wipe() {
        OPENSSL_cleanse(&cipher, cipher.count)
        OPENSSL_cleanse(&authentication, authentication.count)
        OPENSSL_cleanse(&salt, salt.count)
    }
}

extension PeerTransport {
    /// Our direction's keys, for a sender that encrypts by itself; nil before the handshake is done.
    package var sendingKeys: SRTPSessionKeys? {
        guard let profile, var keys = try? association.session?.exportKeys(profile) else { return nil }
        defer {
            keys.ours.wipe()
            keys.theirs.wipe()
        }
        func key(_ label: UInt8, _ count: Int) -> [UInt8]? { try? SRTPCipher.derive(keys.ours, label: label, count: count) }
        guard let cipher = key(0, SRTPProfile.keyBytes), let authentication = key(1, HMACSHA1.bytes),
            let salt = key(2, profile.saltBytes)
        else { return nil }
        return SRTPSessionKeys(cipher: cipher, authentication: authentication, salt: salt)
    }
}
