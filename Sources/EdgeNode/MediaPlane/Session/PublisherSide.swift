/// The publishing half of a session: which SSRC is which track, and the feedback that is due.
struct PublisherSide: ~Copyable {
    private struct Source {
        var ssrc: UInt32 = 0
        var track: UInt8 = 0
        var isRepair = false
    }

    let tracks: UnsafeMutablePointer<IncomingTrack>
    let trackCount: Int
    let extensions: ExtensionIDs
    let description: [TapTrack]
    private let declaredSSRCs: [(primary: UInt32?, repair: UInt32?)]
    private var sources = InlineArray<32, Source>(repeating: Source())
    private var sourceCount = 0
    var transportFeedback = TransportFeedback()
    let sendsTransportFeedback: Bool
    let sendsEstimate: Bool
    var nextReportNs: UInt64 = .max
    var nextEstimateNs: UInt64 = .max
    var epoch: UInt32 = 0
    var announcedProfile: UInt32 = 0
    private var restartedNs: UInt64 = 0
    private var packets = SecondCount()
    private var bytes = SecondCount()
    /// Encoders restart now and then; a sender that does all the time would keep every viewer and recorder busy with it.
    static let restartIntervalNs: UInt64 = 500_000_000

    init(_ spec: PublisherSpec) {
        trackCount = min(spec.tracks.count, MediaLimits.tracksPerStream)
        tracks = .allocate(capacity: MediaLimits.tracksPerStream)
        var extensions = ExtensionIDs()
        var description: [TapTrack] = []
        for (index, track) in spec.tracks.prefix(MediaLimits.tracksPerStream).enumerated() {
            (tracks + index).initialize(to: IncomingTrack(TrackConstants(track), parameterSets: track.parameterSets))
            extensions.merge(track.extensions)
            description.append(
                TapTrack(
                    index: UInt8(index), kind: track.kind, codec: track.codec, clockRate: track.clockRate, fmtp: track.fmtp,
                    channels: track.channels, rid: track.rid))
        }
        self.extensions = extensions
        self.description = description
        declaredSSRCs = spec.tracks.map { ($0.ssrc, $0.rtxSSRC) }
        sendsTransportFeedback = extensions.transportCC != 0 && spec.tracks.contains { $0.feedback.transportCC }
        sendsEstimate = !sendsTransportFeedback && spec.tracks.contains { $0.feedback.remb }
        for (index, declared) in declaredSSRCs.prefix(trackCount).enumerated() {
            if let ssrc = declared.primary {
                add(ssrc, track: index, isRepair: false)
                tracks[index].latch(ssrc)
            }
            if let ssrc = declared.repair { add(ssrc, track: index, isRepair: true) }
        }
    }

    deinit {
        tracks.deinitialize(count: trackCount)
        tracks.deallocate()
    }

    private mutating func add(_ ssrc: UInt32, track: Int, isRepair: Bool) {
        guard sourceCount < sources.count else { return }
        sources[sourceCount] = Source(ssrc: ssrc, track: UInt8(truncatingIfNeeded: track), isRepair: isRepair)
        sourceCount += 1
    }

    /// Where a packet belongs.
    enum Place {
        case track(Int, isRepair: Bool)
        case unknown(MediaDrop)
    }

    /// Finds the track of a packet: by its SSRC, else its mid and rid, else its payload type when only one track has it
    /// (RFC 9143 §9.2, RFC 8852 §3).
    ///
    /// A mid or rid overrides what was latched before, since an encoder may reuse an SSRC for another section after a restart.
    mutating func place(_ header: RTPHeader, _ extensions: ReceivedExtensions, in bytes: Span<UInt8>) -> Place {
        for index in 0..<sourceCount where sources[index].ssrc == header.ssrc {
            let source = sources[index]
            let track = Int(source.track)
            if names(track, source.isRepair, extensions, bytes) { return checked(track, header.payloadType, source.isRepair) }
            sources[index] = sources[sourceCount - 1]
            sourceCount -= 1
            break
        }
        return latch(header, extensions, bytes)
    }

    @inline(__always)
    private func checked(_ track: Int, _ payloadType: UInt8, _ isRepair: Bool) -> Place {
        let spec = tracks[track].spec
        let isExpected =
            isRepair
            ? payloadType == spec.rtxPayloadType : payloadType == spec.payloadType || payloadType == spec.redPayloadType
        return isExpected
            ? .track(track, isRepair: isRepair) : .unknown(.payloadType)
    }

    /// Whether what the packet says of its section and layer, if anything, means this track.
    @inline(__always)
    private func names(_ track: Int, _ isRepair: Bool, _ extensions: ReceivedExtensions, _ bytes: Span<UInt8>) -> Bool {
        if extensions.midCount > 0,
            !tracks[track].spec.mid.matches(bytes, at: extensions.midOffset, count: extensions.midCount)
        {
            return false
        }
        let rid = tracks[track].spec.rid
        guard rid.count > 0 else { return true }
        // Some senders name the layer of a retransmission by the plain rid.
        if isRepair, extensions.repairedRidCount > 0 {
            return rid.matches(bytes, at: extensions.repairedRidOffset, count: extensions.repairedRidCount)
        }
        return extensions.ridCount == 0 || rid.matches(bytes, at: extensions.ridOffset, count: extensions.ridCount)
    }

    private mutating func latch(_ header: RTPHeader, _ extensions: ReceivedExtensions, _ bytes: Span<UInt8>) -> Place {
        guard header.ssrc != 0 else { return .unknown(.unknownSource) }
        var found: (track: Int, isRepair: Bool)?
        for track in 0..<trackCount {
            let spec = tracks[track].spec
            let isRepair = header.payloadType == spec.rtxPayloadType
            let isMedia = header.payloadType == spec.payloadType || header.payloadType == spec.redPayloadType
            guard isRepair || isMedia, names(track, isRepair, extensions, bytes) else { continue }
            // Two that fit: the packet doesn't say enough.
            guard found == nil else { return .unknown(.unknownSource) }
            found = (track, isRepair)
        }
        guard let found else { return .unknown(.unknownSource) }
        if sourceCount == sources.count {
            // A sender that keeps changing its SSRC: the oldest one is over.
            for index in 1..<sourceCount { sources[index - 1] = sources[index] }
            sourceCount -= 1
        }
        add(header.ssrc, track: found.track, isRepair: found.isRepair)
        return .track(found.track, isRepair: found.isRepair)
    }

    /// Counts a packet against the publisher's share of the loop; false when it is over.
    @inline(__always)
    mutating func admits(_ count: Int, now: UInt64) -> Bool {
        let (packets, bytes) = (packets.add(now: now), bytes.add(count, now: now))
        return packets <= MediaLimits.publisherPacketsPerSecond && bytes <= MediaLimits.publisherBytesPerSecond
    }

    /// Whether another source may begin now; counts as begun when it may.
    mutating func mayRestart(now: UInt64) -> Bool {
        guard restartedNs == 0 || now &- restartedNs >= Self.restartIntervalNs else { return false }
        restartedNs = now
        return true
    }

    /// The track whose media has this SSRC now.
    func track(of ssrc: UInt32) -> Int? {
        for track in 0..<trackCount where tracks[track].isLatched && tracks[track].ssrc == ssrc { return track }
        return nil
    }

    /// Whether a keyframe can be asked of the track.
    func canAsk(_ track: Int) -> Bool {
        tracks[track].isLatched && (tracks[track].spec.feedback.pli || tracks[track].spec.feedback.fir)
    }

    /// Whether requests for a keyframe were sent and none came.
    var ignoresRequests: Bool {
        for track in 0..<trackCount where tracks[track].keyframes.isIgnored { return true }
        return false
    }

    /// Whether some video can be asked for a keyframe, by what was negotiated.
    var canAskAny: Bool {
        for track in 0..<trackCount
        where tracks[track].spec.kind == .video && (tracks[track].spec.feedback.pli || tracks[track].spec.feedback.fir) {
            return true
        }
        return false
    }

    /// When feedback is to be looked at again.
    func deadlineNs(now: UInt64) -> UInt64 {
        var deadline = min(nextReportNs, nextEstimateNs)
        if sendsTransportFeedback, transportFeedback.pending > 0 {
            deadline = min(deadline, transportFeedback.lastSentNs &+ TransportFeedback.intervalNs)
        }
        for track in 0..<trackCount {
            if tracks[track].nacks.count > 0 { deadline = min(deadline, now &+ NackGenerator.holdNs) }
            if canAsk(track) { deadline = min(deadline, tracks[track].keyframes.dueNs) }
        }
        return deadline
    }
}

extension ExtensionIDs {
    /// Ids are the same in all bundled sections (RFC 9143 §15), so what one lacks comes from another.
    fileprivate mutating func merge(_ other: ExtensionIDs) {
        if mid == 0 { mid = other.mid }
        if rid == 0 { rid = other.rid }
        if repairedRid == 0 { repairedRid = other.repairedRid }
        if transportCC == 0 { transportCC = other.transportCC }
        if absSendTime == 0 { absSendTime = other.absSendTime }
        if audioLevel == 0 { audioLevel = other.audioLevel }
        if videoOrientation == 0 { videoOrientation = other.videoOrientation }
        if playoutDelay == 0 { playoutDelay = other.playoutDelay }
        if dependencyDescriptor == 0 { dependencyDescriptor = other.dependencyDescriptor }
    }
}
