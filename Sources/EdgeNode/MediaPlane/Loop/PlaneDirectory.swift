import Synchronization

/// Which session and stream lives on which loop, and the pipes between loops: the plane's control state, behind one lock.
///
/// Commands are posted while the lock is held, so every loop sees them in the order in which things were decided. No packet
/// ever comes here; loops do when a session ends.
final class PlaneDirectory: Sendable {
    private struct Stream {
        var publisher: SessionHandle?
        /// The publisher's loop has been told of it, so pipes may be opened there.
        var isPosted = false
        var viewers: [Int]
        /// The pipe that feeds a loop's viewers while the publisher is elsewhere.
        var inlets: [Int: PacketPipe] = [:]
        var taps: [PacketPipe] = []

        var isIdle: Bool { publisher == nil && taps.isEmpty && viewers.allSatisfy { $0 == 0 } }
    }

    private struct State {
        var nextSession: UInt64 = 1
        var sessions: [UInt64: [String]] = [:]
        var ufrags: Set<String> = []
        var streams: [StreamKey: Stream] = [:]
        var sessionsOnLoop: [Int]
        var isStopped = false
    }

    let mailboxes: [Mailbox]
    /// Where messages of data channels are passed on, and this plane's number there; nil when the node has none.
    let dataChannels: (thread: DataChannelThread, plane: UInt64)?
    /// How busy each loop is.
    let gauges: [LoopGauge]
    private let state: Mutex<State>
    private let epoch = Atomic<UInt32>(0)
    private let events: AsyncStream<MediaEvent>.Continuation

    init(
        mailboxes: [Mailbox], events: AsyncStream<MediaEvent>.Continuation,
        dataChannels: (thread: DataChannelThread, plane: UInt64)? = nil
    ) {
        self.mailboxes = mailboxes
        self.dataChannels = dataChannels
        gauges = mailboxes.map { _ in LoopGauge() }
        self.events = events
        state = Mutex(State(sessionsOnLoop: [Int](repeating: 0, count: mailboxes.count)))
    }

    /// A number for a new source, above all before; any thread.
    func nextEpoch() -> UInt32 { epoch.wrappingAdd(1, ordering: .relaxed).newValue }

    func emit(_ event: MediaEvent) { events.yield(event) }

    func finishEvents() { events.finish() }

    // MARK: Sessions

    /// Takes a place for a session; ``post(_:_:)`` or ``forget(_:)`` must follow.
    func reserve(stream: StreamKey, isPublisher: Bool, ufrag: String, loop wanted: Int?) throws(MediaPlaneError) -> SessionHandle
    {
        let result: Result<SessionHandle, MediaPlaneError> = state.withLock { state in
            guard !state.isStopped else { return .failure(.stopped) }
            if let wanted, !mailboxes.indices.contains(wanted) { return .failure(.busy) }
            guard !state.ufrags.contains(ufrag) else { return .failure(.duplicateUfrag) }
            var entry = state.streams[stream] ?? Stream(viewers: [Int](repeating: 0, count: mailboxes.count))
            if isPublisher, entry.publisher != nil { return .failure(.publisherExists) }
            let loop = wanted ?? leastLoaded(state.sessionsOnLoop)
            let handle = SessionHandle(id: state.nextSession, loop: loop, stream: stream, isPublisher: isPublisher)
            state.nextSession += 1
            state.ufrags.insert(ufrag)
            state.sessions[handle.id] = [ufrag]
            state.sessionsOnLoop[loop] += 1
            if isPublisher {
                entry.publisher = handle
                entry.isPosted = false
            } else {
                entry.viewers[loop] += 1
            }
            state.streams[stream] = entry
            return .success(handle)
        }
        return try result.get()
    }

    /// The loop with the fewest sessions, of those that have time left if there are any.
    private func leastLoaded(_ counts: [Int]) -> Int {
        let free = counts.indices.filter { !gauges[$0].isSaturated }
        return (free.isEmpty ? Array(counts.indices) : free).min { counts[$0] < counts[$1] } ?? 0
    }

    /// Hands a reserved session to its loop, and opens the pipes it makes necessary.
    func post(_ order: SessionOrder, _ done: CheckedContinuation<Bool, Never>) {
        let handle = order.handle
        let isAccepted = state.withLock { state in
            guard !state.isStopped, var entry = state.streams[handle.stream],
                mailboxes[handle.loop].post(.add(order, done))
            else { return false }
            if handle.isPublisher {
                entry.isPosted = true
                for pipe in entry.taps { open(.openOutlet(handle.stream, pipe, replays: false), on: handle.loop) }
                for loop in mailboxes.indices where entry.viewers[loop] > 0 { connect(&entry, handle, to: loop) }
            } else if let publisher = entry.publisher, entry.isPosted, entry.inlets[handle.loop] == nil {
                connect(&entry, publisher, to: handle.loop)
            }
            state.streams[handle.stream] = entry
            return true
        }
        if !isAccepted { done.resume(returning: false) }
    }

    private func open(_ command: LoopCommand, on loop: Int) {
        _ = mailboxes[loop].post(command, isWiring: true)
    }

    /// Feeds a loop's viewers from a publisher on another loop.
    private func connect(_ entry: inout Stream, _ publisher: SessionHandle, to loop: Int) {
        guard loop != publisher.loop else { return }
        if entry.inlets[loop] == nil {
            let pipe = PacketPipe(slots: MediaLimits.loopPipeSlots, wake: mailboxes[loop].wake)
            entry.inlets[loop] = pipe
            open(.openInlet(publisher.stream, pipe), on: loop)
        }
        if let pipe = entry.inlets[loop] { open(.openOutlet(publisher.stream, pipe, replays: true), on: publisher.loop) }
    }

    /// Whether the session is still known.
    func isKnown(_ handle: SessionHandle) -> Bool { state.withLock { $0.sessions[handle.id] != nil } }

    /// Adds a user fragment to a session, for an ICE restart.
    func addUfrag(_ ufrag: String, to handle: SessionHandle) throws(MediaPlaneError) {
        let result: Result<Void, MediaPlaneError> = state.withLock { state in
            guard state.sessions[handle.id] != nil else { return .failure(.noSession) }
            guard state.ufrags.insert(ufrag).inserted else { return .failure(.duplicateUfrag) }
            state.sessions[handle.id]?.append(ufrag)
            // As its loop, which answers the last two.
            if let known = state.sessions[handle.id], known.count > 2 {
                state.sessions[handle.id] = Array(known.dropFirst())
                state.ufrags.remove(known[0])
            }
            return .success(())
        }
        return try result.get()
    }

    /// A session is gone; called by its loop, after it has let go of everything.
    func sessionEnded(_ handle: SessionHandle, name: String, reason: CloseReason) {
        forget(handle)
        emit(.sessionState(handle, session: name, .closed(reason)))
    }

    /// Gives a session's place back, and closes the pipes that nobody needs now.
    func forget(_ handle: SessionHandle) {
        state.withLock { state in
            guard let ufrags = state.sessions.removeValue(forKey: handle.id) else { return }
            state.ufrags.subtract(ufrags)
            state.sessionsOnLoop[handle.loop] -= 1
            guard var entry = state.streams[handle.stream] else { return }
            if handle.isPublisher {
                if entry.publisher == handle { entry.publisher = nil }
            } else {
                entry.viewers[handle.loop] -= 1
                if entry.viewers[handle.loop] == 0, let pipe = entry.inlets.removeValue(forKey: handle.loop) {
                    _ = pipe.close()
                    open(.closeInlet(handle.stream, pipe), on: handle.loop)
                }
            }
            state.streams[handle.stream] = entry.isIdle ? nil : entry
        }
    }

    // MARK: Streams

    func openTap(_ stream: StreamKey, wake: WakeDescriptor) throws(MediaPlaneError) -> PacketPipe {
        let pipe = PacketPipe(slots: MediaLimits.tapPipeSlots, wake: wake, isTap: true)
        let isOpen = state.withLock { state in
            guard !state.isStopped else { return false }
            var entry = state.streams[stream] ?? Stream(viewers: [Int](repeating: 0, count: mailboxes.count))
            entry.taps.append(pipe)
            if let publisher = entry.publisher, entry.isPosted {
                open(.openOutlet(stream, pipe, replays: false), on: publisher.loop)
            }
            state.streams[stream] = entry
            return true
        }
        guard isOpen else { throw .stopped }
        return pipe
    }

    func closeTap(_ stream: StreamKey, _ pipe: PacketPipe) {
        state.withLock { state in
            guard var entry = state.streams[stream] else { return }
            entry.taps.removeAll { $0 === pipe }
            state.streams[stream] = entry.isIdle ? nil : entry
        }
    }

    /// Passes a wish for keyframes to the publisher's loop. A full mailbox loses it: who wishes asks again.
    ///
    /// - Parameter sources: bits of the source's tracks; nil for those that readers are given.
    func requestKeyframe(_ stream: StreamKey, sources: UInt64?) {
        let loop = state.withLock { $0.streams[stream]?.publisher?.loop }
        if let loop { _ = mailboxes[loop].post(.requestKeyframe(stream, sources: sources)) }
    }

    /// Refuses new sessions; false when that was done before.
    func stop() -> Bool {
        state.withLock { state in
            defer { state.isStopped = true }
            return !state.isStopped
        }
    }
}
