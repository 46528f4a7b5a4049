/// Viewers joining, waiting, asking and leaving.
extension LoopCore {
    /// A keyframe this young serves a joiner at once, without asking for another: requests are half a second apart, so that another would
    /// often come later than this one is caught up with.
    static let youngKeyframeNs: UInt64 = 1_000_000_000
    /// The same for what a loop is given whose first viewer has yet to connect: it should still be young when he has.
    static let earlyKeyframeNs: UInt64 = 500_000_000
    /// The same for one who was sent video before: his way may be full, and what has to be caught up with would fill it again.
    static let freshKeyframeNs: UInt64 = 300_000_000
    /// A joiner that waited this long is served from the ring: the publisher doesn't seem to listen.
    static let keyframePatienceNs: UInt64 = 500_000_000
    /// The longest group of pictures that is sent to a joiner.
    static let cachedPacketsMax = UInt64(MediaLimits.videoRingSlotsMax - FanoutTrack.catchUpRoom)
    /// A joiner that waited this long without a keyframe in sight is sent what comes: the encoder may refresh pictures bit by bit.
    static let refreshPatienceNs: UInt64 = 2_000_000_000
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

    /// Nothing is sent or waited for any more.
    func settle(_ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ fanout: UnsafeMutablePointer<Fanout>) {
        switch outgoing.pointee.state {
        case .waiting, .catchingUp: fanout.pointee.unsettled -= 1
        case .live, .unmatched, .paused: break
        }
        outgoing.pointee.map.end()
        outgoing.pointee.state = .unmatched
        outgoing.pointee.layer = -1
        outgoing.pointee.target = -1
        outgoing.pointee.isLayered = false
    }

    /// Ties the viewer's tracks to the stream's, by kind and order, and starts those whose source begins anew.
    func matchTracks(
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, restarted: UInt64, _ now: UInt64
    ) {
        guard let viewer = session.pointee.viewer else { return }
        let begins = fanout.pointee.tracks(ofSources: restarted)
        let fed = fanout.pointee.tracks(ofSources: .max)
        var taken: UInt64 = 0
        var ofLayers: Int8 = -1
        for track in 0..<fanout.pointee.trackCount {
            viewer.pointee.trackOfFanout[track] = -1
            guard fed & (1 << UInt64(track)) != 0 else { continue }
            let isLayer = fanout.pointee.layers.isLayer(track)
            if isLayer, ofLayers >= 0 {
                viewer.pointee.trackOfFanout[track] = ofLayers
                continue
            }
            for place in 0..<viewer.pointee.trackCount where taken & (1 << UInt64(place)) == 0 {
                guard viewer.pointee.tracks[place].kind == fanout.pointee.tracks[track].kind else { continue }
                taken |= 1 << UInt64(place)
                viewer.pointee.trackOfFanout[track] = Int8(place)
                if isLayer { ofLayers = Int8(place) }
                break
            }
        }
        beginTracks(begins, viewer, session, fanout, now)
    }

    /// Starts those of a viewer's tracks that follow one of these, and ends those that have nothing to follow any more.
    private func beginTracks(
        _ begins: UInt64, _ viewer: UnsafeMutablePointer<ViewerSide>, _ session: UnsafeMutablePointer<PeerSession>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        var begun: UInt64 = 0
        for track in 0..<fanout.pointee.trackCount {
            let place = Int(viewer.pointee.trackOfFanout[track])
            guard place >= 0, begins & (1 << UInt64(track)) != 0, begun & (1 << UInt64(place)) == 0 else { continue }
            let outgoing = viewer.pointee.tracks + place
            // A layer that nobody follows here begins anew without any ado.
            let layer = outgoing.pointee.layer
            if layer >= 0, layer != track, fanout.pointee.layers.isLayer(layer), begins & (1 << UInt64(layer)) == 0 { continue }
            begun |= 1 << UInt64(place)
            begin(outgoing, fanout.pointee.tracks + track, session, fanout, now)
        }
        for place in 0..<viewer.pointee.trackCount {
            let layer = viewer.pointee.tracks[place].layer
            if layer >= 0, Int(viewer.pointee.trackOfFanout[layer]) != place { settle(viewer.pointee.tracks + place, fanout) }
        }
    }

    private func begin(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ track: UnsafeMutablePointer<FanoutTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        settle(outgoing, fanout)
        guard outgoing.pointee.formats.adopt(track.pointee.codec) else { return }
        let index = track - fanout.pointee.tracks
        if track.pointee.kind == .audio {
            guard beginStretch(outgoing, at: track.pointee.ring.highest + 1, of: index, fanout) else { return }
            outgoing.pointee.state = .live
            return
        }
        beginVideo(outgoing, on: index, session, fanout, now)
    }

    /// Formats that the viewer's tracks are to be sent in. What a track is sent in another one of the same codec begins anew in it; else it
    /// is for the next source.
    func chooseFormats(_ choices: [FormatChoice], _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        let fanout = session.pointee.fanout
        for place in 0..<viewer.pointee.trackCount {
            let outgoing = viewer.pointee.tracks + place
            guard let choice = choices.first(where: { $0.ssrc == outgoing.pointee.ssrc }),
                outgoing.pointee.formats.choose(payloadType: choice.payloadType),
                let index = (0..<fanout.pointee.trackCount).first(where: { viewer.pointee.trackOfFanout[$0] == place })
            else { continue }
            let layer = outgoing.pointee.layer
            let track = fanout.pointee.tracks + (layer >= 0 ? layer : index)
            guard outgoing.pointee.formats.isWanted(track.pointee.codec) else { continue }
            switch outgoing.pointee.state {
            case .live, .catchingUp: begin(outgoing, track, session, fanout, now)
            case .waiting: _ = outgoing.pointee.formats.adopt(track.pointee.codec)
            case .paused, .unmatched: break
            }
        }
    }

    /// The way to a viewer, a TCP connection, is full: sound goes on as it fits, video stops where it is.
    func pauseVideo(_ session: UnsafeMutablePointer<PeerSession>, on stream: UInt16) {
        session.pointee.pausedStream = stream
        forEachVideo(session) { outgoing, _ in
            switch outgoing.pointee.state {
            case .live, .catchingUp, .waiting:
                settle(outgoing, session.pointee.fanout)
                outgoing.pointee.state = .paused
            case .paused, .unmatched: break
            }
        }
    }

    /// There is room again, or another way: video begins with a keyframe, its numbers without a gap.
    func resumeVideo(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        session.pointee.pausedStream = 0
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
        if fanout.pointee.openWishes != 0 { wantKeyframes(fanout, tracks: 0, now) }
        lookAfterLayers(fanout, now)
        guard fanout.pointee.unsettled > 0 else { return }
        var waiting: UInt64 = 0
        for position in 0..<fanout.pointee.viewers.count {
            let session = fanout.pointee.viewers[position]
            guard let viewer = session.pointee.viewer else { continue }
            for place in 0..<viewer.pointee.trackCount {
                let outgoing = viewer.pointee.tracks + place
                switch outgoing.pointee.state {
                case .catchingUp:
                    catchUp(fanout.pointee.tracks + outgoing.pointee.layer, outgoing, session, fanout, now)
                case .waiting:
                    waiting |= awaited(by: outgoing, fanout)
                    helpWaiting(outgoing, session, fanout, now)
                case .live, .unmatched, .paused: break
                }
            }
        }
        // Without a source nothing can come; the next one's beginning starts the timer again.
        guard waiting != 0, fanout.pointee.unsettled > 0, fanout.pointee.hasSource else { return }
        wantKeyframes(fanout, tracks: waiting, now)
        wheel.pointee.hasten(fanout.pointee.timer, to: now &+ Self.fanoutTickNs)
    }

    private func helpWaiting(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        let waitedNs = now &- outgoing.pointee.waitingSinceNs
        guard waitedNs >= Self.keyframePatienceNs, fanout.pointee.hasSource else { return }
        if startCached(outgoing, session, fanout, now) || goOn(outgoing, session, fanout, now) {
            return fanout.pointee.noteIgnoredRequest(now: now)
        }
        let target = outgoing.pointee.target
        guard waitedNs >= Self.refreshPatienceNs, target >= 0 else { return }
        let track = fanout.pointee.tracks + target
        guard track.pointee.mayRefresh(now: now, within: Self.refreshPatienceNs) else { return }
        if let sets = track.pointee.cachedSets(packetsMax: Self.cachedPacketsMax),
            start(outgoing, at: sets, on: target, session, fanout, now)
        {
            return
        }
        // The sets may lie behind what was sent already.
        _ = start(outgoing, at: track.pointee.ring.highest + 1, on: target, session, fanout, now)
    }

    /// Passes a wish for keyframes of these tracks of the fanout on to the publisher, on this loop or another; requests are joined there.
    func wantKeyframes(_ fanout: UnsafeMutablePointer<Fanout>, tracks: UInt64, _ now: UInt64) {
        fanout.pointee.openWishes |= fanout.pointee.sources(ofTracks: tracks)
        let wishes = fanout.pointee.openWishes
        guard wishes != 0 else { return }
        if fanout.pointee.publisher != nil {
            fanout.pointee.openWishes = 0
            askSources(wishes, fanout, now)
            return
        }
        guard fanout.pointee.inlet != nil else { return }
        let next = fanout.pointee.upstreamWishNs &+ KeyframeRequester.intervalNs / 2
        guard now >= next else {
            wheel.pointee.hasten(fanout.pointee.timer, to: next)
            return
        }
        fanout.pointee.openWishes = 0
        fanout.pointee.upstreamWishNs = now
        directory.requestKeyframe(fanout.pointee.key, sources: wishes)
    }

    /// Wishes for keyframes of some of this loop's publisher's tracks.
    func askSources(_ sources: UInt64, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64) {
        guard let session = fanout.pointee.publisher, let publisher = session.pointee.publisher else { return }
        for track in 0..<publisher.pointee.trackCount
        where sources & (1 << UInt64(track)) != 0 && publisher.pointee.tracks[track].spec.kind == .video {
            publisher.pointee.tracks[track].keyframes.want()
        }
        if session.pointee.isConnected { reschedule(session, now) }
    }

    // MARK: Reports of a viewer

    func viewerReport(_ block: ReportBlock, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        for track in 0..<viewer.pointee.trackCount where viewer.pointee.tracks[track].ssrc == block.ssrc {
            viewer.pointee.tracks[track].lost = UInt64(max(0, block.cumulativeLost))
            viewer.pointee.tracks[track].pleas.noteReport(isLossy: block.fractionLost > 0, now: now)
            viewer.pointee.noteBlock(block, now: now)
            viewerLoss(block, of: viewer.pointee.tracks + track, session, now)
        }
    }

    /// A full intra request: a new command unless its number is the last one's (RFC 5104 §4.3.1.2).
    func viewerCommandsKeyframe(
        _ ssrc: UInt32, number: UInt8, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        guard let viewer = session.pointee.viewer else { return }
        for track in 0..<viewer.pointee.trackCount where viewer.pointee.tracks[track].ssrc == ssrc {
            if viewer.pointee.tracks[track].isNewCommand(number, now: now) { viewerWantsKeyframe(of: ssrc, session, now) }
        }
    }

    /// - Parameter ssrc: the track's; one that is none of the viewer's stands for all, as some clients give none.
    func viewerWantsKeyframe(of ssrc: UInt32, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        session.pointee.counters.keyframeRequests &+= 1
        guard let viewer = session.pointee.viewer else { return }
        let fanout = session.pointee.fanout
        let isKnown = (0..<viewer.pointee.trackCount).contains { viewer.pointee.tracks[$0].ssrc == ssrc }
        var wanted: UInt64 = 0
        for place in 0..<viewer.pointee.trackCount where !isKnown || viewer.pointee.tracks[place].ssrc == ssrc {
            let outgoing = viewer.pointee.tracks + place
            if !showAgain(outgoing, session, fanout, now) { wanted |= awaited(by: outgoing, fanout) }
        }
        wantKeyframes(fanout, tracks: wanted, now)
    }

    /// Sends a viewer once more what came since the last keyframe, when it has lost something for good and its pleas for another bring none:
    /// the next one may be a minute away. New numbers, and later timestamps than those it has seen. Another node is sent nothing twice, as
    /// all of its viewers would see it; it does this for each of them by itself.
    ///
    /// - Returns: false, and nothing is sent, where a request may still help.
    private func showAgain(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) -> Bool {
        guard case .live = outgoing.pointee.state, outgoing.pointee.kind == .video, !outgoing.pointee.isLayered,
            session.pointee.viewer?.pointee.isNode == false,
            fanout.pointee.hasSource, outgoing.pointee.layer == outgoing.pointee.target
        else { return false }
        let layer = outgoing.pointee.layer
        let track = fanout.pointee.tracks + layer
        guard track.pointee.scalable == nil, now &- track.pointee.lastArrivalNs < Self.refreshPatienceNs,
            let (_, sent) = outgoing.pointee.map.newest,
            let keyframe = track.pointee.cachedKeyframe(packetsMax: Self.cachedPacketsMax), keyframe <= sent,
            outgoing.pointee.pleas.areInVain(now: now, keyframeNs: track.pointee.keyframeArrivalNs)
        else { return false }
        fanout.pointee.noteIgnoredRequest(now: now)
        outgoing.pointee.catchUpPace = CatchUpPace(packets: CatchUpPace.packetsMin)
        return start(outgoing, at: keyframe, on: layer, again: true, session, fanout, now)
    }

    // MARK: Reports to a viewer

    /// Lips are only in step once both tracks were reported as they are sent now, so a report follows the first packet of each source and
    /// layer closely.
    func scheduleFirstReport(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        viewer.pointee.nextReportNs = min(viewer.pointee.nextReportNs, now &+ 100_000_000)
        wheel.pointee.hasten(session.pointee.timer, to: viewer.pointee.nextReportNs)
    }

    /// Returns whether it was time; once a second while the viewer is sent anything.
    func sendReportsIfDue(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) -> Bool {
        guard let viewer = session.pointee.viewer, now >= viewer.pointee.nextReportNs else { return false }
        viewer.pointee.nextReportNs = now &+ 1_000_000_000
        var writer = RTCPWriter(reportScratch)
        writeReports(session, now, to: &writer)
        sendReports(writer, session)
        return true
    }

    /// A sender report and SDES for each track that was sent, and for its retransmissions, which are a source of their own (RFC 4588 §4): the
    /// timestamp of the last packet, and its time on our clock.
    ///
    /// Taken from the last packet and not from now, so a report never claims what wasn't sent yet.
    func writeReports(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64, to writer: inout RTCPWriter) {
        guard let viewer = session.pointee.viewer else { return }
        let fanout = session.pointee.fanout
        for track in 0..<fanout.pointee.trackCount {
            let place = Int(viewer.pointee.trackOfFanout[track])
            guard place >= 0 else { continue }
            let outgoing = viewer.pointee.tracks + place
            guard outgoing.pointee.layer == track, outgoing.pointee.hasBegun, fanout.pointee.tracks[track].clock.isUsable
            else { continue }
            fanout.pointee.tracks[track].isAnnounced = true
            let (timestamp, timeline) = outgoing.pointee.reported
            let wall = fanout.pointee.tracks[track].clock.wall(
                of: timeline, clockRate: fanout.pointee.tracks[track].clockRate)
            let ntp = NTP.fixed(ns: wall)
            func report(_ ssrc: UInt32, _ packets: UInt64, _ octets: UInt64) {
                writer.senderReport(
                    SenderReport(
                        ssrc: ssrc, ntp: ntp, timestamp: timestamp,
                        packets: UInt32(truncatingIfNeeded: packets), octets: UInt32(truncatingIfNeeded: octets)))
                outgoing.pointee.cname.withBytes { writer.sourceDescription(ssrc: ssrc, cname: $0) }
            }
            report(outgoing.pointee.ssrc, outgoing.pointee.packets, outgoing.pointee.octets)
            if let repair = outgoing.pointee.repair, repair.packets > 0 { report(repair.ssrc, repair.packets, repair.octets) }
            viewer.pointee.noteReport(ntp: ntp, now: now)
        }
    }
}
