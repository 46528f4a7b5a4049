extension LoopCore {
    func handle(_ command: LoopCommand, _ now: UInt64) {
        switch command {
        case .add(let order, let done):
            adopt(order, now)
            done.resume(returning: true)
        case .remove(let id, let done):
            if let session = sessions[id] { end(session, reason: .removed, now) }
            done.resume()
        case .restartICE(let id, let local, let remote, let done):
            done.resume(returning: restartICE(id, local: local, remote: remote, now))
        case .handshake(let id, let step, let host): finishHandshake(id, step, host: host, now)
        case .snapshot(let id, let done):
            done.resume(returning: sessions[id].map { sessionSnapshot($0, now) })
        case .layers(let id, let done): done.resume(returning: sessions[id].flatMap { viewerLayers($0) })
        case .chooseLayer(let id, let wish, let done):
            if let session = sessions[id] { chooseLayer(wish, session, now) }
            done.resume(returning: sessions[id]?.pointee.viewer != nil)
        case .chooseFormats(let id, let choices):
            if let session = sessions[id] { chooseFormats(choices, session, now) }
        case .openOutlet(let key, let pipe, let replays):
            if let fanout = fanouts[key] { openOutlet(fanout, pipe, replays: replays, now) }
        case .openInlet(let key, let pipe): openInlet(fanout(for: key), pipe)
        case .closeInlet(let key, let pipe): closeInlet(key, pipe, now)
        case .requestKeyframe(let key, let sources):
            if let fanout = fanouts[key] { askSources(sources ?? tapSources(fanout), fanout, now) }
        case .shutdown: stop()
        }
    }

    /// Answers a command that came too late.
    func refuse(_ command: LoopCommand) {
        switch command {
        case .add(_, let done): done.resume(returning: false)
        case .remove(_, let done): done.resume()
        case .restartICE(_, _, _, let done): done.resume(returning: false)
        case .snapshot(_, let done): done.resume(returning: nil)
        case .layers(_, let done): done.resume(returning: nil)
        case .chooseLayer(_, _, let done): done.resume(returning: false)
        case .handshake, .chooseFormats, .openOutlet, .openInlet, .closeInlet, .requestKeyframe, .shutdown: break
        }
    }

    // MARK: Sessions

    private func adopt(_ order: SessionOrder, _ now: UInt64) {
        let fanout = fanout(for: order.handle.stream)
        fanout.pointee.sessionCount += 1
        let session = PeerSession.make(order, fanout: fanout, arena: arena)
        adoptDialed(session)
        sessions[order.handle.id] = session
        show(session)
        let key = Self.ufragKey(order.localUfrag)
        session.pointee.ufragKeys = [key]
        session.pointee.localUfrag = ShortText(order.localUfrag)
        ufrags[key] = session
        if session.pointee.publisher != nil { fanout.pointee.publisher = session }
        reschedule(session, now)
    }

    private func restartICE(_ id: UInt64, local: ICECredentialPair, remote: ICECredentialPair, _ now: UInt64) -> Bool {
        guard let session = sessions[id] else { return false }
        let key = Self.ufragKey(local.ufrag)
        ufrags[key] = session
        session.pointee.ufragKeys.append(key)
        session.pointee.localUfrag = ShortText(local.ufrag)
        // The set before the last one is no longer answered.
        if session.pointee.ufragKeys.count > 2 { ufrags[session.pointee.ufragKeys.removeFirst()] = nil }
        session.pointee.withTransport { $0.restartICE(local: local, remote: remote, now: now) }
        reschedule(session, now)
        return true
    }

    /// Ends a session: goodbye to the peer if we are the ones who leave, out of every table, freed after this iteration.
    func end(_ session: UnsafeMutablePointer<PeerSession>, reason: CloseReason, _ now: UInt64) {
        guard !session.pointee.isEnded else { return }
        if session.pointee.isConnected {
            flushDirty(now, force: true)
            sayGoodbye(session)
        }
        session.pointee.isEnded = true
        session.pointee.dataLink?.leave()
        session.pointee.withTransport { $0.close(output: &output.pointee) }
        takeOutput(session)
        sessions[session.pointee.handle.id] = nil
        hide(session)
        for key in session.pointee.ufragKeys where ufrags[key] == session { ufrags[key] = nil }
        for address in session.pointee.registeredPaths { addresses.pointee.remove(address, of: session) }
        registerHosts(session, [])
        wheel.pointee.cancel(session.pointee.timer)
        let fanout = session.pointee.fanout
        if session.pointee.publisher != nil {
            if fanout.pointee.publisher == session { endLocalSource(fanout) }
        } else {
            detachViewer(session, fanout)
        }
        fanout.pointee.sessionCount -= 1
        ended.append(session)
        directory.sessionEnded(session.pointee.handle, name: session.pointee.name, reason: reason)
        releaseIfIdle(fanout)
    }

    func freeEnded() {
        guard !ended.isEmpty else { return }
        for session in ended {
            releaseDialed(session)
            session.deinitialize(count: 1)
            session.deallocate()
        }
        ended = []
    }

    /// Timeouts of the transport and of feedback.
    func sessionTimer(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        session.pointee.withTransport { $0.handleTimeout(now: now, output: &output.pointee) }
        takeOutput(session)
        followTransport(session, now)
        guard !session.pointee.isEnded else { return }
        if session.pointee.isConnected {
            if session.pointee.publisher != nil {
                sendFeedback(session, now)
            } else {
                if sendReportsIfDue(session, now) { noteChange(session) }
                lookAfterPath(session, now)
            }
        }
        reschedule(session, now, hasFired: true)
    }

    /// Sets the session's one timer to the earliest thing it waits for.
    ///
    /// - Parameter hasFired: what is overdue even so waits for the next tick, for in this one it would be woken again and again. Otherwise it
    ///   must not: packets that come in each tick would put it off for ever.
    func reschedule(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64, hasFired: Bool = false) {
        var deadline = session.pointee.withTransport { $0.nextDeadlineNs }
        session.pointee.transportDeadlineNs = deadline
        if session.pointee.isConnected {
            if let publisher = session.pointee.publisher { deadline = min(deadline, publisher.pointee.deadlineNs(now: now)) }
            if let viewer = session.pointee.viewer { deadline = min(deadline, viewer.pointee.deadlineNs) }
        }
        wheel.pointee.schedule(session.pointee.timer, at: hasFired ? max(deadline, now) : deadline)
    }

    // MARK: Fanouts

    func fanout(for key: StreamKey) -> UnsafeMutablePointer<Fanout> {
        if let known = fanouts[key] { return known }
        let fanout = Fanout.make(key: key)
        fanouts[key] = fanout
        return fanout
    }

    /// Frees a fanout that nothing uses, and its rings with it.
    func releaseIfIdle(_ fanout: UnsafeMutablePointer<Fanout>) {
        guard fanout.pointee.isIdle else { return }
        fanouts[fanout.pointee.key] = nil
        free(fanout)
    }

    func free(_ fanout: UnsafeMutablePointer<Fanout>) {
        dirty.pointee.remove(fanout)
        inlets.removeAll { $0 == fanout }
        wheel.pointee.cancel(fanout.pointee.timer)
        fanout.deinitialize(count: 1)
        fanout.deallocate()
    }

    /// The table key of a user fragment: seeded hashing keeps peers from choosing colliding ones.
    static func ufragKey(_ ufrag: String) -> Int {
        var copy = ufrag
        return copy.withUTF8 { ufragKey(UnsafeRawBufferPointer($0)) }
    }

    static func ufragKey(_ ufrag: UnsafeRawBufferPointer) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: ufrag)
        return hasher.finalize()
    }

    func sessionSnapshot(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) -> SessionSnapshot {
        let counters = session.pointee.counters
        var lost: UInt64 = 0
        var rtt: UInt64 = 0
        var available: UInt64?
        if let publisher = session.pointee.publisher {
            for track in 0..<publisher.pointee.trackCount {
                lost &+= UInt64(max(0, publisher.pointee.tracks[track].stats.lost))
                rtt = max(rtt, publisher.pointee.tracks[track].repairNs)
            }
        }
        if let viewer = session.pointee.viewer {
            for track in 0..<viewer.pointee.trackCount { lost &+= viewer.pointee.tracks[track].lost }
            rtt = viewer.pointee.rttNs
            let estimate = viewer.pointee.estimate(now: now)
            if estimate != .max { available = estimate }
        }
        return SessionSnapshot(
            handle: session.pointee.handle, session: session.pointee.name,
            sampledNs: now, state: session.pointee.isConnected ? .connected : .new,
            remoteAddress: session.pointee.withTransport { $0.selectedAddress },
            lastReceivedNs: session.pointee.withTransport { $0.lastHeardNs }, bytes: counters.bytes,
            packets: counters.packets, lost: lost, nacks: counters.nacks, resent: counters.resent,
            keyframeRequests: counters.keyframeRequests, rttNs: rtt,
            layers: session.pointee.publisher == nil ? [] : session.pointee.fanout.pointee.layerSnapshots,
            layer: currentLayer(session), availableBitrate: available)
    }
}
