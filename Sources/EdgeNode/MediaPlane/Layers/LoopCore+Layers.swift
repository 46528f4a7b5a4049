/// Following one layer of several: a viewer's one track goes on with another layer from a keyframe of that on.
extension LoopCore {
    // MARK: Choosing

    /// What a viewer wants of the stream's layers from now on.
    func chooseLayer(_ wish: LayerFollower.Wish, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        let wasOff = viewer.pointee.follower.wish == .off
        viewer.pointee.follower.wish = wish
        let fanout = session.pointee.fanout
        guard session.pointee.isConnected, !session.pointee.isEnded else { return }
        if wasOff != (wish == .off) { matchTracks(session, fanout, restarted: fanout.pointee.videoSources, now) }
        follow(session, fanout, now)
    }

    /// What a viewer's path is thought to carry, in bits per second of all tracks together; call it when that has changed enough to matter.
    func limitLayers(_ session: UnsafeMutablePointer<PeerSession>, to bitsPerSecond: UInt64, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        viewer.pointee.follower.bitsPerSecondMax = bitsPerSecond
        if session.pointee.isConnected, !session.pointee.isEnded { follow(session, session.pointee.fanout, now) }
    }

    /// What a viewer may choose from and has chosen; nil for a publisher.
    func viewerLayers(_ session: UnsafeMutablePointer<PeerSession>) -> ViewerLayers? {
        guard let viewer = session.pointee.viewer else { return nil }
        let fanout = session.pointee.fanout
        return ViewerLayers(
            layers: fanout.pointee.layerSnapshots,
            choice: viewer.pointee.follower.wish.choice, current: currentLayer(session))
    }

    /// The layer that a viewer is sent; nil while it is none.
    func currentLayer(_ session: UnsafeMutablePointer<PeerSession>) -> String? {
        guard let viewer = session.pointee.viewer else { return nil }
        for place in 0..<viewer.pointee.trackCount where viewer.pointee.tracks[place].layer >= 0 {
            let outgoing = viewer.pointee.tracks + place
            if outgoing.pointee.isLayered { return session.pointee.fanout.pointee.tracks[outgoing.pointee.layer].rid.text }
            if outgoing.pointee.cell != LayerGrid.whole { return LayerGrid.name(Int(outgoing.pointee.cell)) }
        }
        return nil
    }

    /// Looks what each viewer should be sent, a few times a second while the stream has layers.
    func lookAfterLayers(_ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64) {
        let scalable = fanout.pointee.scalableTrack
        guard fanout.pointee.layers.isLayered || scalable != nil, fanout.pointee.hasSource else { return }
        if now >= fanout.pointee.layers.nextTickNs {
            fanout.pointee.layers.nextTickNs = now &+ LayerBoard.tickNs
            fanout.pointee.layers.update(fanout.pointee.tracks, now: now)
            if let scalable {
                let (tracks, count) = (fanout.pointee.tracks, fanout.pointee.trackCount)
                tracks[scalable].scalable?.pointee.update(tracks, of: scalable, count: count, now: now)
            }
            for position in 0..<fanout.pointee.viewers.count { follow(fanout.pointee.viewers[position], fanout, now) }
            followTaps(fanout, now)
        }
        wheel.pointee.hasten(fanout.pointee.timer, to: fanout.pointee.layers.nextTickNs)
    }

    /// Sets the layer that a viewer is to get next, and asks for its keyframe; what is sent goes on until that comes.
    private func follow(
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        guard let viewer = session.pointee.viewer, !viewer.pointee.breaker.isOpen else { return }
        for place in 0..<viewer.pointee.trackCount {
            let outgoing = viewer.pointee.tracks + place
            guard outgoing.pointee.isLayered else {
                followCells(outgoing, viewer, fanout, now)
                continue
            }
            let current = outgoing.pointee.target >= 0 ? outgoing.pointee.target : outgoing.pointee.layer
            guard
                let target = viewer.pointee.follower.target(
                    on: fanout.pointee.layers, current: current >= 0 ? current : nil, now: now)
            else { continue }
            outgoing.pointee.target = target
            if outgoing.pointee.layer != target { wantKeyframes(fanout, tracks: 1 << UInt64(target), now) }
        }
    }

    /// The tracks whose keyframes would help: what is sent, and what is waited for.
    func awaited(by outgoing: UnsafeMutablePointer<OutgoingTrack>, _ fanout: UnsafeMutablePointer<Fanout>) -> UInt64 {
        guard outgoing.pointee.kind == .video else { return 0 }
        switch outgoing.pointee.state {
        case .paused, .unmatched: return 0
        case .waiting:
            return outgoing.pointee.target >= 0 ? 1 << UInt64(outgoing.pointee.target) : fanout.pointee.layers.mask
        case .live, .catchingUp:
            let next = outgoing.pointee.target >= 0 ? outgoing.pointee.target : outgoing.pointee.layer
            return 1 << UInt64(outgoing.pointee.layer) | 1 << UInt64(next)
        }
    }

    /// The same for all viewers here.
    func followed(_ fanout: UnsafeMutablePointer<Fanout>) -> UInt64 {
        var tracks: UInt64 = 0
        for position in 0..<fanout.pointee.viewers.count {
            guard let viewer = fanout.pointee.viewers[position].pointee.viewer else { continue }
            for place in 0..<viewer.pointee.trackCount { tracks |= awaited(by: viewer.pointee.tracks + place, fanout) }
        }
        return tracks
    }

    // MARK: Starting

    /// Video that begins to follow a track, or one of several layers.
    func beginVideo(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, on track: Int, _ session: UnsafeMutablePointer<PeerSession>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        guard let viewer = session.pointee.viewer, viewer.pointee.follower.wish != .off, !viewer.pointee.breaker.isOpen else {
            return
        }
        guard session.pointee.pausedStream == 0 else {
            outgoing.pointee.state = .paused
            return
        }
        outgoing.pointee.isLayered = fanout.pointee.layers.isLayer(track)
        if outgoing.pointee.isLayered {
            let target = viewer.pointee.follower.target(on: fanout.pointee.layers, current: nil, now: now)
            outgoing.pointee.target = target ?? -1
        } else {
            outgoing.pointee.target = track
        }
        fanout.pointee.unsettled += 1
        outgoing.pointee.state = .waiting
        outgoing.pointee.waitingSinceNs = now
        let target = outgoing.pointee.target
        let ageMaxNs = outgoing.pointee.packets == 0 ? Self.youngKeyframeNs : Self.freshKeyframeNs
        let isYoung = target >= 0 && now &- fanout.pointee.tracks[target].keyframeArrivalNs < ageMaxNs
        let isIgnored = fanout.pointee.ignoresRequests
        if isYoung || isIgnored, !startCached(outgoing, session, fanout, now), isIgnored {
            _ = goOn(outgoing, session, fanout, now)
        }
        guard case .waiting = outgoing.pointee.state else { return }
        wantKeyframes(fanout, tracks: awaited(by: outgoing, fanout), now)
        wheel.pointee.hasten(fanout.pointee.timer, to: now &+ Self.fanoutTickNs)
    }

    /// Starts at a keyframe that the ring holds: the wanted layer's if it has one, else that of the highest below.
    func startCached(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) -> Bool {
        func start(_ track: Int) -> Bool {
            guard let keyframe = fanout.pointee.tracks[track].cachedKeyframe(packetsMax: Self.cachedPacketsMax) else {
                return false
            }
            return self.start(outgoing, at: keyframe, on: track, session, fanout, now)
        }
        let target = outgoing.pointee.target
        if target >= 0, start(target) { return true }
        guard outgoing.pointee.isLayered else { return false }
        for rank in (0..<fanout.pointee.layers.count).reversed() {
            let track = Int(fanout.pointee.layers[rank].track)
            if track != target, isAwaited(track, outgoing, fanout), start(track) { return true }
        }
        return false
    }

    /// Goes on where a viewer was left who was sent nothing for a while, for one whom no keyframe comes soon.
    func goOn(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) -> Bool {
        guard !outgoing.pointee.isLayered, let (old, last) = outgoing.pointee.map.newest,
            Int(old.track) == outgoing.pointee.target, fanout.pointee.tracks[Int(old.track)].scalable == nil,
            let next = fanout.pointee.tracks[Int(old.track)].following(last, packetsMax: Self.cachedPacketsMax)
        else { return false }
        outgoing.pointee.catchUpPace = CatchUpPace(packets: CatchUpPace.packetsMin)
        return start(outgoing, at: next, on: Int(old.track), session, fanout, now)
    }

    /// Goes on with a track that isn't sent yet if a keyframe of it has come and it is waited for.
    func startIfAwaited(
        _ track: Int, _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        switch outgoing.pointee.state {
        case .waiting, .live, .catchingUp: break
        case .paused: return
        case .unmatched:
            guard let viewer = session.pointee.viewer, viewer.pointee.follower.wish != .off else { return }
            let reason: MediaDrop = viewer.pointee.breaker.isOpen ? .viewerStopped : .codecMismatch
            counters.pointee.count(reason, UInt64(fanout.pointee.tracks[track].pendingCount))
            return
        }
        guard fanout.pointee.tracks[track].hasPendingKeyframe, isAwaited(track, outgoing, fanout) else { return }
        _ = start(outgoing, at: fanout.pointee.tracks[track].keyframeIndex, on: track, session, fanout, now)
    }

    /// Whether a keyframe of this track is to be taken: the wanted one's, or, rather than nothing, one of a layer below it.
    private func isAwaited(
        _ track: Int, _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ fanout: UnsafeMutablePointer<Fanout>
    ) -> Bool {
        let target = outgoing.pointee.target
        if target == track { return true }
        guard case .waiting = outgoing.pointee.state, outgoing.pointee.isLayered else { return false }
        guard target >= 0, let wanted = fanout.pointee.layers.rank(of: target) else { return true }
        return fanout.pointee.layers.rank(of: track) ?? .max < wanted
    }

    /// Begins to send a track at a keyframe that the ring holds, and sends what of it is there; false when the viewer is past it, unless it
    /// is to be shown it `again`.
    func start(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, at index: UInt64, on track: Int, again: Bool = false,
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) -> Bool {
        var isSwitch = false
        if case .live = outgoing.pointee.state { isSwitch = true }
        var rerun = Rerun()
        if again || isOld(index, on: fanout.pointee.tracks + track, outgoing, session, now) {
            rerun = fanout.pointee.tracks[track].rerun(from: index, now: now)
        }
        guard beginStretch(outgoing, at: index, of: track, again: again, rerun: rerun, fanout) else { return false }
        outgoing.pointee.rerunSinceNs = now
        if isSwitch { fanout.pointee.unsettled += 1 }
        outgoing.pointee.state = .catchingUp(next: index)
        catchUp(fanout.pointee.tracks + track, outgoing, session, fanout, now)
        return true
    }

    /// Whether a group that begins at a keyframe is to run faster than the clock. Another node is sent it as it came.
    private func isOld(
        _ index: UInt64, on track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) -> Bool {
        guard outgoing.pointee.kind == .video, !outgoing.pointee.isLayered, track.pointee.scalable == nil,
            session.pointee.viewer?.pointee.isNode == false, index == track.pointee.keyframeIndex
        else { return false }
        return now > track.pointee.keyframeArrivalNs && now - track.pointee.keyframeArrivalNs >= Rerun.leastNs
    }

    /// The viewer's numbers go on with a track from this position on.
    func beginStretch(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, at index: UInt64, of track: Int, again: Bool = false,
        rerun: Rerun = Rerun(), _ fanout: UnsafeMutablePointer<Fanout>
    ) -> Bool {
        var shift = shift(of: outgoing, to: track, at: index, again: again, fanout)
        if rerun.span != 0 { shift.rerun = rerun }
        guard outgoing.pointee.begin(at: index, of: fanout.pointee.tracks + track, shift: shift) else { return false }
        outgoing.pointee.layer = track
        if outgoing.pointee.target < 0 { outgoing.pointee.target = track }
        return true
    }

    // MARK: Moving numbers

    /// How a track is moved so that it goes on where the viewer's last packet was.
    private func shift(
        of outgoing: UnsafeMutablePointer<OutgoingTrack>, to track: Int, at index: UInt64, again: Bool,
        _ fanout: UnsafeMutablePointer<Fanout>
    ) -> LayerShift {
        guard let (old, number) = outgoing.pointee.map.newest else { return outgoing.pointee.firstShift(track: track) }
        let next = fanout.pointee.tracks + track
        let before = fanout.pointee.tracks + Int(old.track)
        let last = position(number, old, before)
        // Nothing is left out, maybe in the middle of a picture.
        let isNext = old.track == UInt8(truncatingIfNeeded: track) && index == last &+ 1
        if isNext, !again, last >= next.pointee.sourceFirst, next.pointee.scalable == nil { return old }
        let slot = next.pointee.ring.slot(at: index)
        var shift = LayerShift(
            track: UInt8(truncatingIfNeeded: track), take: again ? old.take &+ 1 : old.take, timestamp: old.timestamp)
        if old.track != shift.track {
            let timestamp = slot?.pointee.timestamp ?? next.pointee.lastTimestamp
            let arrivalNs = slot?.pointee.arrivalNs ?? next.pointee.lastArrivalNs
            let capturedNs =
                last >= before.pointee.sourceFirst
                ? Int64(
                    bitPattern: next.pointee.clock.wall(of: timestamp, clockRate: next.pointee.clockRate)
                        &- before.pointee.clock.wall(of: outgoing.pointee.lastTimestamp, clockRate: before.pointee.clockRate))
                : nil
            let elapsed = LayerTiming.elapsedNs(
                captured: capturedNs, arrived: Int64(bitPattern: arrivalNs &- outgoing.pointee.lastArrivalNs))
            let ticks = UInt32(truncatingIfNeeded: elapsed / 1000 &* UInt64(next.pointee.clockRate) / 1_000_000)
            shift.timestamp = old.moved(outgoing.pointee.lastTimestamp) &+ ticks &- timestamp
        }
        guard outgoing.pointee.formats[old.format].codec == next.pointee.codec else { return shift }
        shift.picture = old.picture
        if let slot, let sent = before.pointee.ring.slot(at: last) {
            shift.picture = before.pointee.numbers(of: sent).shift(old.picture, before: next.pointee.numbers(of: slot))
        }
        return shift
    }

    /// What is to be encrypted of a packet: the ring's bytes, unless numbers in them have to be moved for this viewer.
    @inline(__always)
    func payload(
        of slot: UnsafePointer<PacketSlot>, _ shift: LayerShift, _ track: UnsafeMutablePointer<FanoutTrack>,
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>
    ) -> UnsafeRawBufferPointer {
        guard !slot.pointee.flags.contains(.filler) else { return UnsafeRawBufferPointer(start: fillerPayload, count: 1) }
        let stored = track.pointee.ring.payload(of: slot)
        if slot.pointee.flags.contains(.redundant) { return blocks(stored, outgoing.pointee.formats[shift.format]) }
        // The stretch's codec: the track may have come back with another one since.
        return shift.picture.leavesPayload ? stored : moved(stored, outgoing.pointee.formats[shift.format].codec, shift.picture)
    }

    /// Redundant audio data as a viewer takes it: with its payload type in every block, or the primary block alone.
    private func blocks(_ stored: UnsafeRawBufferPointer, _ format: OutgoingFormats.Format) -> UnsafeRawBufferPointer {
        guard let base = stored.baseAddress, stored.count <= MediaLimits.payloadBytesMax,
            let blocks = RedundantAudio(stored.bindMemory(to: UInt8.self).span, payloadType: nil)
        else { return stored }
        guard format.redPayloadType != OutgoingFormats.none else {
            return UnsafeRawBufferPointer(rebasing: stored[blocks.primaryOffset...])
        }
        payloadScratch.copyMemory(from: base, byteCount: stored.count)
        blocks.write(payloadType: format.payloadType, to: payloadScratch)
        return UnsafeRawBufferPointer(start: payloadScratch, count: stored.count)
    }

    private func moved(
        _ payload: UnsafeRawBufferPointer, _ codec: CodecID, _ shift: PictureShift
    ) -> UnsafeRawBufferPointer {
        guard let base = payload.baseAddress, payload.count <= MediaLimits.payloadBytesMax,
            let numbers = PictureNumbers(codec, payload.bindMemory(to: UInt8.self).span)
        else { return payload }
        payloadScratch.copyMemory(from: base, byteCount: payload.count)
        numbers.write(shift, to: payloadScratch)
        return UnsafeRawBufferPointer(start: payloadScratch, count: payload.count)
    }
}

/// How much later a layer's first picture is than the last one sent of another.
enum LayerTiming {
    /// Sender reports that put it further from when it came are not believed.
    static let disagreementNs: UInt64 = 250_000_000
    /// Time never stands still: the layers' pictures of one moment may come in any order.
    static let leastNs: Int64 = 1_000_000

    /// - Parameters:
    ///   - captured: by the clocks of the layers; nil when they have none in common.
    ///   - arrived: by our own.
    static func elapsedNs(captured: Int64?, arrived: Int64) -> UInt64 {
        guard let captured, (captured &- arrived).magnitude <= disagreementNs else { return UInt64(max(leastNs, arrived)) }
        return UInt64(max(leastNs, captured))
    }
}
