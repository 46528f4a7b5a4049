/// One stream on one loop: its tracks, its viewers here, and where its packets come from and go on to.
struct Fanout: ~Copyable {
    let key: StreamKey
    /// Bumped with every source, over all loops; packets of another epoch are late ones of a replaced source.
    var epoch: UInt32 = 0
    var hasSource = false
    let tracks: UnsafeMutablePointer<FanoutTrack>
    private(set) var trackCount = 0
    /// The fanout track of each of the source's tracks; -1 for none.
    var trackOfSource = InlineArray<8, Int8>(repeating: -1)
    var viewers = PointerList<PeerSession>()
    var publisher: UnsafeMutablePointer<PeerSession>?
    /// Feeds this loop when the publisher lives on another.
    var inlet: PacketPipe?
    var outlets = OutletList()
    /// What the source's tracks are, for outlets that open later.
    var description: [TapTrack] = []
    /// Our clock less the publisher's, from its first sender report, for all its tracks; nanoseconds.
    var clockOffsetNs: Int64?

    var isDirty = false
    /// When what is pending must go out at the latest.
    var flushAtNs: UInt64 = 0
    /// Viewers' tracks that wait for a keyframe or are being sent a cached one: the timer runs while there are any.
    var unsettled = 0
    /// The publisher was asked and no keyframe came in time, or can't be asked, so joiners are served from the ring.
    private(set) var ignoresRequests = false
    private var lapses = Lapses()
    /// When another loop's publisher was last asked for a keyframe.
    var upstreamWishNs: UInt64 = 0
    /// Packets were left out, so that video has to begin again at a keyframe.
    var hasGap = false
    /// Tracks of the source whose wishes came too soon after that one and wait for the timer.
    var openWishes: UInt64 = 0
    /// The source's simulcast layers, if it has some.
    var layers = LayerBoard()
    /// The one of them that readers are given.
    var tapLayer = TapLayer()

    let timer: UnsafeMutablePointer<TimerNode>
    /// Sessions of this loop that point here, connected or not.
    var sessionCount = 0

    /// Makes a fanout where its timer can find it.
    static func make(key: StreamKey) -> UnsafeMutablePointer<Fanout> {
        let place = UnsafeMutablePointer<Fanout>.allocate(capacity: 1)
        place.initialize(to: Fanout(key: key, at: place))
        return place
    }

    private init(key: StreamKey, at place: UnsafeMutablePointer<Fanout>) {
        self.key = key
        timer = .allocate(capacity: 1)
        timer.initialize(to: TimerNode(.fanout(place)))
        tracks = .allocate(capacity: MediaLimits.tracksPerStream)
    }

    deinit {
        tracks.deinitialize(count: trackCount)
        tracks.deallocate()
        timer.deallocate()
    }

    /// The source's tracks take over the fanout's tracks of their kinds, in order; new ones are added while there is room.
    ///
    /// - Parameter restarted: bits of the source tracks that begin anew; the others go on as they were.
    mutating func begin(epoch: UInt32, description: [TapTrack], restarted: UInt64) {
        self.epoch = epoch
        self.description = description
        hasSource = true
        if restarted.nonzeroBitCount >= description.count { clockOffsetNs = nil }
        var taken: UInt64 = 0
        for source in 0..<MediaLimits.tracksPerStream {
            trackOfSource[source] = -1
            guard source < description.count else { continue }
            let wanted = description[source]
            guard let track = place(for: wanted, taken: taken) else { continue }
            taken |= 1 << UInt64(track)
            trackOfSource[source] = Int8(track)
            if restarted & (1 << UInt64(source)) != 0 {
                let place = tracks + track
                place.pointee.beginSource(codec: wanted.codec, clockRate: wanted.clockRate, rid: ShortText(wanted.rid))
            }
        }
        let begun = tracks(ofSources: restarted)
        layers.begin(tracks: tracks, count: trackCount, fed: taken, restarted: begun)
        tapLayer.begin(layers, restarted: begun)
    }

    /// A source begins that can, or can't, be asked for keyframes.
    mutating func beginRequests(canAsk: Bool) {
        lapses = Lapses()
        serveFromRing(!canAsk)
    }

    /// No keyframe came in time.
    mutating func noteIgnoredRequest(now: UInt64) {
        guard !ignoresRequests else { return }
        lapses.note(now: now)
        serveFromRing(true)
    }

    /// A keyframe came soon after a request.
    mutating func noteAnswer(now: UInt64) {
        if ignoresRequests, lapses.areRefuted(now: now) { serveFromRing(false) }
    }

    /// Whether joiners can only start from what is cached, because the source makes no keyframe when asked.
    private mutating func serveFromRing(_ isNeeded: Bool) {
        ignoresRequests = isNeeded
        for track in 0..<trackCount where tracks[track].kind == .video {
            let place = tracks + track
            place.pointee.keepsGroup = isNeeded
        }
    }

    /// The track of the same layer, else a free one, else a new one.
    private mutating func place(for wanted: TapTrack, taken: UInt64) -> Int? {
        let rid = ShortText(wanted.rid)
        var free: Int?
        for track in 0..<trackCount where tracks[track].kind == wanted.kind && taken & (1 << UInt64(track)) == 0 {
            if tracks[track].rid == rid { return track }
            free = free ?? track
        }
        if let free { return free }
        guard trackCount < MediaLimits.tracksPerStream else { return nil }
        (tracks + trackCount).initialize(
            to: FanoutTrack(kind: wanted.kind, codec: wanted.codec, clockRate: wanted.clockRate, rid: rid))
        trackCount += 1
        return trackCount - 1
    }

    /// Bits of the fanout's tracks for bits of the source's.
    func tracks(ofSources mask: UInt64) -> UInt64 {
        var found: UInt64 = 0
        for source in 0..<MediaLimits.tracksPerStream where mask & (1 << UInt64(source)) != 0 && trackOfSource[source] >= 0 {
            found |= 1 << UInt64(trackOfSource[source])
        }
        return found
    }

    /// Bits of the source's video tracks.
    var videoSources: UInt64 {
        var found: UInt64 = 0
        for (source, track) in description.enumerated().prefix(MediaLimits.tracksPerStream) where track.kind == .video {
            found |= 1 << UInt64(source)
        }
        return found
    }

    /// Bits of the source's tracks for bits of the fanout's.
    func sources(ofTracks mask: UInt64) -> UInt64 {
        var sources: UInt64 = 0
        for source in 0..<MediaLimits.tracksPerStream where trackOfSource[source] >= 0 {
            if mask & (1 << UInt64(trackOfSource[source])) != 0 { sources |= 1 << UInt64(source) }
        }
        return sources
    }

    /// The track whose source has layers itself, if there is one.
    var scalableTrack: Int? { (0..<trackCount).first { tracks[$0].offersCells } }

    /// What viewers may choose from.
    var layerSnapshots: [LayerSnapshot] {
        guard hasSource, !layers.isLayered, let track = scalableTrack, let scalable = tracks[track].scalable else {
            return hasSource ? layers.snapshots : []
        }
        return scalable.pointee.board.snapshots
    }

    /// Whether nothing needs it any more.
    var isIdle: Bool { sessionCount == 0 && inlet == nil && outlets.count == 0 }
}

/// How often a source was found to ignore requests. A keyframe of an encoder that makes one every two seconds comes soon after a request as
/// well, so what looks like an answer takes such a verdict back when it happens twice, and that twice and no more.
private struct Lapses {
    static let forgiven = 2
    static let answersNeeded = 2
    /// After this long a verdict is forgotten: on a bad path an encoder that does answer is late now and then.
    static let memoryNs: UInt64 = 600_000_000_000

    private var count = 0
    private var lastNs: UInt64 = 0
    /// Since the last one.
    private var answers = 0
    private var answeredNs: UInt64 = 0

    /// Counts an answer; whether there were enough of them. Those of several layers to one request are one.
    mutating func areRefuted(now: UInt64) -> Bool {
        if answers == 0 || now &- answeredNs > KeyframeRequester.answerMaxNs { (answers, answeredNs) = (answers + 1, now) }
        return answers >= Self.answersNeeded && (count <= Self.forgiven || now &- lastNs > Self.memoryNs)
    }

    mutating func note(now: UInt64) {
        if now &- lastNs > Self.memoryNs { count = 0 }
        (count, lastNs, answers) = (count + 1, now, 0)
    }
}

/// The pipes a publisher's packets are copied into; few, walked per packet without reference counting.
struct OutletList: ~Copyable {
    private var pipes: [PacketPipe] = []
    private var raw: [Unmanaged<PacketPipe>] = []

    var count: Int { raw.count }

    /// Whether somebody reads the stream rather than watching it on another loop.
    var hasTap: Bool { pipes.contains(where: \.isTap) }

    mutating func add(_ pipe: PacketPipe) {
        pipes.append(pipe)
        raw.append(.passUnretained(pipe))
    }

    @inline(__always)
    func forEach(_ body: (PacketPipe) -> Void) {
        for index in 0..<raw.count { raw[index]._withUnsafeGuaranteedRef { body($0) } }
    }

    /// Lets go of the pipes their readers have closed; returns whether there were any.
    mutating func dropClosed() -> Bool {
        guard pipes.contains(where: \.isClosed) else { return false }
        pipes.removeAll(where: \.isClosed)
        raw = pipes.map { .passUnretained($0) }
        return true
    }

    mutating func removeAll() {
        pipes = []
        raw = []
    }
}
