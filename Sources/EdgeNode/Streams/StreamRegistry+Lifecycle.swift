import Cluster
import Log
import MediaPlane
import SDP

extension StreamRegistry {
    /// Begins to follow the media plane and to look once a second for what has to end. Called once.
    public func start() {
        guard tasks.isEmpty else { return }
        let events = plane.events
        tasks = [
            Task { [weak self] in
                for await event in events { await self?.take(event) }
            },
            Task { [weak self] in
                while !Task.isCancelled {
                    try? await Task.sleep(for: .seconds(1))
                    await self?.sweep()
                }
            },
        ]
    }

    /// Takes no new sessions from now on; those that are there stay.
    public func drain() { intake = .closed }

    /// Ends every session and stops following the plane. The plane itself is shut down by its owner.
    public func stop() async {
        intake = .closed
        let handles = streams.keys.flatMap { take($0) }
        for handle in handles { await plane.remove(handle) }
        tasks.forEach { $0.cancel() }
        tasks = []
        changeListeners.values.forEach { $0.finish() }
        publicationListeners.values.forEach { $0.finish() }
        relayListeners.values.forEach { $0.finish() }
        relayListeners = [:]
        changeListeners = [:]
        publicationListeners = [:]
    }

    /// Takes over what the media plane tells.
    func take(_ event: MediaEvent) {
        switch event {
        case .sessionState(let handle, let id, let state):
            guard let name = names[handle.stream] else { return }
            switch state {
            case .new: return
            case .connected: update(id, on: name) { $0.state = .connected }
            case .closed(let reason):
                log.info("session ended", ["stream": name, "why": reason.rawValue])
                removeSession(id, on: name, state: reason.isFailure ? .failed : .closed, why: .lost(reason.rawValue))
                deleteIfDue(name)
            }
            noteChange()
        case .firstMedia(let key, _, let kind):
            guard let name = names[key] else { return }
            log.debug("first media", ["stream": name, "kind": kind == .video ? "video" : "audio"])
        case .h264Profile(let key, let id, let profile):
            guard let name = names[key], var entry = streams[name], entry.publisher?.id == id else { return }
            entry.source = entry.source.map {
                SourceTrack(kind: $0.kind, codec: $0.codec.withH264Profile(profile), hasLayers: $0.hasLayers)
            }
            streams[name] = entry
            // Who was answered for the profile that the publisher only claimed may be looking at a black picture.
            fitViewers(name, Array(entry.viewers.values), isOnAir: true)
        }
    }

    /// Samples counters and ends what has waited too long.
    public func sweep() async {
        let now = time()
        var isChanged = false
        let silentNs = now.monotonicNs - min(now.monotonicNs, StreamLimits.disconnectedNs)
        for sample in plane.news(after: &seenNumbers, silentNs: silentNs) where take(sample, now) { isChanged = true }
        for name in Array(streams.keys) {
            if streams[name]?.forgetEnded(before: now.wallMs - StreamLimits.endedSessionsKeptMs) == true { isChanged = true }
            for handle in closeWaitingViewers(name, now) + closeIdleCopy(name, now) {
                isChanged = true
                await plane.remove(handle)
            }
            deleteIfDue(name)
        }
        if isChanged { noteChange() }
    }

    /// Whether a session has nothing new to tell, as most of thousands that wait for a publisher have not.
    private func isAsBefore(_ sample: SessionSnapshot, on name: String, _ now: StreamTime) -> Bool {
        guard let session = streams[name]?.viewers[sample.session], session.state == .connected else { return false }
        return session.stats.bytes == Int64(clamping: sample.bytes) && session.stats.bitrate == 0
            && now.monotonicNs <= sample.lastReceivedNs &+ StreamLimits.disconnectedNs
    }

    /// Takes one session's counters over; true when they moved.
    private func take(_ sample: SessionSnapshot, _ now: StreamTime) -> Bool {
        guard let name = names[sample.handle.stream], !isAsBefore(sample, on: name, now) else { return false }
        var isMoved = false
        update(sample.session, on: name) { session in
            let bytes = Int64(clamping: sample.bytes)
            let elapsedMs = Int64((now.monotonicNs &- session.sampledNs) / 1_000_000)
            if session.sampledNs > 0, elapsedMs > 0 {
                session.stats.bitrate = max(0, bytes - session.stats.bytes) * 8000 / elapsedMs
            }
            isMoved = session.stats.bytes != bytes
            session.stats.bytes = bytes
            session.stats.packets = Int64(clamping: sample.packets)
            session.sampledNs = now.monotonicNs
            session.layers = sample.layers
            session.layer = sample.layer
            session.availableBitrate = sample.availableBitrate.map { Int64(clamping: $0) }
            let isSilent = sample.lastReceivedNs > 0 && now.monotonicNs > sample.lastReceivedNs &+ StreamLimits.disconnectedNs
            let old = session.state
            switch session.state {
            case .connected where isSilent: session.state = .disconnected
            case .disconnected where !isSilent: session.state = .connected
            case .new where sample.remoteAddress != nil: session.state = .connecting
            default: break
            }
            if session.state != old { isMoved = true }
        }
        return isMoved
    }

    /// Takes out viewers that have waited for a publisher long enough; twice as long while one is being set up, which takes up to
    /// 50 s and may come to nothing.
    private func closeWaitingViewers(_ name: String, _ now: StreamTime) -> [SessionHandle] {
        guard let entry = streams[name], entry.publisher?.hasConnected != true else { return [] }
        let waitNs = UInt64(max(0, settings.publisherWaitMs)) * (entry.publisher == nil ? 1_000_000 : 2_000_000)
        var handles: [SessionHandle] = []
        // By place: of thousands that may go on waiting none is copied.
        for place in entry.viewers.values.indices {
            let since = max(entry.viewers.values[place].createdNs, entry.connectedPublisherLeftNs)
            guard now.monotonicNs >= since &+ waitNs else { continue }
            let viewer = entry.viewers.values[place]
            guard let handle = viewer.handle else { continue }
            log.info("viewer waited in vain for a publisher", ["stream": name])
            removeSession(viewer.id, on: name, state: .closed)
            handles.append(handle)
        }
        return handles
    }

    /// Takes out a pushed copy that nobody has used for as long as its coordinator said; what we pulled ourselves is the desk's.
    private func closeIdleCopy(_ name: String, _ now: StreamTime) -> [SessionHandle] {
        guard let session = streams[name]?.publisher, let handle = session.handle, let idleNs = session.relay?.idleNs, idleNs > 0,
            self.idleNs(of: name) ?? 0 >= idleNs
        else { return [] }
        removeSession(session.id, on: name, state: .closed)
        return [handle]
    }

    /// Deletes a stream whose time without publisher or viewers is over (`auto_delete_whip`, `auto_delete_whep`), and one that
    /// came with its sessions and has none left.
    func deleteIfDue(_ name: String) {
        guard let entry = streams[name], !entry.isRecording else { return }
        let now = time().monotonicNs
        func isOver(_ since: StreamTime, _ ms: Int) -> Bool { now >= since.monotonicNs &+ UInt64(max(0, ms)) * 1_000_000 }
        let whip = settings.autoDeleteWHIPMs.map {
            entry.hadPublisher && entry.publisher == nil && isOver(entry.publisherLeft, $0)
        }
        let whep = settings.autoDeleteWHEPMs.map { entry.viewers.isEmpty && isOver(entry.viewersLeft, $0) }
        let isEmpty = !entry.isLasting && entry.publisher == nil && entry.viewers.isEmpty
        let isOrphan =
            isEmpty && isOver(entry.publisherLeft, settings.publisherWaitMs)
            && isOver(entry.viewersLeft, settings.publisherWaitMs)
        guard whip == true || whep == true || isOrphan else { return }
        let handles = take(name)
        Task { for handle in handles { await plane.remove(handle) } }
    }
}

extension CloseReason {
    /// Whether the connection broke rather than being ended by someone.
    var isFailure: Bool {
        switch self {
        case .consentLost, .setupTimeout, .handshakeFailed, .tooManySources: true
        case .removed, .closedByPeer: false
        }
    }
}
