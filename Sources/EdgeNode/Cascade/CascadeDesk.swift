import Cluster
import HTTP
import Log
import Streams

/// A cascade that the configuration asks for.
public struct DeclaredCascade: Sendable, Hashable {
    /// The stream's name here.
    public let stream: String
    /// Which way it goes.
    public let direction: CascadeDirection
    /// Sources, of which one is used; or the one target.
    public let addresses: [CascadeAddress]

    /// All fields by name; without an address there is nothing to do.
    public init?(stream: String, direction: CascadeDirection, addresses: [CascadeAddress]) {
        guard !addresses.isEmpty else { return nil }
        (self.stream, self.direction, self.addresses) = (stream, direction, addresses)
    }
}

/// Streams that this node fetches from others or gives to them: asks, watches over, asks again, and hangs up.
///
/// The sessions themselves belong to `StreamRegistry`; here is what outlives a session. A pull ends when nobody has used the stream
/// for its idle time. When a session is lost the desk asks again with growing pauses, as long as somebody waits for the stream. What is
/// ended here, by `DELETE` on the session, the stream or the cascade, stays ended. All waiting is done by one clock, twice a second.
public actor CascadeDesk {
    /// How patient the desk is.
    public struct Settings: Sendable {
        /// Seconds after which a pull without use ends, unless the request says otherwise; 0 for never.
        public var idleSeconds = 60
        /// Attempts in a row before a cascade that was asked for by hand is given up.
        public var attemptsMax = 8
        /// Cascades at once.
        public var linksMax = 1000

        /// The defaults above.
        public init() {}
    }

    private let registry: StreamRegistry
    private let settings: Settings
    private let remote: RemoteSession
    private let time: @Sendable () -> StreamTime
    private let log = Logger("cascade")
    private var links: [UInt64: CascadeLink] = [:]
    /// First attempts, for whoever asks for the same meanwhile.
    private var opening: [UInt64: Task<Result<CascadeStatus, CascadeError>, Never>] = [:]
    private var lastID: UInt64 = 0
    private var tasks: [Task<Void, Never>] = []
    private var isStopping = false

    /// After a lost session, and for what the configuration asks for.
    private static let backOff = BackOff(firstMs: 250, longestMs: 8_000)
    private static let lastingBackOff = BackOff(firstMs: 500, longestMs: 60_000)
    private static let endedKeptNs: UInt64 = 60_000_000_000

    /// - Parameters:
    ///   - registry: where the sessions live.
    ///   - client: for HTTP; shut down by `stop`.
    public init(
        registry: StreamRegistry, settings: Settings, client: HTTPClient = HTTPClient(),
        time: @escaping @Sendable () -> StreamTime = StreamTime.system
    ) {
        self.registry = registry
        self.settings = settings
        self.time = time
        remote = RemoteSession(client: client)
    }

    // MARK: Start and stop

    /// Begins to watch over cascades, and to set up those of the configuration. Called once.
    public func start(_ declared: [DeclaredCascade] = []) async {
        guard tasks.isEmpty else { return }
        for cascade in declared {
            add(
                cascade.stream, cascade.direction, cascade.addresses, idleNs: 0, isLasting: true,
                phase: .waiting(untilNs: time().monotonicNs))
        }
        let ends = await registry.relayEnds()
        tasks = [
            Task { [weak self] in
                for await end in ends { await self?.take(end) }
            },
            Task { [weak self] in
                while !Task.isCancelled {
                    try? await Task.sleep(for: .milliseconds(500))
                    await self?.tick()
                }
            },
        ]
    }

    /// Ends every cascade and tells the other nodes, for three seconds at most.
    public func stop() async {
        isStopping = true
        tasks.forEach { $0.cancel() }
        tasks = []
        let remote = remote
        let open = links.values.compactMap { link -> (String, CascadeAddress)? in
            if case .connected(_, let session) = link.phase { (session, link.address) } else { nil }
        }
        links = [:]
        await withTaskGroup(of: Void.self) { group in
            for (session, address) in open { group.addTask { await remote.close(session, address) } }
        }
        await remote.client.shutdown()
    }

    // MARK: By hand

    /// Fetches a stream from another node's WHEP endpoint; returns when it has answered. Asking for what is there already changes nothing.
    ///
    /// - Parameters:
    ///   - idleSeconds: instead of the setting; 0 for never.
    ///   - isReplacing: whether another source, however well it works, is given up for this one. Viewers go on with the new one.
    public func pull(
        stream: String, from address: CascadeAddress, idleSeconds: Int? = nil, isReplacing: Bool = false
    ) async throws(CascadeError) -> CascadeStatus {
        if let known = live(stream, .pull) {
            if known.address == address {
                if case .connected = known.phase { return known.status }
                if let attempt = opening[known.id] { return try await attempt.value.get() }
            }
            // Whoever asks for another source while the last one is lost knows better.
            if case .waiting = known.phase {
                links[known.id] = nil
            } else {
                guard isReplacing else { throw .local(.publisherExists) }
                await drop(known)
            }
        }
        // Also a copy that another node gave to us makes room.
        if isReplacing { await registry.endCopy(of: stream) }
        let idle = UInt64(max(0, idleSeconds ?? settings.idleSeconds)) &* 1_000_000_000
        return try await open(stream, .pull, address, idleNs: idle)
    }

    /// Gives a cascade up for another one.
    private func drop(_ link: CascadeLink) async {
        links[link.id] = nil
        if let offer = link.offer { await registry.abandon(offer) }
        if case .connected(let session, let remote) = link.phase {
            try? await registry.end(stream: link.stream, session: session)
            hangUp(remote, link.address)
        }
    }

    /// Gives a stream to another node's WHIP endpoint; returns when it has answered. Asking for what is there already changes nothing.
    ///
    /// - Parameter idleSeconds: how long the other node keeps the stream without use, when a coordinator has it pushed; 0 for ever.
    public func push(
        stream: String, to address: CascadeAddress, idleSeconds: Int = 0
    ) async throws(CascadeError) -> CascadeStatus {
        if let known = live(stream, .push, address.url) {
            if case .connected = known.phase { return known.status }
            if let attempt = opening[known.id] { return try await attempt.value.get() }
            guard case .waiting = known.phase else { throw .local(.publisherExists) }
            links[known.id] = nil
        }
        return try await open(stream, .push, address, idleNs: UInt64(max(0, idleSeconds)) &* 1_000_000_000)
    }

    private func open(
        _ stream: String, _ direction: CascadeDirection, _ address: CascadeAddress, idleNs: UInt64
    ) async throws(CascadeError) -> CascadeStatus {
        guard links.values.count(where: { !$0.isOver }) < settings.linksMax, !isStopping else {
            throw .local(.unavailable(retryAfterSeconds: 5))
        }
        let id = add(stream, direction, [address], idleNs: idleNs, isLasting: false, phase: .connecting)
        let attempt = Task { await self.attempt(id) }
        opening[id] = attempt
        defer { opening[id] = nil }
        return try await attempt.value.get()
    }

    private func attempt(_ id: UInt64) async -> Result<CascadeStatus, CascadeError> {
        do throws(CascadeError) {
            try await connect(id)
        } catch {
            links[id] = nil
            return .failure(error)
        }
        guard let status = links[id]?.status else { return .failure(.local(.streamNotFound)) }
        return .success(status)
    }

    /// Ends the cascades of a stream: all, or that with this URL. How many there were; what the configuration asks for comes back.
    public func end(stream: String, url: String? = nil) async -> Int {
        let wanted = links.values.filter { $0.stream == stream && !$0.isOver && (url == nil || $0.address.url == url) }
        for link in wanted {
            if case .connected(let session, _) = link.phase {
                // The registry tells of the end, and `take` does the rest.
                try? await registry.end(stream: stream, session: session)
            } else {
                finish(link.id, "stopped")
            }
        }
        return wanted.count
    }

    /// How many cascades there are by direction and state, those that are over left out.
    public func counts() -> [CascadeDirection: [CascadeStatus.State: Int]] {
        links.values.filter { !$0.isOver }.reduce(into: [:]) { counts, link in
            counts[link.direction, default: [:]][link.status.state, default: 0] += 1
        }
    }

    /// Cascades of a stream, with those that ended within the last minute.
    public func list(stream: String) -> [CascadeStatus] {
        links.values.filter { $0.stream == stream }.sorted { $0.id < $1.id }.map(\.status)
    }

    // MARK: Attempts

    @discardableResult
    private func add(
        _ stream: String, _ direction: CascadeDirection, _ addresses: [CascadeAddress], idleNs: UInt64, isLasting: Bool,
        phase: CascadeLink.Phase
    ) -> UInt64 {
        lastID += 1
        links[lastID] = CascadeLink(
            id: lastID, stream: stream, direction: direction, addresses: addresses, idleNs: idleNs, isLasting: isLasting,
            phase: phase)
        return lastID
    }

    private func live(_ stream: String, _ direction: CascadeDirection, _ url: String? = nil) -> CascadeLink? {
        links.values.first {
            $0.stream == stream && $0.direction == direction && !$0.isOver && (url == nil || $0.address.url == url)
        }
    }

    /// One attempt: a place here, the other node's answer, and both together.
    private func connect(_ id: UInt64) async throws(CascadeError) {
        guard let link = links[id] else { return }
        let (stream, address, isPull) = (link.stream, link.address, link.direction == .pull)
        let offer: RelayOffer
        do throws(StreamError) {
            offer = try await isPull ? registry.offerPull(stream: stream) : registry.offerPush(stream: stream)
        } catch {
            throw .local(error)
        }
        guard links[id] != nil else { return await registry.abandon(offer) }
        links[id]?.offer = offer
        defer { links[id]?.offer = nil }
        let answer: RemoteSession.Answer
        do throws(CascadeError) {
            let idleSeconds = !isPull && link.idleNs > 0 ? Int(link.idleNs / 1_000_000_000) : nil
            answer = try await remote.open(address, sdp: offer.sdp, path: offer.path, idleSeconds: idleSeconds)
        } catch {
            await registry.abandon(offer)
            throw error
        }
        guard links[id]?.phase == .connecting else {
            await registry.abandon(offer)
            hangUp(answer.session, address)
            throw .local(.sessionNotFound)
        }
        do throws(StreamError) {
            // A header that can't be read must not open the door to a loop.
            guard let path = CascadePath.parse(answer.path, isAlias: NodeAlias.isValid) else {
                throw .loop("the other node's \(CascadePath.header) is not a list of aliases")
            }
            let record = CascadeRecord(
                sourceURL: isPull ? address.url : nil, targetURL: isPull ? nil : address.url, sessionURL: answer.session)
            // Noted first: the session may be lost before `accept` returns.
            links[id]?.phase = .connected(session: offer.session, remote: answer.session)
            try await registry.accept(offer, RelayAnswer(sdp: answer.sdp, record: record, path: isPull ? path : []))
        } catch {
            await registry.abandon(offer)
            hangUp(answer.session, address)
            throw .local(error)
        }
        guard links[id] != nil else {
            try? await registry.end(stream: stream, session: offer.session)
            return hangUp(answer.session, address)
        }
        links[id]?.goodTicks = 0
        log.info("cascade is up", ["stream": stream, "direction": link.direction.rawValue, "url": address.safeURL])
    }

    private func hangUp(_ session: String, _ address: CascadeAddress) {
        let remote = remote
        Task { await remote.close(session, address) }
    }

    /// A session of ours is over.
    private func take(_ end: RelayEnd) {
        guard let link = links.values.first(where: { $0.stream == end.stream && $0.has(session: end.session) }),
            case .connected(_, let session) = link.phase
        else { return }
        hangUp(session, link.address)
        switch end.reason {
        case .stopped: finish(link.id, link.reason ?? "stopped")
        case .lost(let why):
            log.warning("cascade is lost", ["stream": end.stream, "direction": link.direction.rawValue, "why": why])
            links[link.id]?.turn += 1
            // The other node has given up what a coordinator wanted there: nobody used it, or it comes from elsewhere now.
            if link.direction == .push, link.idleNs > 0 { return finish(link.id, why) }
            guard link.isLasting || link.attempts < settings.attemptsMax else { return finish(link.id, why) }
            wait(link.id, why)
        }
    }

    private func wait(_ id: UInt64, _ reason: String) {
        guard let link = links[id] else { return }
        let backOff = link.isLasting ? Self.lastingBackOff : Self.backOff
        let pauseMs = backOff.pauseMs(before: link.attempts + 1)
        links[id]?.reason = reason
        links[id]?.phase = .waiting(untilNs: time().monotonicNs &+ UInt64(pauseMs) &* 1_000_000)
    }

    private func finish(_ id: UInt64, _ reason: String) {
        guard let link = links[id] else { return }
        links[id]?.reason = reason
        guard !link.isLasting else { return wait(id, reason) }
        links[id]?.phase = .ended(atNs: time().monotonicNs)
        log.info("cascade is over", ["stream": link.stream, "direction": link.direction.rawValue, "why": reason])
    }

    // MARK: The clock

    private func tick() async {
        let now = time().monotonicNs
        for id in Array(links.keys) {
            guard let link = links[id] else { continue }
            switch link.phase {
            case .connecting: break
            case .connected(let session, _): await watch(link, session)
            case .waiting(let untilNs): if untilNs <= now { await retry(link) }
            case .ended(let atNs): if now > atNs &+ Self.endedKeptNs { links[id] = nil }
            }
        }
    }

    /// A pull that nobody uses ends; a source that says nothing is lost long before consent runs out.
    private func watch(_ link: CascadeLink, _ session: String) async {
        let state = await registry.state(of: session, on: link.stream)
        let silenceNs = await registry.silenceNs(of: session, on: link.stream) ?? 0
        let idleNs = await registry.idleNs(of: link.stream) ?? 0
        guard var current = links[link.id], current.has(session: session) else { return }
        let isIdle = link.direction == .pull && link.idleNs > 0 && idleNs >= link.idleNs
        if state == .connected { current.goodTicks += 1 }
        // Only a session that holds makes up for those that did not.
        if current.goodTicks == Self.goodTicksMin { current.attempts = 0 }
        if isIdle { current.reason = "idle" }
        links[link.id] = current
        if isIdle {
            try? await registry.end(stream: link.stream, session: session)
        } else if silenceNs > Self.silenceMaxNs {
            await registry.lose(stream: link.stream, session: session, why: "silent")
        }
    }

    /// Consent checks are at most 6 s apart, and one that is lost is repeated ten times within the second after.
    private static let silenceMaxNs: UInt64 = 7_500_000_000
    private static let goodTicksMin = 20

    private func retry(_ link: CascadeLink) async {
        let isPull = link.direction == .pull
        if !(isPull && link.isLasting) {
            let isWanted = isPull ? await registry.isAwaited(link.stream) : await registry.hasPublisher(link.stream)
            guard links[link.id]?.phase == link.phase else { return }
            guard isWanted || link.isLasting else { return finish(link.id, link.reason ?? "unused") }
            // A configured target waits for its stream with the next tick.
            guard isWanted else { return }
        }
        links[link.id]?.phase = .connecting
        links[link.id]?.attempts += 1
        let id = link.id
        Task {
            do throws(CascadeError) { try await self.connect(id) } catch { self.failed(id, error) }
        }
    }

    private func failed(_ id: UInt64, _ error: CascadeError) {
        guard let link = links[id], !link.isOver else { return }
        if link.reason != error.description {
            log.warning("cascade failed", ["stream": link.stream, "url": link.address.safeURL, "why": error.description])
        }
        links[id]?.turn += 1
        guard link.isLasting || (error.isTransient && link.attempts < settings.attemptsMax) else {
            return finish(id, error.description)
        }
        wait(id, error.description)
    }
}
