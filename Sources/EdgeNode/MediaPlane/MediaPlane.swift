import CLinux
import Glibc

/// The whole per-packet path of the node: sockets, ICE, DTLS, SRTP, RTP, RTCP, forwarding, on one thread for each core.
///
/// Knows no SDP and no HTTP: the control plane hands it plain values and gets events back. All methods may be called from any thread.
public final class MediaPlane: Sendable {
    /// Session states, first packets, codec facts. One consumer only.
    public let events: AsyncStream<MediaEvent>
    private let certificate: DTLSCertificate
    private let directory: PlaneDirectory
    private let loops: [MediaLoop]
    private let pool: HandshakePool
    private let addresses: [String]
    private let mediaSettings: MediaSettings

    /// Binds the sockets and starts the threads.
    ///
    /// - Throws: ``MediaPlaneError/portInUse(_:)`` with the port that is taken, or what else the system refused.
    public init(_ settings: MediaSettings) throws(MediaPlaneError) {
        mediaSettings = settings
        addresses = try LocalAddresses.announced(settings)
        do {
            certificate = try DTLSCertificate()
        } catch {
            throw .transport("\(error)")
        }
        let count = settings.loops > 0 ? settings.loops : max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        var mailboxes: [Mailbox] = []
        for _ in 0..<count { mailboxes.append(try Mailbox()) }
        let (stream, continuation) = AsyncStream.makeStream(of: MediaEvent.self)
        events = stream
        let channels = settings.hasDataChannels ? try DataChannelThread.shared() : nil
        directory = PlaneDirectory(
            mailboxes: mailboxes, events: continuation, dataChannels: channels.map { ($0, $0.nextPlane()) })
        pool = try HandshakePool(threads: max(1, count / 2))
        var loops: [MediaLoop] = []
        do throws(MediaPlaneError) {
            for index in 0..<count {
                loops.append(try MediaLoop(index: index, settings: settings, directory: directory, pool: pool))
            }
        } catch {
            pool.stop()
            for index in loops.indices { _ = mailboxes[index].post(.shutdown, isWiring: true) }
            for loop in loops { loop.join() }
            throw error
        }
        self.loops = loops
    }

    deinit { stopThreads() }

    /// SHA-256 of our DTLS certificate, for `a=fingerprint`.
    public var fingerprint: [UInt8] { certificate.sha256Fingerprint }

    /// The longest message that data channels carry, in bytes; nil when there are none.
    public var dataMessageBytes: Int? { directory.dataChannels == nil ? nil : SCTPLimits.messageBytes }

    /// How many loops there are.
    public var loopCount: Int { loops.count }

    /// Whether no loop has time for more viewers: those who watch would be served late.
    public var isSaturated: Bool { directory.gauges.allSatisfy(\.isSaturated) }

    /// Where peers reach a loop: one pair for each announced address, IPv4 first (RFC 8445 §5.1.1 host candidates).
    public func candidates(loop: Int) -> [(address: String, port: UInt16)] {
        guard loops.indices.contains(loop) else { return [] }
        return addresses.map { ($0, loops[loop].port) }
    }

    /// Where peers without UDP reach a loop by TCP (RFC 6544 passive candidates); empty unless the settings want it.
    public func tcpCandidates(loop: Int) -> [(address: String, port: UInt16)] {
        guard loops.indices.contains(loop), let port = loops[loop].tcpPort else { return [] }
        return addresses.map { ($0, port) }
    }

    /// Adds a publisher. STUN for its ufrag is answered from before this returns.
    ///
    /// - Throws: ``MediaPlaneError/publisherExists`` when the stream has one; it must be removed first.
    public func addPublisher(_ spec: PublisherSpec) async throws(MediaPlaneError) -> SessionHandle {
        try check(spec.tracks.count)
        let handle = try directory.reserve(
            stream: spec.stream, isPublisher: true, ufrag: spec.transport.localUfrag, loop: spec.loop)
        return try await add(handle, .publisher(spec), spec.transport)
    }

    /// Adds a viewer; the stream needs no publisher yet.
    public func addViewer(_ spec: ViewerSpec) async throws(MediaPlaneError) -> SessionHandle {
        try check(spec.tracks.count)
        let handle = try directory.reserve(
            stream: spec.stream, isPublisher: false, ufrag: spec.transport.localUfrag, loop: spec.loop)
        return try await add(handle, .viewer(spec), spec.transport)
    }

    private func check(_ tracks: Int) throws(MediaPlaneError) {
        guard tracks > 0, tracks <= MediaLimits.tracksPerStream else { throw .tracks(tracks) }
    }

    private func add(_ handle: SessionHandle, _ role: SessionOrder.Role, _ spec: TransportSpec) async throws(MediaPlaneError)
        -> SessionHandle
    {
        let order: SessionOrder
        do throws(MediaPlaneError) {
            let dialed = spec.dialing == nil ? nil : try DialedSocket(mediaSettings)
            order = SessionOrder(
                handle: handle, role: role, transport: try transport(spec), localUfrag: spec.localUfrag, dialed: dialed)
        } catch {
            directory.forget(handle)
            throw error
        }
        let isAdded = await withCheckedContinuation { directory.post(order, $0) }
        guard isAdded else {
            directory.forget(handle)
            throw .busy
        }
        return handle
    }

    private func transport(_ spec: TransportSpec) throws(MediaPlaneError) -> PeerTransport {
        do throws(TransportError) {
            return try PeerTransport(settings: settings(spec), now: tributary_monotonic_ns())
        } catch {
            throw .transport("\(error)")
        }
    }

    private func settings(_ spec: TransportSpec) -> TransportSettings {
        TransportSettings(
            local: ICECredentialPair(ufrag: spec.localUfrag, password: spec.localPassword),
            remote: ICECredentialPair(ufrag: spec.remoteUfrag, password: spec.remotePassword),
            remoteFingerprints: spec.remoteFingerprints.map { PeerFingerprint(algorithm: $0.algorithm, bytes: $0.bytes) },
            iceRole: spec.dialing == nil ? .lite : .controlling, dtlsRole: spec.isDTLSClient ? .client : .server,
            certificate: certificate,
            remoteCandidates: (spec.dialing ?? []).compactMap { SocketAddress($0.address, port: $0.port) }.filter(\.isUnicast),
            asker: spec.askedFrom.flatMap { SocketAddress($0, port: 0) }, handshakesElsewhere: true)
    }

    /// New ICE credentials for a session, for an ICE restart (RFC 8445 §9): media goes on, both sets are valid until the peer uses the new.
    public func restartICE(
        _ session: SessionHandle, localUfrag: String, localPassword: String, remoteUfrag: String, remotePassword: String
    ) async throws(MediaPlaneError) {
        try directory.addUfrag(localUfrag, to: session)
        let local = ICECredentialPair(ufrag: localUfrag, password: localPassword)
        let remote = ICECredentialPair(ufrag: remoteUfrag, password: remotePassword)
        let isDone = await withCheckedContinuation { done in
            ask(session.loop, .restartICE(session.id, local: local, remote: remote, done)) { done.resume(returning: false) }
        }
        if !isDone { throw .noSession }
    }

    private func ask(_ loop: Int, _ command: LoopCommand, orElse refused: () -> Void) {
        if !directory.mailboxes[loop].post(command, isWiring: true) { refused() }
    }

    /// Ends a session: RTCP BYE, DTLS close_notify, and gone when this returns. Removing one that is gone does nothing.
    public func remove(_ session: SessionHandle) async {
        await withCheckedContinuation { done in
            ask(session.loop, .remove(session.id, done)) { done.resume() }
        }
    }

    /// Opens a reader on everything the stream's publishers send, now and later.
    public func tap(stream: StreamKey) async throws(MediaPlaneError) -> StreamTap {
        let pipe = try directory.openTap(stream, wake: try WakeDescriptor())
        return StreamTap(pipe: pipe) { [directory] in directory.closeTap(stream, pipe) }
    }

    /// Asks the stream's publisher for a keyframe of what taps are given; requests are joined and spaced out (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
    public func requestKeyframe(stream: StreamKey) {
        directory.requestKeyframe(stream, sources: nil)
    }

    /// Numbers about every session and loop, as each loop last published them (once a second).
    public func snapshot() async -> PlaneSnapshot {
        let published = loops.map(\.status.last)
        return PlaneSnapshot(sessions: published.flatMap(\.sessions), loops: published.compactMap(\.loop))
    }

    /// As ``snapshot()``, but only of sessions whose numbers may be others than when `marks` were taken, and of those from which nothing came
    /// since `silentNs`. Most of thousands that wait for a publisher are neither.
    ///
    /// - Parameter marks: up to where the caller has seen each loop's numbers, empty at first; moved on.
    public func news(after marks: inout [UInt64], silentNs: UInt64) -> [SessionSnapshot] {
        if marks.count != loops.count { marks = Array(repeating: 0, count: loops.count) }
        var sessions: [SessionSnapshot] = []
        for (index, loop) in loops.enumerated() {
            let news = loop.status.news(after: marks[index], silentNs: silentNs)
            sessions += news.sessions
            marks[index] = news.newest
        }
        return sessions
    }

    /// Fresh numbers about one session; nil when it is gone.
    public func snapshot(of session: SessionHandle) async -> SessionSnapshot? {
        await withCheckedContinuation { done in
            ask(session.loop, .snapshot(session.id, done)) { done.resume(returning: nil) }
        }
    }

    /// The layers that a viewer may choose from; nil when it is gone, or publishes.
    public func layers(of session: SessionHandle) async -> ViewerLayers? {
        await withCheckedContinuation { done in
            ask(session.loop, .layers(session.id, done)) { done.resume(returning: nil) }
        }
    }

    /// Chooses what of a simulcast stream a viewer is sent. It keeps what it has until a keyframe of the chosen layer comes.
    ///
    /// - Throws: ``MediaPlaneError/noSession`` when it is gone, or publishes.
    public func choose(_ choice: LayerChoice, for session: SessionHandle) async throws(MediaPlaneError) {
        let isDone = await withCheckedContinuation { done in
            ask(session.loop, .chooseLayer(session.id, LayerFollower.Wish(choice), done)) { done.resume(returning: false) }
        }
        if !isDone { throw .noSession }
    }

    /// Chooses what a viewer's tracks are sent in, of the formats that they were made with. What is being sent in another format of the same
    /// codec begins anew; else it holds from the next source on. Doesn't wait for the loop.
    public func choose(_ formats: [FormatChoice], for session: SessionHandle) {
        ask(session.loop, .chooseFormats(session.id, formats)) {}
    }

    /// Says goodbye to every peer, ends every session and stops the threads. Later calls of other methods throw or do nothing.
    public func shutdown() async {
        stopThreads()
    }

    /// Each loop needs milliseconds for its goodbyes; waiting for that here keeps the order of things plain.
    private func stopThreads() {
        guard directory.stop() else { return }
        for mailbox in directory.mailboxes { _ = mailbox.post(.shutdown, isWiring: true) }
        for loop in loops { loop.join() }
        pool.stop()
        directory.finishEvents()
    }
}
