import Cluster
import Log
import MediaPlane
import SDP

/// The node's streams and their sessions: who publishes, who watches, who may.
///
/// Rules that the standards leave open, and how they are decided here:
/// - Viewers belong to the stream, not to its publisher. When the publisher goes they wait for another one, for
///   `StreamSettings.publisherWaitMs`, and go on with it without a new offer; then their sessions are closed, never left looking alive.
///   One that never connects is none for them, however often it comes.
/// - A viewer goes on with whatever the new publisher sends that its answer listed; one whose answer has none of it is closed, so that the
///   player asks again.
/// - A second publisher takes over when it shows the same credential, when `overridePublisher` is on, or when the first one has been
///   silent for two seconds; else it gets 409. An encoder that lost its connection can therefore come back at once.
///
/// All waiting is done by `sweep`, once a second; nothing sleeps for a single session. After every `await` state is read again.
public actor StreamRegistry {
    let plane: MediaPlane
    let settings: StreamSettings
    let time: @Sendable () -> StreamTime
    /// Nil when this node is all there is.
    let claims: (any StreamClaims)?
    let log = Logger("streams")
    let seats = SessionSeats()
    private var formats = SharedFormats()
    var streams: [String: StreamEntry] = [:]
    /// Finds the name of a stream from an event of the media plane.
    var names: [StreamKey: String] = [:]
    /// Up to where the sessions' numbers have been taken over, for each loop.
    var seenNumbers: [UInt64] = []
    var lastKey: UInt32 = 0
    var intake = Intake.open
    var changeListeners: [Int: AsyncStream<Void>.Continuation] = [:]
    var publicationListeners: [Int: AsyncStream<PublicationEvent>.Continuation] = [:]
    var relayListeners: [Int: AsyncStream<RelayEnd>.Continuation] = [:]
    var lastListener = 0
    var tasks: [Task<Void, Never>] = []

    /// - Parameters:
    ///   - plane: the node's media plane; its `events` are read by `start`.
    ///   - claims: asked before a publisher is let in.
    ///   - time: both clocks, replaceable in tests.
    public init(
        plane: MediaPlane, settings: StreamSettings, claims: (any StreamClaims)? = nil,
        time: @escaping @Sendable () -> StreamTime = StreamTime.system
    ) {
        self.claims = claims
        self.plane = plane
        self.settings = settings
        self.time = time
    }

    // MARK: Sessions

    /// Answers an offer that sends (RFC 9725 section 4.2).
    ///
    /// - Parameters:
    ///   - offer: the body of the POST.
    ///   - client: who asks.
    ///   - path: when another node pushes, the nodes that the stream came through, that one first.
    ///   - idleSeconds: when a coordinator had it pushed: how long it stays without use. Such a copy may take another copy's place.
    public func publish(
        stream name: String, offer: [UInt8], from client: SessionClient, path: [String]? = nil, idleSeconds: Int? = nil
    ) async throws(StreamError) -> SessionAnswer {
        try checkEntry(name, as: .publisher, from: client, isRelay: path != nil)
        if let path { try checkPath(path, publishing: name) }
        let answer = try Self.sdp { () throws(SDPError) in
            try PublishAnswer(
                offer: SessionDescription(parsing: offer), supported: settings.codecs,
                dataMessageBytes: plane.dataMessageBytes)
        }
        let key = try openStream(name, isCreating: settings.autoCreateWHIP)
        try await replacePublisher(of: name, key: key, client: client, isRelay: path != nil, isOrdered: idleSeconds != nil)

        var session = newSession(answer.tracks, remote: answer.remote.ice, from: client, isRelay: path != nil)
        session.hasDataChannel = answer.remote.dataChannels != nil
        session.relay = path.map { Relay(nodes: $0, idleNs: UInt64(max(0, idleSeconds ?? 0)) &* 1_000_000_000) }
        // The slot is taken before anything is awaited, so of two offers at the same moment one gets 409.
        streams[name]?.publisher = session
        // A copy is no second publisher: the node that it comes from holds the stream.
        if path == nil { try await claim(name, for: session) }
        do throws(MediaPlaneError) {
            let (handle, local) = try await place(session) { (ice) throws(MediaPlaneError) in
                try await self.plane.addPublisher(
                    PublisherSpec(
                        stream: key, session: session.id,
                        transport: TransportSpec(
                            local: ice, remote: answer.remote, ourSetup: answer.ourSetup, askedFrom: client.address),
                        tracks: IncomingTrackSpec.tracks(answer.tracks)))
            }
            try await settle(session.id, on: name, key: key, handle: handle, ice: local.ice)
            didPublish(name, answer.tracks, upstream: path ?? [])
            return SessionAnswer(sdp: answer.sdp(local: local), sessionID: session.id, etag: session.etag)
        } catch {
            discard(session.id, on: name)
            throw refusal(error, on: name)
        }
    }

    /// Answers an offer that receives (draft-ietf-wish-whep section 4.2).
    ///
    /// Between two publishers, or before the first one of a stream that was made beforehand, the answer is built for what the last
    /// publisher sent, or for H.264 and Opus.
    ///
    /// - Parameters:
    ///   - client: who asks.
    ///   - path: when another node pulls, the nodes that ask, that one first. It gets the stream also where no viewer has room or the node
    ///     is drained, for that is when it is asked.
    public func subscribe(
        stream name: String, offer: [UInt8], from client: SessionClient, path: [String]? = nil
    ) async throws(StreamError) -> SessionAnswer {
        try checkEntry(name, as: .viewer, from: client, isRelay: path != nil)
        if let path { try checkPath(path, pulling: name) }
        let description = try Self.sdp { () throws(SDPError) in try SessionDescription(parsing: offer) }
        let source = streams[name].map(\.source) ?? []
        // A copy has viewers of its own, so it gets the best layer at once; only losses on the way there speak against it.
        let reports = path == nil ? settings.pathReports : .never
        let answer = try Self.sdp { () throws(SDPError) in
            try SubscribeAnswer(
                offer: description, stream: source.isEmpty ? Self.expected : layered(source, of: name),
                others: path == nil ? settings.codecs : CodecPolicy([]), lateVideo: settings.acceptsLateVideo, reports: reports,
                dataMessageBytes: plane.dataMessageBytes
            ) { .random(in: 1 ... .max) }
        }
        let key = try openStream(name, isCreating: settings.autoCreateWHEP)
        var session = newSession(formats.shared(answer.tracks), remote: answer.remote.ice, from: client, isRelay: path != nil)
        session.hasDataChannel = answer.remote.dataChannels != nil
        session.relay = path.map { Relay(nodes: $0) }
        streams[name]?.viewers[session.id] = session
        do throws(MediaPlaneError) {
            let (handle, local) = try await place(session) { (ice) throws(MediaPlaneError) in
                try await self.plane.addViewer(
                    ViewerSpec(
                        stream: key, session: session.id,
                        transport: TransportSpec(
                            local: ice, remote: answer.remote, ourSetup: answer.ourSetup, askedFrom: client.address),
                        tracks: answer.tracks.compactMap(OutgoingTrackSpec.init), isNode: path != nil))
            }
            try await settle(session.id, on: name, key: key, handle: handle, ice: local.ice)
            log.info("viewer came", ["stream": name])
            // The publisher may have changed while this waited.
            if let entry = streams[name], entry.source != source {
                fitViewers(name, entry.viewers[session.id].map { [$0] } ?? [], isOnAir: false)
            }
            noteChange()
            return SessionAnswer(sdp: answer.sdp(local: local), sessionID: session.id, etag: session.etag)
        } catch {
            discard(session.id, on: name)
            throw refusal(error, on: name)
        }
    }

    // MARK: Steps of setting up

    /// What a viewer gets when nobody has published yet.
    private static let expected = [SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus)]

    static func sdp<T>(_ body: () throws(SDPError) -> T) throws(StreamError) -> T {
        do throws(SDPError) { return try body() } catch { throw .sdp(error) }
    }

    /// A stream's tracks as they turned out to be: layers within one source show in the media only.
    private func layered(_ source: [SourceTrack], of name: String) -> [SourceTrack] {
        let hasLayers = streams[name]?.publisher?.layers.isEmpty == false
        return source.map {
            SourceTrack(kind: $0.kind, codec: $0.codec, hasLayers: $0.hasLayers || (hasLayers && $0.kind == .video))
        }
    }

    /// Gives a stream's key and no more of it: who holds its entry has all viewers copied when the next one comes.
    func openStream(_ name: String, isCreating: Bool, isLasting: Bool = false) throws(StreamError) -> StreamKey {
        if let key = streams[name]?.key { return key }
        guard isCreating else { throw .streamNotFound }
        guard streams.count < StreamLimits.streams else {
            throw .unavailable(retryAfterSeconds: StreamLimits.retryAfterSeconds)
        }
        repeat { lastKey &+= 1 } while names[StreamKey(id: lastKey)] != nil
        let entry = StreamEntry(name: name, key: StreamKey(id: lastKey), now: time(), isLasting: isLasting)
        streams[name] = entry
        names[entry.key] = name
        return entry.key
    }

    func newSession(_ tracks: [NegotiatedTrack], remote: ICECredentials, from client: SessionClient, isRelay: Bool = false)
        -> Session
    {
        let now = time()
        return Session(
            id: Identifier.session(), handle: nil, createdAtMs: now.wallMs, createdNs: now.monotonicNs,
            credential: client.credential, seat: seats.take(isRelay ? [] : client.holders),
            tracks: tracks, localICE: .random(), remoteICE: remote, etag: Identifier.etag())
    }

    /// Makes room for a publisher, or throws 409.
    ///
    /// - Parameters:
    ///   - isRelay: another node pushes, which is not counted.
    ///   - isOrdered: a coordinator gives a copy another source.
    private func replacePublisher(
        of name: String, key: StreamKey, client: SessionClient, isRelay: Bool, isOrdered: Bool
    ) async throws(StreamError) {
        guard let current = streams[name]?.publisher else { return }
        guard let handle = current.handle else { throw .publisherExists }
        let isSame = client.credential.map { !$0.isEmpty && $0 == current.credential } ?? false
        if !isSame, !settings.overridePublisher, !(isOrdered && current.relay != nil) {
            guard await isStale(current, handle) else { throw .publisherExists }
        }
        guard streams[name]?.key == key, streams[name]?.publisher?.id == current.id else { throw .publisherExists }
        // Its other offers have been let in meanwhile, perhaps.
        if !isRelay { try checkSeats(client, besides: current.seat.holders) }
        log.info("publisher is replaced", ["stream": name])
        endPublication(name, session: current.id, state: .closed)
        // A reservation without a handle keeps others out until the old session is gone.
        streams[name]?.publisher = newSession([], remote: current.remoteICE, from: client, isRelay: isRelay)
        let reservation = streams[name]?.publisher?.id
        await plane.remove(handle)
        guard streams[name]?.key == key, streams[name]?.publisher?.id == reservation else { throw .publisherExists }
    }

    private func isStale(_ session: Session, _ handle: SessionHandle) async -> Bool {
        let heard = await plane.snapshot(of: handle)?.lastReceivedNs ?? 0
        let last = max(heard, session.createdNs)
        return time().monotonicNs > last &+ StreamLimits.stalePublisherNs
    }

    /// Adds to the media plane, with other credentials when the user fragment is taken, and gives our half of the answer.
    private func place(
        _ session: Session, _ add: (ICECredentials) async throws(MediaPlaneError) -> SessionHandle
    ) async throws(MediaPlaneError) -> (SessionHandle, LocalTransport) {
        var ice = session.localICE
        for _ in 1..<StreamLimits.ufragAttempts {
            do throws(MediaPlaneError) {
                let handle = try await add(ice)
                return (handle, local(ice, loop: handle.loop))
            } catch {
                guard error == .duplicateUfrag else { throw error }
                ice = .random()
            }
        }
        throw .duplicateUfrag
    }

    func local(_ ice: ICECredentials, loop: Int) -> LocalTransport {
        LocalTransport(
            ice: ice, fingerprint: Fingerprint(algorithm: "sha-256", bytes: plane.fingerprint),
            candidates: plane.candidates(loop: loop).map { Candidate(address: $0.address, port: $0.port) }
                + plane.tcpCandidates(loop: loop).map { Candidate(address: $0.address, port: $0.port, isTCP: true) })
    }

    /// Gives the waiting session its handle; when it, or the stream, went away meanwhile, the plane's session goes too.
    func settle(
        _ id: String, on name: String, key: StreamKey, handle: SessionHandle, ice: ICECredentials
    ) async throws(MediaPlaneError) {
        guard streams[name]?.key == key, intake != .closed,
            update(
                id, on: name,
                {
                    $0.handle = handle; $0.localICE = ice
                })
        else {
            await plane.remove(handle)
            throw .noSession
        }
    }

    /// Changes a session in place; false when it is gone.
    @discardableResult
    func update(_ id: String, on name: String, _ change: (inout Session) -> Void) -> Bool {
        streams[name]?.update(id, change) ?? false
    }

    /// Forgets a session that never came to be.
    func discard(_ id: String, on name: String) {
        if streams[name]?.publisher?.id == id { releaseClaim(on: name) }
        streams[name]?.discard(id)
        guard let entry = streams[name] else { return }
        if entry.publisher == nil, entry.viewers.isEmpty, !entry.hadPublisher, !entry.isLasting { forget(name) }
    }

    func forget(_ name: String) {
        guard let entry = streams.removeValue(forKey: name) else { return }
        names[entry.key] = nil
        noteChange()
    }

    func refusal(_ error: MediaPlaneError, on name: String) -> StreamError {
        switch error {
        case .publisherExists: return .publisherExists
        case .busy, .stopped, .noSession, .duplicateUfrag: return .unavailable(retryAfterSeconds: StreamLimits.retryAfterSeconds)
        case .transport(let reason): return .sdp(.unacceptable("the transport: \(reason)"))
        case .tracks(let count): return .sdp(.unacceptable("\(count) tracks"))
        case .portInUse, .tcpPortInUse, .address, .system:
            log.error("a session could not be set up", ["stream": name, "why": error.description])
            return .failed(error.description)
        }
    }

    func didPublish(_ name: String, _ tracks: [NegotiatedTrack], upstream: [String]) {
        guard var entry = streams[name] else { return }
        let isMoved = entry.upstream != upstream
        entry.upstream = upstream
        entry.source = tracks.map { SourceTrack(kind: $0.kind, codec: $0.codec, hasLayers: !$0.layers.isEmpty) }
        entry.hadPublisher = true
        streams[name] = entry
        log.info("publisher came", ["stream": name, "codecs": tracks.map(\.codec.name).joined(separator: "+")])
        fitViewers(name, Array(entry.viewers.values), isOnAir: false)
        if isMoved { closeRelayed(name) }
        emit(.published(stream: name, key: entry.key, isCopy: entry.publisher?.relay != nil))
        noteChange()
    }
}
