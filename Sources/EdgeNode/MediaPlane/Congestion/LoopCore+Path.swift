/// What viewers tell of their paths, and what follows from it: the layer, the pace, probes, and a stop where nothing helps.
extension LoopCore {
    /// Of an estimate this much is given to the payloads that layers are counted by; the rest is headers and tags of all protocols.
    private static let payloadShare: (of: UInt64, parts: UInt64) = (95, 100)
    /// Padding of one tick: 64 packets each 10 ms are 16 Mb/s.
    private static let paddingPacketsMax = 64

    // MARK: In

    /// Takes transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    func viewerArrivals(
        _ feedback: FeedbackHeader, _ bytes: Span<UInt8>, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        guard let viewer = session.pointee.viewer, let estimator = viewer.pointee.path?.pointee.estimator else { return }
        guard estimator.pointee.receive(feedback, in: bytes, rttNs: viewer.pointee.rttNs, now: now) else {
            counters.pointee.count(.rtcpMalformed)
            return
        }
        followPath(session, now)
    }

    /// Takes the viewer's own estimate (REMB).
    func viewerEstimate(
        _ feedback: FeedbackHeader, _ bytes: Span<UInt8>, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        guard let viewer = session.pointee.viewer, viewer.pointee.path?.pointee.estimator == nil else { return }
        guard let bits = feedback.estimatedBitrate(in: bytes) else {
            counters.pointee.count(.rtcpMalformed)
            return
        }
        viewer.pointee.reported.note(estimate: bits, now: now)
        followPath(session, now)
    }

    /// Takes what a receiver report says of a track's losses.
    func viewerLoss(
        _ block: ReportBlock, of outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>,
        _ now: UInt64
    ) {
        guard let viewer = session.pointee.viewer, outgoing.pointee.kind == .video else { return }
        guard let lost = viewer.pointee.losses.take(block, now: now) else { return }
        if viewer.pointee.breaker.note(fractionLost: lost, now: now) { stopVideo(session, now) }
        guard viewer.pointee.path?.pointee.estimator == nil else { return }
        viewer.pointee.reported.note(fractionLost: lost, sentBytes: session.pointee.counters.bytes, now: now)
        followPath(session, now)
    }

    /// Chooses layers by what is known now, when that has changed by more than noise.
    private func followPath(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        if let path = viewer.pointee.path, let estimator = path.pointee.estimator {
            estimator.pointee.want(wishes(session))
            guard !estimator.pointee.isStarting(now) else { return reschedule(session, now) }
        }
        let bits = viewer.pointee.estimate(now: now)
        let told = viewer.pointee.toldBits
        let difference = bits > told ? bits - told : told - bits
        if difference > told / 32 {
            viewer.pointee.toldBits = bits
            let (share, parts) = Self.payloadShare
            limitLayers(session, to: bits == .max ? .max : bits / parts * share, now)
        }
        reschedule(session, now)
    }

    // MARK: Probes

    /// The bit rate that would make the next better layer possible; 0 while there is none, or none may be tried.
    private func wishes(_ session: UnsafeMutablePointer<PeerSession>) -> UInt64 {
        guard let viewer = session.pointee.viewer, let path = viewer.pointee.path, let estimator = path.pointee.estimator,
            viewer.pointee.follower.wish == .automatic, path.pointee.isBetweenPictures, path.pointee.lagEndsNs == 0
        else { return 0 }
        for place in 0..<viewer.pointee.trackCount {
            let outgoing = viewer.pointee.tracks + place
            let fanout = session.pointee.fanout
            guard case .live = outgoing.pointee.state else { continue }
            let known = estimator.pointee.bitsPerSecond
            if outgoing.pointee.isLayered {
                let wish = nextUseful(fanout.pointee.layers, current: outgoing.pointee.layer, above: known)
                if wish > 0 { return wish }
            } else if outgoing.pointee.cell != LayerGrid.whole,
                let scalable = fanout.pointee.tracks[outgoing.pointee.layer].scalable
            {
                let wish = nextUseful(scalable.pointee.board, current: Int(outgoing.pointee.cell), above: known)
                if wish > 0 { return wish }
            }
        }
        return 0
    }

    /// What has to be known of a path for the lowest layer that so much doesn't allow yet; 0 without one.
    private func nextUseful(_ board: LayerBoard, current: Int, above known: UInt64) -> UInt64 {
        for rank in 0..<board.count where board[rank].isActive && Int(board[rank].track) != current {
            let useful = useful(board[rank].meter.bitsPerSecond, beside: board.otherBitsPerSecond)
            if useful > known { return useful }
        }
        return 0
    }

    /// What has to be known of a path for an automatic choice to take a layer.
    private func useful(_ video: UInt64, beside others: UInt64) -> UInt64 {
        let (share, parts) = Self.payloadShare
        return (LayerFollower.roomToClimb(to: video) + others) * parts / share
    }

    /// What time brings for a viewer's path: padding of a probe, and the end of a stop.
    func lookAfterPath(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        if viewer.pointee.breaker.takeResume(now: now) {
            matchTracks(session, session.pointee.fanout, restarted: session.pointee.fanout.pointee.videoSources, now)
        }
        guard let estimator = viewer.pointee.path?.pointee.estimator, now >= estimator.pointee.deadlineNs else { return }
        estimator.pointee.want(wishes(session))
        let bytes = estimator.pointee.handleTimeout(now: now)
        if bytes > 0 { sendPadding(bytes, session, now) }
        followPath(session, now)
    }

    /// Sends padding on the retransmissions' source, where it takes no number of the media.
    private func sendPadding(_ bytes: Int, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer, let address = session.pointee.withTransport({ $0.selectedAddress }) else {
            return
        }
        for place in 0..<viewer.pointee.trackCount {
            let outgoing = viewer.pointee.tracks + place
            guard outgoing.pointee.kind == .video, outgoing.pointee.repair != nil, let path = outgoing.pointee.path else {
                continue
            }
            var left = bytes
            var packets = 0
            while left > 0, packets < Self.paddingPacketsMax {
                let sent = padOnce(outgoing, path, to: address, session, now)
                guard sent > 0 else { return }
                left -= sent + MediaLimits.networkHeaderBytes
                packets += 1
            }
            return
        }
    }

    private func padOnce(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ path: UnsafeMutablePointer<ViewerPath>, to address: SocketAddress,
        _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) -> Int {
        let mark = mark(outgoing, now)
        guard let (headerCount, sequence) = outgoing.pointee.writePaddingHeader(mark: mark, to: headerScratch) else { return 0 }
        let arena = session.pointee.arena
        let place = arena.pointee.place()
        let padding = UnsafeRawBufferPointer(start: paddingPayload, count: MediaLimits.paddingBytesMax)
        let count = seal(headerCount, padding, sequence: sequence, into: place, to: address, session)
        guard count > 0 else { return 0 }
        _ = path.pointee.estimator?.pointee.sent(bytes: count + MediaLimits.networkHeaderBytes, now: now)
        session.pointee.counters.padding &+= UInt64(count)
        return count
    }

    /// What the next packet of a track says of its sending.
    @inline(__always)
    func mark(_ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ now: UInt64) -> SendingMark {
        guard let path = outgoing.pointee.path else { return .none }
        if let estimator = path.pointee.estimator {
            return SendingMark(transportSequence: estimator.pointee.nextNumber)
        }
        // The middle of a 32.32 time: 6 bits of seconds and 18 behind the point.
        let time = UInt32(truncatingIfNeeded: NTP.fixed(ns: wallOffsetNs &+ now) >> 14) & 0xFF_FFFF
        return SendingMark(absoluteTime: time)
    }

    /// Notes that a packet with its mark went out.
    @inline(__always)
    func countMarked(
        _ slot: UnsafePointer<PacketSlot>, _ bytes: Int, _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ now: UInt64
    ) {
        outgoing.pointee.path?.pointee.countSent(
            bytes: bytes, isVideo: outgoing.pointee.kind == .video, endsPicture: slot.pointee.flags.contains(.marker), now: now)
    }

    /// Whether a track's number is used for the first time: under a mark a second use would be other bytes with the same AES-GCM nonce,
    /// which gives the key away (RFC 7714 §8.1).
    func isNew(
        _ sequence: UInt64, _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ path: UnsafeMutablePointer<ViewerPath>,
        _ session: UnsafeMutablePointer<PeerSession>
    ) -> Bool {
        guard let viewer = session.pointee.viewer, path.pointee.isFirst(sequence, track: outgoing - viewer.pointee.tracks)
        else {
            counters.pointee.count(.duplicate)
            return false
        }
        return true
    }

    // MARK: The breaker

    /// Stops a viewer's video; sound goes on. It begins again at a keyframe when the time is over.
    private func stopVideo(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        for place in 0..<viewer.pointee.trackCount where viewer.pointee.tracks[place].kind == .video {
            settle(viewer.pointee.tracks + place, session.pointee.fanout)
        }
        counters.pointee.count(.viewerStopped)
        reschedule(session, now)
    }
}
