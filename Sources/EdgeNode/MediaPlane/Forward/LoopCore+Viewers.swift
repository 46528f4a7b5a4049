/// Viewers joining, waiting, asking and leaving.
extension LoopCore {
    /// A keyframe this fresh serves a joiner at once, without asking for another.
    static let freshKeyframeNs: UInt64 = 300_000_000
    /// A joiner that waited this long is served from the ring: the publisher doesn't seem to listen.
    static let keyframePatienceNs: UInt64 = 500_000_000
    /// The longest group of pictures that is sent to a joiner.
    static let cachedPacketsMax: UInt64 = 1500
    static let fanoutTickNs: UInt64 = 50_000_000

    /// The viewer's transport is up: audio from now on, video from a keyframe on.
    func attachViewer(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        let fanout = session.pointee.fanout
        fanout.pointee.viewers.append(session)
        matchTracks(session, fanout, restarted: .max, now)
    }

    func detachViewer(_ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>) {
        guard let viewer = session.pointee.viewer else { return }
        fanout.pointee.viewers.remove(session)
        for track in 0..<viewer.pointee.trackCount { settle(viewer.pointee.tracks + track, fanout) }
    }

    /// The track no longer waits, if it did.
    private func settle(_ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ fanout: UnsafeMutablePointer<Fanout>) {
        switch outgoing.pointee.state {
        case .waiting, .catchingUp: fanout.pointee.unsettled -= 1
        case .live, .unmatched, .paused: break
        }
        outgoing.pointee.map.end()
        outgoing.pointee.state = .unmatched
    }

    /// Ties the viewer's tracks to the stream's, by kind and order, and starts those whose source begins anew.
    func matchTracks(
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, restarted: UInt64, _ now: UInt64
    ) {
        guard let viewer = session.pointee.viewer else { return }
        var begins: UInt64 = 0
        for source in 0..<MediaLimits.tracksPerStream where restarted & (1 << UInt64(source)) != 0 {
            let track = fanout.pointee.trackOfSource[source]
            if track >= 0 { begins |= 1 << UInt64(track) }
        }
        var taken: UInt64 = 0
        for track in 0..<fanout.pointee.trackCount {
            viewer.pointee.trackOfFanout[track] = -1
            for place in 0..<viewer.pointee.trackCount where taken & (1 << UInt64(place)) == 0 {
                guard viewer.pointee.tracks[place].kind == fanout.pointee.tracks[track].kind else { continue }
                taken |= 1 << UInt64(place)
                viewer.pointee.trackOfFanout[track] = Int8(place)
                if begins & (1 << UInt64(track)) != 0 {
                    begin(viewer.pointee.tracks + place, fanout.pointee.tracks + track, session, fanout, now)
                }
                break
            }
        }
        // After a switch lips are out of step until the new timestamps are reported.
        if viewer.pointee.nextReportNs != .max { scheduleFirstReport(session, now) }
    }

    private func begin(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ track: UnsafeMutablePointer<FanoutTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        settle(outgoing, fanout)
        guard outgoing.pointee.codec == track.pointee.codec else { return }
        if track.pointee.kind == .audio {
            if outgoing.pointee.begin(at: track.pointee.ring.highest + 1) { outgoing.pointee.state = .live }
            return
        }
        fanout.pointee.unsettled += 1
        outgoing.pointee.state = .waiting
        outgoing.pointee.waitingSinceNs = now
        let isFresh = now &- track.pointee.keyframeArrivalNs < Self.freshKeyframeNs
        if isFresh || fanout.pointee.ignoresRequests,
            let keyframe = track.pointee.cachedKeyframe(packetsMax: Self.cachedPacketsMax)
        {
            start(outgoing, at: keyframe, track, session, fanout, now)
        }
        if case .waiting = outgoing.pointee.state {
            wantKeyframes(fanout, now)
            wheel.pointee.hasten(fanout.pointee.timer, to: now &+ Self.fanoutTickNs)
        }
    }

    /// The way to a viewer is full: sound goes on as it fits, video stops where it is.
    func pauseVideo(_ session: UnsafeMutablePointer<PeerSession>) {
        forEachVideo(session) { outgoing, _ in
            switch outgoing.pointee.state {
            case .live, .catchingUp, .waiting:
                settle(outgoing, session.pointee.fanout)
                outgoing.pointee.state = .paused
            case .paused, .unmatched: break
            }
        }
    }

    /// There is room again: video begins with a keyframe, its numbers without a gap.
    func resumeVideo(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        forEachVideo(session) { outgoing, track in
            if case .paused = outgoing.pointee.state { begin(outgoing, track, session, session.pointee.fanout, now) }
        }
    }

    private func forEachVideo(
        _ session: UnsafeMutablePointer<PeerSession>,
        _ body: (UnsafeMutablePointer<OutgoingTrack>, UnsafeMutablePointer<FanoutTrack>) -> Void
    ) {
        guard let viewer = session.pointee.viewer, !session.pointee.isEnded else { return }
        let fanout = session.pointee.fanout
        for track in 0..<fanout.pointee.trackCount where fanout.pointee.tracks[track].kind == .video {
            let place = Int(viewer.pointee.trackOfFanout[track])
            if place >= 0 { body(viewer.pointee.tracks + place, fanout.pointee.tracks + track) }
        }
    }

    /// Goes on with viewers that are being sent a cached group of pictures, and helps those that wait too long.
    func fanoutTimer(_ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64) {
        if fanout.pointee.hasWish { wantKeyframes(fanout, now) }
        guard fanout.pointee.unsettled > 0 else { return }
        var isWaiting = false
        for position in 0..<fanout.pointee.viewers.count {
            let session = fanout.pointee.viewers[position]
            guard let viewer = session.pointee.viewer else { continue }
            for track in 0..<fanout.pointee.trackCount {
                let place = Int(viewer.pointee.trackOfFanout[track])
                guard place >= 0 else { continue }
                let outgoing = viewer.pointee.tracks + place
                switch outgoing.pointee.state {
                case .catchingUp: catchUp(fanout.pointee.tracks + track, outgoing, session, fanout, now)
                case .waiting:
                    isWaiting = true
                    helpWaiting(outgoing, fanout.pointee.tracks + track, session, fanout, now)
                case .live, .unmatched, .paused: break
                }
            }
        }
        // Without a source nothing can come; the next one's beginning starts the timer again.
        guard isWaiting, fanout.pointee.unsettled > 0, fanout.pointee.hasSource else { return }
        wantKeyframes(fanout, now)
        wheel.pointee.hasten(fanout.pointee.timer, to: now &+ Self.fanoutTickNs)
    }

    private func helpWaiting(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ track: UnsafeMutablePointer<FanoutTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        guard now &- outgoing.pointee.waitingSinceNs >= Self.keyframePatienceNs, fanout.pointee.hasSource,
            let keyframe = track.pointee.cachedKeyframe(packetsMax: Self.cachedPacketsMax)
        else { return }
        fanout.pointee.ignoresRequests = true
        start(outgoing, at: keyframe, track, session, fanout, now)
    }

    /// Passes a wish for keyframes on to the publisher, on this loop or another; requests are joined there.
    func wantKeyframes(_ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64) {
        if let session = fanout.pointee.publisher, let publisher = session.pointee.publisher {
            for track in 0..<publisher.pointee.trackCount where publisher.pointee.tracks[track].spec.kind == .video {
                publisher.pointee.tracks[track].keyframes.want()
            }
            if session.pointee.isConnected { reschedule(session, now) }
            return
        }
        guard fanout.pointee.inlet != nil else { return }
        let next = fanout.pointee.upstreamWishNs &+ KeyframeRequester.intervalNs / 2
        guard now >= next else {
            fanout.pointee.hasWish = true
            wheel.pointee.hasten(fanout.pointee.timer, to: next)
            return
        }
        fanout.pointee.hasWish = false
        fanout.pointee.upstreamWishNs = now
        directory.requestKeyframe(fanout.pointee.key)
    }

    // MARK: Reports of a viewer

    func viewerReport(_ block: ReportBlock, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        for track in 0..<viewer.pointee.trackCount where viewer.pointee.tracks[track].ssrc == block.ssrc {
            viewer.pointee.tracks[track].lost = UInt64(max(0, block.cumulativeLost))
            viewer.pointee.noteBlock(block, now: now)
        }
    }

    /// Resends what a viewer misses and the ring still has, byte for byte as it was.
    func viewerNack(_ first: UInt16, _ mask: UInt16, ssrc: UInt32, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        let fanout = session.pointee.fanout
        for track in 0..<fanout.pointee.trackCount {
            let place = Int(viewer.pointee.trackOfFanout[track])
            guard place >= 0, viewer.pointee.tracks[place].ssrc == ssrc else { continue }
            resend(first, fanout.pointee.tracks + track, viewer.pointee.tracks + place, session, now)
            for bit in 0..<UInt16(16) where mask & (1 << bit) != 0 {
                resend(first &+ bit &+ 1, fanout.pointee.tracks + track, viewer.pointee.tracks + place, session, now)
            }
        }
    }

    private func resend(
        _ number: UInt16, _ track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        session.pointee.counters.nacks &+= 1
        guard let sequence = outgoing.pointee.map.extend(number), let index = outgoing.pointee.map.index(of: sequence),
            let slot = track.pointee.ring.slot(at: index)
        else {
            counters.pointee.count(.resendUnavailable)
            return
        }
        let rtt = session.pointee.viewer?.pointee.rttNs ?? 0
        guard outgoing.pointee.resends.take(sequence, bytes: Int(slot.pointee.payloadCount), now: now, rttNs: rtt) else {
            counters.pointee.count(.resendLimited)
            return
        }
        let bytes = transmit(slot, sequence: sequence, track, outgoing, session)
        session.pointee.counters.resent &+= 1
        session.pointee.counters.bytes &+= UInt64(bytes)
    }

    func viewerWantsKeyframe(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        session.pointee.counters.keyframeRequests &+= 1
        wantKeyframes(session.pointee.fanout, now)
    }

    // MARK: Reports to a viewer

    /// Lips are only in step once both tracks were reported, so the first report follows the first packet closely.
    func scheduleFirstReport(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        viewer.pointee.nextReportNs = min(viewer.pointee.nextReportNs, now &+ 100_000_000)
        wheel.pointee.hasten(session.pointee.timer, to: viewer.pointee.nextReportNs)
    }

    func sendReportsIfDue(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer, now >= viewer.pointee.nextReportNs else { return }
        viewer.pointee.nextReportNs = now &+ 1_000_000_000
        var writer = RTCPWriter(reportScratch)
        writeReports(session, now, to: &writer)
        sendReports(writer, session)
    }

    /// A sender report and SDES for each track that was sent: the timestamp of the last packet, and its time on our clock.
    ///
    /// Taken from the last packet and not from now, so a report never claims what wasn't sent yet.
    func writeReports(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64, to writer: inout RTCPWriter) {
        guard let viewer = session.pointee.viewer else { return }
        let fanout = session.pointee.fanout
        for track in 0..<fanout.pointee.trackCount {
            let place = Int(viewer.pointee.trackOfFanout[track])
            guard place >= 0 else { continue }
            let outgoing = viewer.pointee.tracks + place
            guard outgoing.pointee.packets > 0, fanout.pointee.tracks[track].clock.isUsable else { continue }
            fanout.pointee.tracks[track].isAnnounced = true
            let timestamp = outgoing.pointee.lastTimestamp
            let wall = fanout.pointee.tracks[track].clock.wall(
                of: timestamp, clockRate: fanout.pointee.tracks[track].clockRate)
            let ntp = NTP.fixed(ns: wall)
            writer.senderReport(
                SenderReport(
                    ssrc: outgoing.pointee.ssrc, ntp: ntp, timestamp: outgoing.pointee.outgoing(timestamp),
                    packets: UInt32(truncatingIfNeeded: outgoing.pointee.packets),
                    octets: UInt32(truncatingIfNeeded: outgoing.pointee.octets)))
            outgoing.pointee.cname.withBytes { writer.sourceDescription(ssrc: outgoing.pointee.ssrc, cname: $0) }
            viewer.pointee.noteReport(ntp: ntp, now: now)
        }
    }
}
