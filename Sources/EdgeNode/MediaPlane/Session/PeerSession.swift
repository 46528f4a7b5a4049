/// One peer on one loop: its transport, its place in the loop's tables, and what it publishes or watches.
///
/// Lives in its own allocation, reached by pointer; the loop frees it after the iteration in which it ended.
struct PeerSession: ~Copyable {
    let handle: SessionHandle
    /// The control plane's name for it.
    let name: String
    private let transport: Unmanaged<PeerTransport>
    /// Where its datagrams go out: the loop's arena, or that of its own socket.
    let arena: UnsafeMutablePointer<SendArena>
    /// Its own socket, when we dialed; closed with the session.
    private let dialed: DialedSocket?
    /// That socket's descriptor, beside it so that a batch touches no reference count.
    let dialedDescriptor: Int32?
    /// Our SSRC in RTCP that we send as a receiver.
    let localSSRC: UInt32
    let cname: ShortText
    /// What STUN finds it by, as the loop's table keys; and the newest of them as it is.
    var ufragKeys: [Int] = []
    var localUfrag = ShortText("")
    var registeredPaths: [SocketAddress] = []
    var pathGeneration: UInt32 = 0
    /// The TCP connection whose queue was high, so that video stands (``SocketAddress/stream``); 0 for none, `UInt16.max` for one that is gone.
    var pausedStream: UInt16 = 0
    var isConnected = false
    var isEnded = false
    /// Is on the list of sessions that get feedback after this batch.
    var isTouched = false
    /// Its places among the loop's published and changed sessions; -1 while it isn't there.
    var shownPlace = -1
    var changedPlace = -1
    /// Nothing else has changed of it than when it was heard last.
    var wasOnlyHeard = true
    var publisher: UnsafeMutablePointer<PublisherSide>?
    var viewer: UnsafeMutablePointer<ViewerSide>?
    var counters = SessionCounters()
    /// The stream on this loop; outlives the session's time in the loop's tables.
    let fanout: UnsafeMutablePointer<Fanout>
    /// What was agreed of data channels, and this session's end of them once it is connected.
    let dataChannels: TransportSpec.DataChannels?
    var dataLink: DataChannelLink?
    let timer: UnsafeMutablePointer<TimerNode>
    /// What the transport waited for when the timer was set.
    var transportDeadlineNs: UInt64 = 0

    /// Makes a session where its timer can find it.
    static func make(
        _ order: SessionOrder, fanout: UnsafeMutablePointer<Fanout>, arena: UnsafeMutablePointer<SendArena>
    ) -> UnsafeMutablePointer<PeerSession> {
        let place = UnsafeMutablePointer<PeerSession>.allocate(capacity: 1)
        place.initialize(to: PeerSession(order, fanout: fanout, arena: arena, at: place))
        return place
    }

    private init(
        _ order: SessionOrder, fanout: UnsafeMutablePointer<Fanout>, arena: UnsafeMutablePointer<SendArena>,
        at place: UnsafeMutablePointer<PeerSession>
    ) {
        dialed = order.dialed
        dialedDescriptor = order.dialed?.socket.descriptor
        self.arena = order.dialed?.arena ?? arena
        handle = order.handle
        transport = .passRetained(order.transport)
        localSSRC = UInt32.random(in: 1 ... .max)
        // Unlike any other's, and the same for the session's whole life (RFC 7022 §4.2).
        cname = ShortText(String(UInt64.random(in: .min ... .max), radix: 36))
        self.fanout = fanout
        timer = .allocate(capacity: 1)
        timer.initialize(to: TimerNode(.session(place)))
        switch order.role {
        case .publisher(let spec):
            name = spec.session
            dataChannels = spec.transport.dataChannels
            let side = UnsafeMutablePointer<PublisherSide>.allocate(capacity: 1)
            side.initialize(to: PublisherSide(spec))
            publisher = side
        case .viewer(let spec):
            name = spec.session
            dataChannels = spec.transport.dataChannels
            let side = UnsafeMutablePointer<ViewerSide>.allocate(capacity: 1)
            side.initialize(to: ViewerSide(spec))
            viewer = side
        }
    }

    deinit {
        transport.release()
        timer.deallocate()
        if let publisher {
            publisher.deinitialize(count: 1)
            publisher.deallocate()
        }
        if let viewer {
            viewer.deinitialize(count: 1)
            viewer.deallocate()
        }
    }

    /// The transport, without touching its reference count.
    @inline(__always)
    func withTransport<Result>(_ body: (PeerTransport) -> Result) -> Result {
        transport._withUnsafeGuaranteedRef(body)
    }
}

/// A session on its way from the thread that set it up to the loop that will own it.
// why: the maker gives the transport up when it posts the command, so only one thread ever touches it.
struct SessionOrder: @unchecked Sendable {  // why: see the line above
    enum Role {
        case publisher(PublisherSpec)
        case viewer(ViewerSpec)
    }

    let handle: SessionHandle
    let role: Role
    let transport: PeerTransport
    let localUfrag: String
    /// The session's own socket, when we dial.
    var dialed: DialedSocket?
}

/// What a session has done so far.
struct SessionCounters {
    var packets: UInt64 = 0
    var bytes: UInt64 = 0
    var nacks: UInt64 = 0
    var resent: UInt64 = 0
    var keyframeRequests: UInt64 = 0
    /// Bytes sent to find out what the path carries.
    var padding: UInt64 = 0
}

/// The watching half of a session.
struct ViewerSide: ~Copyable {
    let tracks: UnsafeMutablePointer<OutgoingTrack>
    let trackCount: Int
    /// The viewer's track for each of the fanout's; -1 for none.
    var trackOfFanout = InlineArray<8, Int8>(repeating: -1)
    /// Which of a stream's layers it gets.
    var follower = LayerFollower()
    /// It is another node, which passes the stream on.
    let isNode: Bool
    /// Nil for a viewer whose packets don't say when they were sent.
    let path: UnsafeMutablePointer<ViewerPath>?
    /// What a viewer without transport-wide feedback tells.
    var reported = ReportedRate()
    /// Of its video.
    var losses = LossWindow()
    var breaker = LossBreaker()
    /// What layers were last chosen by, in bits per second.
    var toldBits = UInt64.max
    var nextReportNs: UInt64 = .max
    private var trip = RoundTrip()
    var rttNs: UInt64 { trip.ns }
    private var reports = InlineArray<4, SentReport>(repeating: SentReport())
    private var reportCount = 0
    private var asked = SecondCount()

    private struct SentReport {
        var middle: UInt32 = 0
        var sentNs: UInt64 = 0
    }

    /// Sequence numbers and timestamps begin anywhere (RFC 3550 §5.1).
    init(_ spec: ViewerSpec) {
        trackCount = min(spec.tracks.count, MediaLimits.tracksPerStream)
        isNode = spec.isNode
        tracks = .allocate(capacity: trackCount)
        path = Self.path(spec)
        for index in 0..<trackCount {
            (tracks + index).initialize(
                to: OutgoingTrack(
                    spec.tracks[index], initialSequence: UInt16.random(in: 0...32767),
                    timestampOffset: UInt32.random(in: .min ... .max), initialRepair: UInt16.random(in: 0...32767)))
            if let path { tracks[index].follow(path) }
        }
    }

    deinit {
        tracks.deinitialize(count: trackCount)
        tracks.deallocate()
        path?.deinitialize(count: 1)
        path?.deallocate()
    }

    /// Memory for a path only where the video's retransmissions are packets of their own: nothing that says when it was sent may be sent
    /// twice.
    private static func path(_ spec: ViewerSpec) -> UnsafeMutablePointer<ViewerPath>? {
        let video = spec.tracks.first { $0.kind == .video && $0.rtxSSRC != nil && $0.rtxPayloadType != nil }
        guard let video else { return nil }
        let reportsArrivals = video.feedback.transportCC && video.extensions.transportCC != 0
        guard reportsArrivals || (video.feedback.remb && video.extensions.absSendTime != 0) else { return nil }
        let place = UnsafeMutablePointer<ViewerPath>.allocate(capacity: 1)
        place.initialize(to: ViewerPath(reportsArrivals: reportsArrivals))
        return place
    }

    /// What the path carries, in bits per second of everything; `UInt64.max` while nobody knows.
    func estimate(now: UInt64) -> UInt64 {
        guard let estimator = path?.pointee.estimator else { return reported.bitsPerSecond(now: now) ?? .max }
        return estimator.pointee.isMeasured ? estimator.pointee.bitsPerSecond : .max
    }

    /// When reports, probes or the breaker are to be looked at again.
    var deadlineNs: UInt64 {
        let path = path?.pointee.estimator?.pointee.deadlineNs ?? .max
        return min(nextReportNs, path, breaker.isOpen ? breaker.resumeNs : .max)
    }

    /// Whether so many more lost packets may be looked up in this second; counts them.
    mutating func admitsNack(_ count: Int, now: UInt64) -> Bool { asked.add(count, now: now) <= MediaLimits.nackedPerSecond }

    /// Remembers a sender report, so that the viewer's answer tells the round trip time.
    mutating func noteReport(ntp: UInt64, now: UInt64) {
        reports[reportCount & 3] = SentReport(middle: UInt32(truncatingIfNeeded: ntp >> 16), sentNs: now)
        reportCount += 1
    }

    /// Takes the round trip from a report block (RFC 3550 §6.4.1); the times compared are both ours.
    mutating func noteBlock(_ block: ReportBlock, now: UInt64) {
        guard block.lastReport != 0 else { return }
        for index in 0..<4 where reports[index].middle == block.lastReport && reports[index].sentNs != 0 {
            let held = (UInt64(block.delaySinceLastReport) &* 1_000_000_000) >> 16
            let since = now &- reports[index].sentNs
            guard since > held, since - held < 10_000_000_000 else { return }
            trip.take(since - held)
            return
        }
    }
}
