import Cluster
import Log
import MediaPlane
import SDP

extension StreamRegistry {
    /// Takes a trickle fragment or an ICE restart (RFC 9725 section 4.3).
    ///
    /// We are ICE-lite and learn addresses from the peer's checks, so candidates are read, checked and not kept. New credentials
    /// that were never seen before restart ICE; those of an earlier generation come from a late fragment and change nothing.
    ///
    /// - Parameter ifMatch: the header as sent; nil when it is missing, which is taken only with `requiresIfMatch` off.
    public func patch(
        stream name: String, session id: String, fragment body: [UInt8], ifMatch: String?
    ) async throws(StreamError) -> SessionPatch {
        guard let session = streams[name]?.session(id), let handle = session.handle else { throw .sessionNotFound }
        let fragment: SDPFragment
        do throws(SDPError) { fragment = try SDPFragment(parsing: body) } catch { throw .sdp(error) }
        try checkPrecondition(ifMatch, etag: session.etag)
        guard let ice = fragment.ice, ice != session.remoteICE, !session.formerUfrags.contains(ice.ufrag) else {
            return .trickled
        }
        guard ice.ufrag != session.remoteICE.ufrag else {
            throw .sdp(.unacceptable("a new ICE password without a new user fragment"))
        }
        return try await restart(session, handle, on: name, remote: ice)
    }

    private func checkPrecondition(_ header: String?, etag: String) throws(StreamError) {
        guard let header else {
            if settings.requiresIfMatch { throw .preconditionRequired }
            return
        }
        let tags = header.split(separator: ",").map { tag in
            tag.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed().map(String.init).joined()
        }
        // RFC 9725's own example writes the wildcard in quotes.
        guard tags.contains(where: { $0 == "*" || $0 == "\"*\"" || $0 == etag }) else { throw .preconditionFailed }
    }

    private func restart(
        _ session: Session, _ handle: SessionHandle, on name: String, remote: ICECredentials
    ) async throws(StreamError) -> SessionPatch {
        let ice = ICECredentials.random()
        do throws(MediaPlaneError) {
            try await plane.restartICE(
                handle, localUfrag: ice.ufrag, localPassword: ice.password, remoteUfrag: remote.ufrag,
                remotePassword: remote.password)
        } catch {
            switch error {
            case .noSession: throw .sessionNotFound
            case .transport(let reason): throw .sdp(.unacceptable("the transport: \(reason)"))
            default: throw .unavailable(retryAfterSeconds: StreamLimits.retryAfterSeconds)
            }
        }
        let etag = Identifier.etag()
        let isThere = update(session.id, on: name) { session in
            session.formerUfrags.append(session.remoteICE.ufrag)
            if session.formerUfrags.count > StreamLimits.formerUfrags { session.formerUfrags.removeFirst() }
            session.localICE = ice
            session.remoteICE = remote
            session.etag = etag
        }
        guard isThere else { throw .sessionNotFound }
        let first = session.tracks.first
        let body = SDPFragment.restartAnswer(
            local: local(ice, loop: handle.loop), kind: first?.kind ?? .audio, mid: first?.mid ?? "")
        return .restarted(fragment: body, etag: etag)
    }

    /// Ends a session: consent is gone and the peer told when this returns (RFC 9725 section 4.2). A second call throws 404.
    public func end(stream name: String, session id: String) async throws(StreamError) {
        guard let session = streams[name]?.session(id), let handle = session.handle else { throw .sessionNotFound }
        removeSession(id, on: name, state: .closed)
        noteChange()
        await plane.remove(handle)
    }

    /// Who opened a session and as what; nil when there is no such session.
    public func owner(stream name: String, session id: String) -> SessionOwner? {
        guard let entry = streams[name], let session = entry.session(id) else { return nil }
        return SessionOwner(credential: session.credential, isPublisher: entry.publisher?.id == id)
    }

    // MARK: Streams

    /// Makes a stream that stays until it is deleted, with or without a publisher.
    public func create(stream name: String) throws(StreamError) {
        try checkOpen(name)
        guard streams[name] == nil else { throw .streamExists }
        _ = try openStream(name, isCreating: true, isLasting: true)
        noteChange()
    }

    /// Deletes a stream and ends all of its sessions.
    public func delete(stream name: String) async throws(StreamError) {
        guard StreamName.isValid(name) else { throw .invalidName }
        guard streams[name] != nil else { throw .streamNotFound }
        for handle in take(name) { await plane.remove(handle) }
    }

    /// Takes a stream out of the registry and gives the handles that have to be removed from the plane.
    func take(_ name: String) -> [SessionHandle] {
        guard let entry = streams[name] else { return [] }
        releaseClaim(on: name)
        if let publisher = entry.publisher, publisher.handle != nil { emit(.ended(stream: name, key: entry.key)) }
        for session in [entry.publisher].compactMap({ $0 }) + entry.viewers.values { noteRelayEnd(session, on: name, .stopped) }
        forget(name)
        log.info("stream is gone", ["stream": name])
        return ([entry.publisher].compactMap { $0 } + entry.viewers.values).compactMap(\.handle)
    }

    /// The media plane's key of a stream, for the recorder.
    public func key(of name: String) -> StreamKey? { streams[name]?.key }

    /// Whether a stream has a publisher now.
    public func hasPublisher(_ name: String) -> Bool { streams[name]?.publisher?.handle != nil }

    /// Which streams are being recorded now, each with what it was asked for with; such a stream is not deleted for want of
    /// sessions.
    public func setRecording(_ recorded: [String: RecordingOrder]) {
        var isChanged = false
        for (name, entry) in streams {
            guard entry.recording != recorded[name] else { continue }
            streams[name]?.recording = recorded[name]
            isChanged = true
        }
        if isChanged { noteChange() }
    }

    // MARK: Ends

    /// Takes a session out of its stream; the media plane is told by the caller when it does not know yet.
    func removeSession(
        _ id: String, on name: String, state: Cluster.SessionState, why: RelayEnd.Reason = .stopped
    ) {
        if streams[name]?.publisher?.id == id {
            endPublication(name, session: id, state: state, why: why)
        } else {
            if let viewer = streams[name]?.viewers[id] { noteRelayEnd(viewer, on: name, why) }
            _ = streams[name]?.remove(id, state: state, now: time())
        }
    }

    func endPublication(
        _ name: String, session id: String, state: Cluster.SessionState, why: RelayEnd.Reason = .stopped
    ) {
        if let publisher = streams[name]?.publisher { noteRelayEnd(publisher, on: name, why) }
        guard let key = streams[name]?.key, streams[name]?.remove(id, state: state, now: time()) != nil else { return }
        releaseClaim(on: name)
        log.info("publisher is gone", ["stream": name])
        emit(.ended(stream: name, key: key))
    }

    /// Has viewers sent what is published now in the format of their answer that is closest to it, and closes those that can't play it.
    ///
    /// - Parameter isOnAir: the same source goes on, only more is known of it. Another format begins with a key frame, which is not there at
    ///   once, so a viewer keeps the one it has if that plays the source at all.
    func fitViewers(_ name: String, _ viewers: [Session], isOnAir: Bool) {
        guard let entry = streams[name], entry.publisher != nil else { return }
        for viewer in viewers {
            guard let handle = viewer.handle else { continue }
            if let choices = choices(viewer, for: entry.source, isOnAir: isOnAir) {
                guard !choices.isEmpty else { continue }
                for choice in choices { streams[name]?.viewers[viewer.id]?.payloadTypes[choice.ssrc] = choice.payloadType }
                plane.choose(choices, for: handle)
                continue
            }
            log.info("viewer cannot play the new publisher", ["stream": name])
            removeSession(viewer.id, on: name, state: .closed, why: .lost("codecs changed"))
            Task { await plane.remove(handle) }
        }
    }

    /// The closest format of each track that has some to choose from; nil when a source can't be played by the track of its kind.
    private func choices(_ viewer: Session, for source: [SourceTrack], isOnAir: Bool) -> [FormatChoice]? {
        var found: [FormatChoice] = []
        for track in viewer.tracks {
            let used = track.ssrc.flatMap { viewer.payloadTypes[$0] } ?? track.payloadType
            for wanted in source where wanted.kind == track.kind {
                guard let format = track.format(for: wanted.codec, keeping: isOnAir ? used : nil) else { return nil }
                guard let ssrc = track.ssrc, !track.alternatives.isEmpty else { continue }
                found.append(FormatChoice(ssrc: ssrc, payloadType: format.payloadType))
            }
        }
        return found
    }
}
