/// Video at the pace that a viewer's path takes. What has to wait stays in the track's ring, where all viewers are served from.
extension LoopCore {
    /// Sends what is pending as far as the pace allows. The rest follows tick by tick, as when a viewer catches up.
    func sendPaced(
        from first: Int, _ track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ path: UnsafeMutablePointer<ViewerPath>, _ session: UnsafeMutablePointer<PeerSession>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        path.pointee.fillPace(now: now)
        let sent = track.pointee.scalable == nil ? outgoing.pointee.map.newest?.last ?? 0 : outgoing.pointee.passed
        var highest = sent
        var next = UInt64.max
        for position in first..<track.pointee.pendingCount {
            let index = track.pointee.pendingIndex(position)
            // What comes late has its number behind packets that went out already, so it can't wait in the ring's order.
            if index > highest, next != .max || !path.pointee.pace.isOpen {
                next = min(next, index)
                continue
            }
            highest = max(highest, index)
            send(index, track, outgoing, session, now)
        }
        guard next != .max else { return }
        outgoing.pointee.noteCaughtUp(serial: track.pointee.flushSerial, count: track.pointee.pendingCount)
        outgoing.pointee.state = .catchingUp(next: next)
        path.pointee.lagEndsNs = now &+ ViewerPath.lagNs
        fanout.pointee.unsettled += 1
        wheel.pointee.hasten(fanout.pointee.timer, to: now)
    }

    /// Whether the next packet of a viewer that catches up may go now; always for one without a pace.
    @inline(__always)
    func mayGo(_ outgoing: UnsafeMutablePointer<OutgoingTrack>) -> Bool {
        outgoing.pointee.pacedPath?.pointee.pace.isOpen ?? true
    }

    /// Looks after a viewer that hasn't caught up: one that lags too far behind goes on at the next keyframe, so that what waits for it
    /// stays bounded.
    func mindLag(
        _ next: UInt64, _ track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        guard let path = outgoing.pointee.pacedPath else { return }
        if path.pointee.lagEndsNs == 0 { path.pointee.lagEndsNs = now &+ ViewerPath.cachedLagNs }
        guard now >= path.pointee.lagEndsNs, case .catchingUp = outgoing.pointee.state else { return }
        counters.pointee.count(.viewerTooSlow, track.pointee.ring.highest &- next &+ 1)
        path.pointee.lagEndsNs = 0
        outgoing.pointee.map.end()
        outgoing.pointee.layer = -1
        outgoing.pointee.state = .waiting
        outgoing.pointee.waitingSinceNs = now
        wantKeyframes(fanout, tracks: awaited(by: outgoing, fanout), now)
        wheel.pointee.hasten(fanout.pointee.timer, to: now &+ Self.fanoutTickNs)
    }
}
