import Cluster
import Log
import MediaPlane
import SDP

/// Streams between nodes: this node as the client of another one's WHEP (pull) or WHIP (push).
///
/// A pulled stream's publisher and a pushed stream's viewer are sessions like all others; only who offers is different. A loop would
/// be a stream without an origin: each node tells the next the nodes that the stream has been through, and nobody takes a
/// stream that has been through himself. When that way changes, nodes that pull from here are let go, ask again and learn it.
extension StreamRegistry {
    // MARK: Offers

    /// Takes the publisher's place for a stream of another node; a publisher that is there is never replaced, however silent.
    /// `accept` or `abandon` must follow.
    public func offerPull(stream name: String) throws(StreamError) -> RelayOffer {
        try checkOpen(name)
        try checkRoom(isPublisher: true)
        let key = try openStream(name, isCreating: settings.autoCreateWHIP)
        guard streams[name]?.publisher == nil else { throw .publisherExists }
        let session = dialedSession()
        streams[name]?.publisher = session
        let offer = SubscribeOffer.relay(settings.codecs)
        return RelayOffer(
            stream: name, session: session.id, sdp: offer.sdp(local: dialedTransport(session)), path: ownPath, key: key,
            kind: .pull(offer))
    }

    /// Takes a viewer's place for sending a stream to another node. `accept` or `abandon` must follow.
    public func offerPush(stream name: String) throws(StreamError) -> RelayOffer {
        try checkOpen(name, isRelay: true)
        guard let entry = streams[name] else { throw .streamNotFound }
        guard entry.publisher?.handle != nil, !entry.source.isEmpty else { throw .nothingPublished }
        try checkRoom(isPublisher: false, isRelay: true)
        let session = dialedSession()
        streams[name]?.viewers[session.id] = session
        let offer = PublishOffer.relay(entry.source) { .random(in: 1 ... .max) }
        return RelayOffer(
            stream: name, session: session.id, sdp: offer.sdp(local: dialedTransport(session)), path: ownPath + entry.upstream,
            key: entry.key, kind: .push(offer))
    }

    /// Gives the place back: the other node took no offer.
    public func abandon(_ offer: RelayOffer) {
        guard streams[offer.stream]?.key == offer.key else { return }
        discard(offer.session, on: offer.stream)
        noteChange()
    }

    /// Connects to the node that answered.
    ///
    /// - Throws: `StreamError.badAnswer`, `.loop`, or what became of the stream meanwhile. The place is given back, and the other node's
    ///   session is the caller's to end.
    public func accept(_ offer: RelayOffer, _ answer: RelayAnswer) async throws(StreamError) {
        do throws(StreamError) {
            try await connect(offer, answer)
        } catch {
            abandon(offer)
            throw error
        }
    }

    private func connect(_ offer: RelayOffer, _ answer: RelayAnswer) async throws(StreamError) {
        let name = offer.stream
        if case .pull = offer.kind { try checkPath(answer.path, publishing: name) }
        let agreed = try Self.agreed(offer, answer)
        let isKept = update(offer.session, on: name) {
            $0.tracks = agreed.tracks
            $0.remoteICE = agreed.remote.ice
            $0.relay?.record = answer.record
            $0.relay?.nodes = answer.path
        }
        guard isKept, streams[name]?.key == offer.key, let session = streams[name]?.session(offer.session) else {
            throw .streamNotFound
        }
        let transport = TransportSpec(local: session.localICE, dialing: agreed)
        do throws(MediaPlaneError) {
            let handle = try await add(offer, agreed, transport)
            try await settle(session.id, on: name, key: offer.key, handle: handle, ice: session.localICE)
        } catch {
            throw refusal(error, on: name)
        }
        if case .pull = offer.kind {
            didPublish(name, agreed.tracks, upstream: answer.path)
        } else {
            log.info("stream goes to another node", ["stream": name])
            noteChange()
        }
    }

    private static func agreed(_ offer: RelayOffer, _ answer: RelayAnswer) throws(StreamError) -> NegotiatedSession {
        do throws(SDPError) {
            let description = try SessionDescription(parsing: answer.sdp)
            let agreed =
                switch offer.kind {
                case .pull(let offer): try offer.accept(answer: description)
                case .push(let offer): try offer.accept(answer: description)
                }
            guard agreed.remote.candidates.contains(where: { !$0.isTCP }) else { throw .unacceptable("no candidate over UDP") }
            return agreed
        } catch {
            throw .badAnswer(error)
        }
    }

    private func add(
        _ offer: RelayOffer, _ agreed: NegotiatedSession, _ transport: TransportSpec
    ) async throws(MediaPlaneError) -> SessionHandle {
        switch offer.kind {
        case .pull:
            try await plane.addPublisher(
                PublisherSpec(
                    stream: offer.key, session: offer.session, transport: transport,
                    tracks: IncomingTrackSpec.tracks(agreed.tracks)))
        case .push:
            try await plane.addViewer(
                ViewerSpec(
                    stream: offer.key, session: offer.session, transport: transport,
                    tracks: agreed.tracks.compactMap(OutgoingTrackSpec.init), isNode: true))
        }
    }

    private func dialedSession() -> Session {
        var session = newSession([], remote: ICECredentials(ufrag: "", password: ""), from: SessionClient(credential: nil))
        session.relay = Relay(nodes: [], isDialed: true)
        return session
    }

    /// For an offer: no candidates, since the other node learns our address from our checks.
    private func dialedTransport(_ session: Session) -> LocalTransport {
        LocalTransport(
            ice: session.localICE, fingerprint: Fingerprint(algorithm: "sha-256", bytes: plane.fingerprint), candidates: [])
    }

    // MARK: Paths

    private var ownPath: [String] { settings.alias.isEmpty ? [] : [settings.alias] }

    /// The nodes that a stream comes through, this one first: what a node that pulls is told.
    public func path(of name: String) -> [String] { ownPath + (streams[name]?.upstream ?? []) }

    /// Another node wants a stream.
    func checkPath(_ path: [String], pulling name: String) throws(StreamError) {
        let upstream = streams[name]?.publisher == nil ? [] : streams[name]?.upstream ?? []
        try checkLoop(path, with: upstream)
        guard upstream.count + path.count <= settings.relayDepthMax else { throw Self.tooDeep }
    }

    /// A stream comes from another node.
    func checkPath(_ path: [String], publishing name: String) throws(StreamError) {
        let downstream = streams[name]?.viewers.values.flatMap { $0.relay?.nodes ?? [] } ?? []
        try checkLoop(path, with: downstream)
        guard path.count <= settings.relayDepthMax else { throw Self.tooDeep }
    }

    private static let tooDeep = StreamError.loop("the stream would go through too many nodes")

    private func checkLoop(_ path: [String], with others: [String]) throws(StreamError) {
        let known = Set(ownPath + others)
        guard !path.contains(where: { known.contains($0) }) else {
            throw .loop("the stream would come back to a node that it has been through")
        }
    }

    /// Lets nodes go that pull from here, since the stream's way has changed: they ask again, and learn it.
    func closeRelayed(_ name: String) {
        for viewer in streams[name]?.viewers.values.filter({ $0.relay.map { !$0.isDialed } ?? false }) ?? [] {
            guard let handle = viewer.handle else { continue }
            removeSession(viewer.id, on: name, state: .closed)
            Task { await plane.remove(handle) }
        }
    }

    // MARK: What a cascade wants to know

    /// Ends of sessions that we dialed, from now on, none left out.
    public func relayEnds() -> AsyncStream<RelayEnd> {
        let (stream, continuation) = AsyncStream.makeStream(of: RelayEnd.self)
        lastListener += 1
        let id = lastListener
        relayListeners[id] = continuation
        continuation.onTermination = { [weak self] _ in
            Task { await self?.dropListener(id) }
        }
        return stream
    }

    func noteRelayEnd(_ session: Session, on name: String, _ reason: RelayEnd.Reason) {
        guard session.relay?.isDialed == true, session.handle != nil else { return }
        let end = RelayEnd(stream: name, session: session.id, reason: reason)
        relayListeners.values.forEach { $0.yield(end) }
    }

    /// How long nobody has used a stream, in nanoseconds; 0 while it has viewers or is recorded, nil when it is gone.
    public func idleNs(of name: String) -> UInt64? {
        guard let entry = streams[name] else { return nil }
        guard entry.viewers.isEmpty, !entry.isRecording else { return 0 }
        let since = max(entry.viewersLeft.monotonicNs, entry.publisher?.createdNs ?? 0)
        let now = time().monotonicNs
        return now > since ? now - since : 0
    }

    /// Ends what comes in from another node, so that another source can take its place; a publisher of this node stays.
    public func endCopy(of name: String) async {
        guard let session = streams[name]?.publisher, session.relay != nil, let handle = session.handle else { return }
        removeSession(session.id, on: name, state: .closed)
        noteChange()
        await plane.remove(handle)
    }

    /// Whether somebody waits for a stream: has viewers, or is recorded.
    public func isAwaited(_ name: String) -> Bool { idleNs(of: name) == 0 }

    /// Ends a session that we dialed because the other side doesn't answer.
    public func lose(stream name: String, session id: String, why: String) async {
        guard let handle = streams[name]?.session(id)?.handle else { return }
        removeSession(id, on: name, state: .failed, why: .lost(why))
        noteChange()
        await plane.remove(handle)
    }

    /// Where a session stands; nil when it is gone.
    public func state(of id: String, on name: String) -> Cluster.SessionState? { streams[name]?.session(id)?.state }

    /// How long nothing authentic has come from a session's peer, in nanoseconds; nil when it is gone or not connected yet.
    public func silenceNs(of id: String, on name: String) async -> UInt64? {
        guard let session = streams[name]?.session(id), let handle = session.handle, session.state != .new else { return nil }
        guard let heardNs = await plane.snapshot(of: handle)?.lastReceivedNs else { return nil }
        let now = time().monotonicNs
        return now > heardNs ? now - heardNs : 0
    }
}
