import CLinux
import Glibc

/// Everything one media loop owns. Only the loop's thread touches it, from ``run()`` on.
///
/// What the packet path changes stands behind raw pointers, so that nothing there is counted, locked or checked for exclusive access.
final class LoopCore {
    let index: Int
    let socket: UDPSocket
    let mailbox: Mailbox
    let directory: PlaneDirectory
    let status: LoopStatus
    let pool: HandshakePool
    let epoll: Int32
    /// Hears of commands only.
    private let commandEpoll: Int32
    /// Whether what comes may gather before it is read.
    var lull: Lull
    private let readyEvents: UnsafeMutableBufferPointer<epoll_event>

    let arena: UnsafeMutablePointer<SendArena>
    let counters: UnsafeMutablePointer<LoopCounters>
    let wheel: UnsafeMutablePointer<TimerWheel>
    let addresses: UnsafeMutablePointer<AddressTable>
    let ownAddresses: UnsafeMutablePointer<OwnAddresses>
    let output: UnsafeMutablePointer<TransportOutput>
    let touched: UnsafeMutablePointer<PointerList<PeerSession>>
    /// All sessions in the order of what is published of them, and those of whom that is no longer true.
    let shown: UnsafeMutablePointer<PointerList<PeerSession>>
    let changed: UnsafeMutablePointer<PointerList<PeerSession>>
    let dirty: UnsafeMutablePointer<PointerList<Fanout>>
    /// Sessions with a socket of their own.
    let dialed: UnsafeMutablePointer<PointerList<PeerSession>>
    /// For peers without UDP, when the configuration wants it.
    let listener: TCPListener?
    let streams: UnsafeMutablePointer<TCPTable>
    var closedConnections: [UnsafeMutablePointer<TCPConnection>] = []
    var isListening = false
    /// A header being written, and RTCP being put together.
    let headerScratch: UnsafeMutableRawPointer
    /// A payload whose numbers are moved for one viewer.
    let payloadScratch: UnsafeMutableRawPointer
    let reportScratch: UnsafeMutableRawPointer
    let nackScratch: UnsafeMutableBufferPointer<UInt16>
    /// The payload of a filler packet: one byte of padding that counts itself (RFC 3550 §5.1).
    let fillerPayload: UnsafeMutableRawPointer
    /// As much padding as a packet can have, its count in the last byte.
    let paddingPayload: UnsafeMutableRawPointer
    let batch: ReceiveBatch

    /// Control state: looked up when STUN arrives or a command does.
    var sessions: [UInt64: UnsafeMutablePointer<PeerSession>] = [:]
    var ufrags: [Int: UnsafeMutablePointer<PeerSession>] = [:]
    /// By host, for media from addresses that are not known yet.
    var hosts: [UInt64: [UnsafeMutablePointer<PeerSession>]] = [:]
    var strangers = TokenBucket(perSecond: MediaLimits.strangersPerSecond, burst: MediaLimits.strangersBurst)
    var fanouts: [StreamKey: UnsafeMutablePointer<Fanout>] = [:]
    var inlets: [UnsafeMutablePointer<Fanout>] = []
    var ended: [UnsafeMutablePointer<PeerSession>] = []
    var handshakes = HandshakeGate()
    private var isStopping = false
    /// What was sent through sockets that are closed.
    var retiredTotals = SendTotals()

    /// What publishers that know REMB only are told to keep below, bit/s.
    let publisherBitrateMax: UInt64
    /// What to add to the monotonic clock to get nanoseconds since 1900; fixed, so that a clock step can't reach viewers.
    let wallOffsetNs: UInt64
    private let startedNs: UInt64
    private var load: LoadWindow
    private var nextPublishNs: UInt64

    init(
        index: Int, settings: MediaSettings, directory: PlaneDirectory, mailbox: Mailbox, status: LoopStatus, pool: HandshakePool
    ) throws(MediaPlaneError) {
        self.index = index
        self.directory = directory
        self.mailbox = mailbox
        self.status = status
        publisherBitrateMax = max(settings.publisherBitrateMax, MediaSettings.publisherBitrateMin)
        self.pool = pool
        let port = settings.udpPort == 0 ? 0 : settings.udpPort &+ UInt16(truncatingIfNeeded: index)
        socket = try UDPSocket(bindAddress: settings.bindAddress, port: port, bufferBytes: settings.socketBufferBytes)
        let tcpPort = settings.tcpPort.map { $0 == 0 ? 0 : $0 &+ UInt16(truncatingIfNeeded: index) }
        if let tcpPort {
            listener = try TCPListener(bindAddress: settings.bindAddress, port: tcpPort)
        } else {
            listener = nil
        }
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        commandEpoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        let now = tributary_monotonic_ns()
        lull = Lull(now: now)
        startedNs = now
        load = LoadWindow(startNs: now)
        nextPublishNs = now
        wallOffsetNs = tributary_realtime_ns() &- now &+ NTP.unixOffsetSeconds &* 1_000_000_000
        batch = ReceiveBatch()
        arena = .allocate(capacity: 1)
        arena.initialize(
            to: SendArena(
                descriptor: socket.descriptor, isDualStack: socket.isDualStack, usesSegmentation: settings.usesSegmentation))
        counters = .allocate(capacity: 1)
        counters.initialize(to: LoopCounters())
        wheel = .allocate(capacity: 1)
        wheel.initialize(to: TimerWheel(now: now))
        addresses = .allocate(capacity: 1)
        addresses.initialize(to: AddressTable(seed: UInt64.random(in: .min ... .max)))
        ownAddresses = .allocate(capacity: 1)
        ownAddresses.initialize(to: OwnAddresses())
        arena.pointee.ownAddresses = ownAddresses
        output = .allocate(capacity: 1)
        output.initialize(to: TransportOutput())
        touched = .allocate(capacity: 1)
        touched.initialize(to: PointerList())
        shown = .allocate(capacity: 1)
        shown.initialize(to: PointerList())
        changed = .allocate(capacity: 1)
        changed.initialize(to: PointerList())
        dirty = .allocate(capacity: 1)
        dirty.initialize(to: PointerList())
        dialed = .allocate(capacity: 1)
        dialed.initialize(to: PointerList())
        streams = .allocate(capacity: 1)
        streams.initialize(to: TCPTable())
        arena.pointee.streams = streams
        readyEvents = .allocate(capacity: MediaLimits.readyEvents)
        readyEvents.initialize(repeating: epoll_event())
        headerScratch = .allocate(byteCount: 128 + DependencyDescriptor.bytesMax, alignment: 16)
        payloadScratch = .allocate(byteCount: MediaLimits.payloadBytesMax, alignment: 16)
        reportScratch = .allocate(byteCount: MediaLimits.datagramBytesMax, alignment: 16)
        nackScratch = .allocate(capacity: 256)
        fillerPayload = .allocate(byteCount: 1, alignment: 1)
        fillerPayload.storeByte(1, at: 0)
        paddingPayload = .allocate(byteCount: MediaLimits.paddingBytesMax, alignment: 1)
        paddingPayload.initializeMemory(as: UInt8.self, repeating: 0, count: MediaLimits.paddingBytesMax)
        paddingPayload.storeByte(UInt8(MediaLimits.paddingBytesMax), at: MediaLimits.paddingBytesMax - 1)
        guard epoll >= 0, commandEpoll >= 0 else { throw .system(call: "epoll_create1", errno: errno) }
        try watch(socket.descriptor, EPOLLIN.rawValue, in: epoll)
        // Each signal is one event, so nobody need read what it counts.
        for each in [epoll, commandEpoll] { try watch(mailbox.wake.descriptor, EPOLLIN.rawValue | EPOLLET.rawValue, in: each) }
        try watchListener()
    }

    deinit {
        close(epoll)
        close(commandEpoll)
        arena.deinitialize(count: 1)
        arena.deallocate()
        counters.deallocate()
        wheel.deinitialize(count: 1)
        wheel.deallocate()
        addresses.deinitialize(count: 1)
        addresses.deallocate()
        ownAddresses.deinitialize(count: 1)
        ownAddresses.deallocate()
        output.deinitialize(count: 1)
        output.deallocate()
        touched.deinitialize(count: 1)
        touched.deallocate()
        shown.deinitialize(count: 1)
        shown.deallocate()
        changed.deinitialize(count: 1)
        changed.deallocate()
        dirty.deinitialize(count: 1)
        dirty.deallocate()
        dialed.deinitialize(count: 1)
        dialed.deallocate()
        closedConnections += streams.pointee.all
        freeConnections()
        streams.deinitialize(count: 1)
        streams.deallocate()
        readyEvents.deallocate()
        headerScratch.deallocate()
        payloadScratch.deallocate()
        reportScratch.deallocate()
        nackScratch.deallocate()
        fillerPayload.deallocate()
        paddingPayload.deallocate()
    }

    private func watch(_ descriptor: Int32, _ events: UInt32, in epoll: Int32) throws(MediaPlaneError) {
        var event = epoll_event()
        event.events = events
        // Null tells the loop's own descriptors from the others, see ``ReadyTag``.
        event.data.ptr = nil
        if epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0 { throw .system(call: "epoll_ctl", errno: errno) }
    }

    // MARK: The loop

    /// Runs until a shutdown command came and everybody was told goodbye.
    func run() {
        let times = ThreadTimes()
        while !isStopping {
            var before = tributary_monotonic_ns()
            publishIfDue(before)
            let gatherMs = lull.gatherMs(before)
            if gatherMs > 0 {
                letGather(gatherMs, before)
                before = tributary_monotonic_ns()
            }
            // One event is enough for the loop's own descriptors: each wake looks at both, and epoll is level-triggered.
            let wanted = hasOtherSockets ? MediaLimits.readyEvents : 1
            let ready = epoll_wait(epoll, readyEvents.baseAddress, Int32(wanted), waitMs(before))
            let woke = tributary_monotonic_ns()
            let read = counters.pointee.received
            iterate(woke, ready: Int(max(0, ready)))
            let ended = tributary_monotonic_ns()
            lull.note(datagrams: Int(counters.pointee.received &- read), workedNs: ended &- woke, now: ended)
            noteWork(from: woke, to: ended, times)
        }
        finish()
    }

    /// Sleeps until that time is over, a command comes or something is due.
    private func letGather(_ milliseconds: Int32, _ now: UInt64) {
        if epoll_wait(commandEpoll, readyEvents.baseAddress, 1, min(milliseconds, waitMs(now))) != 0 { lull.activeNs = now }
    }

    /// Whether epoll may name anything besides the loop's own descriptors.
    private var hasOtherSockets: Bool { dialed.pointee.count > 0 || listener != nil }

    private func noteWork(from woke: UInt64, to now: UInt64, _ times: ThreadTimes) {
        let busyNs = now &- woke
        counters.pointee.busyNs &+= busyNs
        if let share = load.add(busyNs: busyNs, endingAt: now, times: { times.read() }) {
            directory.gauges[index].set(permille: share)
        }
    }

    private func waitMs(_ now: UInt64) -> Int32 {
        var deadline = min(wheel.pointee.nextDeadlineNs, nextPublishNs)
        for position in 0..<dirty.pointee.count { deadline = min(deadline, dirty.pointee[position].pointee.flushAtNs) }
        guard deadline > now else { return 0 }
        return Int32(clamping: (deadline - now + 999_999) / 1_000_000)
    }

    /// One wake: datagrams, commands, timers, then everything goes out.
    ///
    /// - Parameter ready: how many events epoll has just written.
    func iterate(_ woke: UInt64, ready: Int = 0) {
        var now = woke
        // Commands first: what they set up may already be meant by datagrams that wait in the socket.
        for command in mailbox.takeAll() {
            lull.activeNs = now
            handle(command, now)
        }
        sendRecords()
        // A flood of datagrams must not keep commands and timers waiting for ever.
        for _ in 0..<16 {
            let count = batch.receive(socket.descriptor)
            receive(batch, count: count, now: now)
            drainInlets(now)
            afterBatch(now)
            if count < MediaLimits.receiveBatch { break }
            now = tributary_monotonic_ns()
        }
        if ready > 0, hasOtherSockets {
            receiveOthers(UnsafeMutableBufferPointer(rebasing: readyEvents[0..<ready]), now)
        }
        fireTimers(now)
        afterBatch(now)
        sendEverything(now)
        freeEnded()
        freeConnections()
    }

    private func sendEverything(_ now: UInt64) {
        arena.pointee.flush()
        flushDialed()
        flushConnections(now)
    }

    private func fireTimers(_ now: UInt64) {
        while let node = wheel.pointee.takeDue(now: now) {
            switch node.pointee.owner {
            case .session(let session): sessionTimer(session, now)
            case .fanout(let fanout): fanoutTimer(fanout, now)
            }
        }
    }

    /// Feedback and forwarding for everything the batch touched.
    func afterBatch(_ now: UInt64) {
        for position in 0..<touched.pointee.count {
            let session = touched.pointee[position]
            session.pointee.isTouched = false
            if !session.pointee.isEnded { afterMedia(session, now) }
        }
        touched.pointee.removeAll()
        flushDirty(now, force: false)
    }

    // MARK: Transport output

    /// Moves what a session's transport wants sent into its arena.
    @inline(__always)
    func takeOutput(_ session: UnsafeMutablePointer<PeerSession>) {
        guard !output.pointee.isEmpty else { return }
        let arena = session.pointee.arena
        for position in 0..<output.pointee.count {
            let bytes = output.pointee.bytes(at: position)
            guard let base = bytes.baseAddress else { continue }
            arena.pointee.place().copyMemory(from: base, byteCount: bytes.count)
            arena.pointee.commit(bytes.count, to: output.pointee.address(at: position), owner: 0)
        }
        output.pointee.removeAll()
    }

    // MARK: Publication and end

    private func publishIfDue(_ now: UInt64) {
        guard now >= nextPublishNs else { return }
        nextPublishNs = now &+ 1_000_000_000
        sweepConnections(now)
        status.publish(loopSnapshot(now)) { publishSessions(&$0, now) }
    }

    private func loopSnapshot(_ now: UInt64) -> LoopSnapshot {
        var drops = counters.pointee.drops
        let totals = sendTotals
        if totals.bufferFull > 0 { drops.append(("\(MediaDrop.sendBufferFull)", totals.bufferFull)) }
        if totals.streamFull > 0 { drops.append(("\(MediaDrop.tcpQueueFull)", totals.streamFull)) }
        if totals.failed > 0 { drops.append(("\(MediaDrop.sendFailed)", totals.failed)) }
        return LoopSnapshot(
            loop: index, busyNs: counters.pointee.busyNs, upNs: now &- startedNs, received: counters.pointee.received,
            sent: totals.sent, messages: totals.messages, receivedBytes: counters.pointee.receivedBytes,
            sentBytes: totals.bytes, usesSegmentation: arena.pointee.usesSegmentation, drops: drops)
    }

    func stop() { isStopping = true }

    private func finish() {
        let now = tributary_monotonic_ns()
        for session in sessions.values { end(session, reason: .removed, now) }
        sendEverything(now)
        freeEnded()
        for command in mailbox.close() { refuse(command) }
        for fanout in fanouts.values { free(fanout) }
        fanouts = [:]
        status.publish(loopSnapshot(now)) { $0 = [] }
    }
}
