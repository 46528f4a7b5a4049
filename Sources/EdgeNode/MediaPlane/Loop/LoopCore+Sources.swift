/// Where a stream's packets come from on this loop: its own publisher, or a pipe from another loop's.
extension LoopCore {
    // MARK: A publisher of this loop

    /// The publisher's packets are the stream's from now on.
    func beginLocalSource(_ session: UnsafeMutablePointer<PeerSession>, restarted: UInt64, _ now: UInt64) {
        guard let publisher = session.pointee.publisher else { return }
        let fanout = session.pointee.fanout
        let epoch = directory.nextEpoch()
        publisher.pointee.epoch = epoch
        if publisher.pointee.nextReportNs == .max {
            publisher.pointee.nextReportNs = now &+ 1_000_000_000
            if publisher.pointee.sendsEstimate { publisher.pointee.nextEstimateNs = now }
        }
        beginSource(
            fanout, epoch: epoch, description: publisher.pointee.description, restarted: restarted,
            canAsk: publisher.pointee.canAskAny, now)
        fanout.pointee.outlets.forEach {
            pushSource(fanout, publisher, to: $0, restarted: restarted, canAsk: publisher.pointee.canAskAny)
        }
        if hasAudience(fanout) { wantFirstKeyframes(fanout, publisher) }
    }

    /// Of layers only those are asked that somebody follows, by whoever does.
    private func wantFirstKeyframes(_ fanout: UnsafeMutablePointer<Fanout>, _ publisher: UnsafeMutablePointer<PublisherSide>) {
        guard !fanout.pointee.layers.isLayered else { return }
        for track in 0..<publisher.pointee.trackCount where publisher.pointee.tracks[track].spec.kind == .video {
            publisher.pointee.tracks[track].keyframes.want()
        }
    }

    private func pushSource(
        _ fanout: UnsafeMutablePointer<Fanout>, _ publisher: UnsafeMutablePointer<PublisherSide>, to pipe: PacketPipe,
        restarted: UInt64, canAsk: Bool
    ) {
        if pipe.isTap {
            // A layer that it isn't given may begin anew unnoticed.
            if restarted & tapSources(fanout) != 0 { pushTapSource(fanout, to: pipe) }
            return
        }
        pipe.pushSource(
            epoch: publisher.pointee.epoch, tracks: publisher.pointee.description, restarted: restarted, canAsk: canAsk)
        pipe.publish()
    }

    private func hasAudience(_ fanout: UnsafeMutablePointer<Fanout>) -> Bool {
        fanout.pointee.viewers.count > 0 || fanout.pointee.outlets.count > 0
    }

    /// One track's encoder started anew: the whole stream gets a new epoch, the other tracks go on as they were.
    func restartSource(_ session: UnsafeMutablePointer<PeerSession>, track: Int, _ now: UInt64) {
        flushDirty(now, force: true)
        beginLocalSource(session, restarted: 1 << UInt64(track), now)
    }

    /// Hands a packet to everybody who carries this stream.
    @inline(__always)
    func deliver(
        _ packet: IncomingPacket, payload: UnsafeRawBufferPointer, track: Int, _ epoch: UInt32,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        if fanout.pointee.outlets.count > 0 {
            let entry = PipeEntry(packet, track: track, epoch: epoch)
            let isForTaps = isForTaps(packet, track: track, fanout)
            fanout.pointee.outlets.forEach {
                if $0.isTap, !isForTaps { return }
                if !$0.push(entry, payload: payload, descriptor: packet.descriptor) { counters.pointee.count(.pipeFull) }
            }
        }
        accept(packet, payload: payload, track: track, fanout, now)
    }

    func endLocalSource(_ fanout: UnsafeMutablePointer<Fanout>) {
        let epoch = fanout.pointee.publisher?.pointee.publisher?.pointee.epoch ?? 0
        fanout.pointee.publisher = nil
        if epoch != 0 {
            fanout.pointee.hasSource = false
            fanout.pointee.outlets.forEach {
                $0.pushSourceEnded(epoch: epoch)
                $0.publish()
            }
        }
        // Whoever publishes next fills them; until then nobody may.
        fanout.pointee.outlets.removeAll()
    }

    func openOutlet(_ fanout: UnsafeMutablePointer<Fanout>, _ pipe: PacketPipe, replays: Bool, _ now: UInt64) {
        // Without a publisher here the command came late, and the next publisher's loop has been told to fill the pipe.
        guard let session = fanout.pointee.publisher, let publisher = session.pointee.publisher else { return }
        fanout.pointee.outlets.add(pipe)
        guard session.pointee.isConnected else { return }
        let canAsk = publisher.pointee.canAskAny && !fanout.pointee.ignoresRequests && !publisher.pointee.ignoresRequests
        pushSource(fanout, publisher, to: pipe, restarted: .max, canAsk: canAsk)
        var hasEnough = false
        if replays {
            let packetsMax = canAsk ? MediaLimits.shortGroupPackets : MediaLimits.replayPackets
            hasEnough = replay(
                fanout, publisher, to: pipe, packetsMax: packetsMax / max(1, fanout.pointee.layers.count), now)
        }
        // A viewer there who finds it too old after all asks by itself.
        if !hasEnough { wantFirstKeyframes(fanout, publisher) }
        wheel.pointee.hasten(session.pointee.timer, to: 0)
    }

    /// Fills a new pipe with what a joiner on the other loop may start from: video since the newest keyframe.
    ///
    /// - Parameter packetsMax: not the whole pipe, so that what comes meanwhile still fits.
    /// - Returns: whether all video was given, from keyframes so young that a joiner will need no other.
    private func replay(
        _ fanout: UnsafeMutablePointer<Fanout>, _ publisher: UnsafeMutablePointer<PublisherSide>, to pipe: PacketPipe,
        packetsMax: Int, _ now: UInt64
    ) -> Bool {
        var hasEnough = true
        for source in 0..<publisher.pointee.trackCount {
            let place = Int(fanout.pointee.trackOfSource[source])
            guard place >= 0, fanout.pointee.tracks[place].kind == .video else { continue }
            let track = fanout.pointee.tracks + place
            guard let first = track.pointee.cachedKeyframe(packetsMax: UInt64(packetsMax)) else {
                hasEnough = false
                continue
            }
            if now &- track.pointee.keyframeArrivalNs >= Self.earlyKeyframeNs { hasEnough = false }
            for index in first...track.pointee.ring.highest {
                guard let (packet, payload) = track.pointee.original(at: index) else { continue }
                pipe.push(
                    PipeEntry(packet, track: source, epoch: publisher.pointee.epoch), payload: payload,
                    descriptor: packet.descriptor)
            }
        }
        pipe.publish()
        return hasEnough
    }

    // MARK: A publisher of another loop

    func openInlet(_ fanout: UnsafeMutablePointer<Fanout>, _ pipe: PacketPipe) {
        fanout.pointee.inlet = pipe
        if !inlets.contains(fanout) { inlets.append(fanout) }
    }

    func closeInlet(_ key: StreamKey, _ pipe: PacketPipe, _ now: UInt64) {
        guard let fanout = fanouts[key], fanout.pointee.inlet === pipe else { return }
        fanout.pointee.inlet = nil
        inlets.removeAll { $0 == fanout }
        if fanout.pointee.publisher == nil { fanout.pointee.hasSource = false }
        releaseIfIdle(fanout)
    }

    /// Takes what other loops' publishers have sent meanwhile.
    func drainInlets(_ now: UInt64) {
        for fanout in inlets {
            guard let pipe = fanout.pointee.inlet else { continue }
            // Bounded, as each packet is many to send: the socket must not wait for a long queue. The rest wakes the loop again.
            var room = FanoutTrack.pendingMax
            while room > 0, let entry = pipe.front() {
                takeEntry(entry, pipe, fanout, now)
                pipe.pop()
                room -= 1
            }
            if room == 0 { mailbox.wake.signal() }
        }
    }

    private func takeEntry(
        _ entry: UnsafePointer<PipeEntry>, _ pipe: PacketPipe, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        let epoch = entry.pointee.epoch
        switch entry.pointee.kind {
        case .packet, .padding:
            guard epoch == fanout.pointee.epoch, fanout.pointee.publisher == nil else {
                counters.pointee.count(.staleSource)
                return
            }
            let isReplayed = entry.pointee.flags.contains(.replayed)
            guard isReplayed || now < entry.pointee.arrivalNs &+ MediaLimits.pipeAgeMaxNs else {
                counters.pointee.count(.overload)
                fanout.pointee.hasGap = true
                return
            }
            if fanout.pointee.hasGap {
                fanout.pointee.hasGap = false
                wantKeyframes(fanout, tracks: followed(fanout) | ~fanout.pointee.layers.mask, now)
            }
            let packet = IncomingPacket(
                sequence: entry.pointee.sequence, timestamp: entry.pointee.timestamp, arrivalNs: entry.pointee.arrivalNs,
                flags: entry.pointee.flags, extensions: entry.pointee.extensions, descriptor: pipe.descriptor(of: entry))
            let payload = UnsafeRawBufferPointer(start: pipe.payload(of: entry), count: Int(entry.pointee.payloadCount))
            accept(packet, payload: payload, track: Int(entry.pointee.track), fanout, now)
        case .source:
            guard Int32(bitPattern: epoch &- fanout.pointee.epoch) > 0, fanout.pointee.publisher == nil else { return }
            flushDirty(now, force: true)
            beginSource(
                fanout, epoch: epoch, description: pipe.tracks(of: epoch), restarted: entry.pointee.sequence,
                canAsk: entry.pointee.track != 0, now)
        case .senderReport:
            guard epoch == fanout.pointee.epoch, fanout.pointee.publisher == nil else { return }
            acceptSenderReport(
                fanout, track: Int(entry.pointee.track), ntp: entry.pointee.sequence, timestamp: entry.pointee.timestamp,
                arrivalNs: entry.pointee.arrivalNs, now)
        case .sourceEnded:
            if epoch == fanout.pointee.epoch, fanout.pointee.publisher == nil { fanout.pointee.hasSource = false }
        case .gap: fanout.pointee.hasGap = true
        }
    }

    // MARK: Both

    private func beginSource(
        _ fanout: UnsafeMutablePointer<Fanout>, epoch: UInt32, description: [TapTrack], restarted: UInt64, canAsk: Bool,
        _ now: UInt64
    ) {
        // What is pending belongs to the source before, whose numbering it carries.
        flushDirty(now, force: true)
        fanout.pointee.begin(epoch: epoch, description: description, restarted: restarted)
        fanout.pointee.beginRequests(canAsk: canAsk)
        if fanout.pointee.layers.isLayered {
            fanout.pointee.layers.nextTickNs = now &+ LayerBoard.tickNs
            wheel.pointee.hasten(fanout.pointee.timer, to: fanout.pointee.layers.nextTickNs)
        }
        for position in 0..<fanout.pointee.viewers.count {
            matchTracks(fanout.pointee.viewers[position], fanout, restarted: restarted, now)
        }
    }

    /// A publisher's clock mapping, for the reports to viewers.
    func acceptSenderReport(
        _ fanout: UnsafeMutablePointer<Fanout>, track source: Int, ntp: UInt64, timestamp: UInt32, arrivalNs: UInt64,
        _ now: UInt64
    ) {
        guard source < MediaLimits.tracksPerStream, ntp != 0 else { return }
        let place = Int(fanout.pointee.trackOfSource[source])
        guard place >= 0 else { return }
        let track = fanout.pointee.tracks + place
        guard let onTimeline = track.pointee.timeline(timestamp) else { return }
        let ntpNs = NTP.ns(fixed: ntp)
        let arrivalWall = wallOffsetNs &+ arrivalNs
        let offset = fanout.pointee.clockOffsetNs ?? Int64(bitPattern: arrivalWall &- ntpNs)
        let verdict = track.pointee.clock.report(
            timestamp: onTimeline, ntpNs: ntpNs, wallNs: ntpNs &+ UInt64(bitPattern: offset), arrivalNs: arrivalNs,
            clockRate: track.pointee.clockRate, mayJump: !track.pointee.isAnnounced)
        // Where the publisher's clock has jumped, all tracks go on from a new offset: each on its own they would drift apart.
        fanout.pointee.clockOffsetNs = verdict == .clockJumped ? nil : offset
    }
}
