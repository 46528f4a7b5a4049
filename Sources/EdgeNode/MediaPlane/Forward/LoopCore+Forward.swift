/// The way out: stored packets to every viewer of the stream, rewritten and encrypted for each.
extension LoopCore {
    /// Viewers from which on a frame is collected before it goes out: runs of equal packets cost a fraction of single ones.
    static let gatherViewers = 4
    /// A frame whose end doesn't come within this goes out in parts.
    static let gatherNs: UInt64 = 2_000_000

    /// Stores a packet and sees to it that it goes out after this batch, or with the rest of its frame.
    @inline(__always)
    func accept(
        _ packet: IncomingPacket, payload: UnsafeRawBufferPointer, track source: Int, _ fanout: UnsafeMutablePointer<Fanout>,
        _ now: UInt64
    ) {
        guard source < MediaLimits.tracksPerStream else { return }
        let place = Int(fanout.pointee.trackOfSource[source])
        guard place >= 0 else { return }
        let track = fanout.pointee.tracks + place
        if track.pointee.isPendingFull { flush(fanout, now) }
        switch track.pointee.store(packet, payload: payload, wallNs: wallOffsetNs &+ packet.arrivalNs) {
        case .dropped(let reason):
            counters.pointee.count(reason)
            return
        case .stored: if track.pointee.scalable != nil { beginCells(fanout, now) }
        }
        // One that is replayed was there before the source was judged.
        if packet.flags.contains(.answer), !packet.flags.contains(.replayed) { fanout.pointee.noteAnswer(now: now) }
        if !fanout.pointee.isDirty {
            fanout.pointee.isDirty = true
            fanout.pointee.flushAtNs = fanout.pointee.viewers.count >= Self.gatherViewers ? now &+ Self.gatherNs : now
            dirty.pointee.append(fanout)
        }
        if packet.flags.contains(.marker) || track.pointee.pendingCount >= 32 { fanout.pointee.flushAtNs = now }
    }

    /// Sends what is pending where it is time.
    func flushDirty(_ now: UInt64, force: Bool) {
        var kept = 0
        for position in 0..<dirty.pointee.count {
            let fanout = dirty.pointee[position]
            if force || fanout.pointee.flushAtNs <= now {
                flush(fanout, now)
                fanout.pointee.isDirty = false
            } else {
                dirty.pointee.move(position, to: kept)
                kept += 1
            }
        }
        dirty.pointee.truncate(to: kept)
    }

    /// Sends everything pending of one stream to each of its viewers, viewer by viewer, so that a viewer's packets make one run.
    private func flush(_ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64) {
        let trackCount = fanout.pointee.trackCount
        for position in 0..<fanout.pointee.viewers.count {
            let session = fanout.pointee.viewers[position]
            guard let viewer = session.pointee.viewer else { continue }
            for track in 0..<trackCount where fanout.pointee.tracks[track].pendingCount > 0 {
                let place = Int(viewer.pointee.trackOfFanout[track])
                guard place >= 0 else { continue }
                let outgoing = viewer.pointee.tracks + place
                if outgoing.pointee.layer == track {
                    forward(fanout.pointee.tracks + track, outgoing, session, fanout, now)
                    if outgoing.pointee.echoes.count > 0 { sendEchoes(outgoing, session, now) }
                } else {
                    startIfAwaited(track, outgoing, session, fanout, now)
                }
            }
        }
        for track in 0..<trackCount {
            let cleared = fanout.pointee.tracks + track
            cleared.pointee.clearPending()
        }
    }

    @inline(__always)
    private func forward(
        _ track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        let first = outgoing.pointee.firstPending(serial: track.pointee.flushSerial)
        switch outgoing.pointee.state {
        case .live:
            if let path = outgoing.pointee.pacedPath {
                return sendPaced(from: first, track, outgoing, path, session, fanout, now)
            }
            for position in first..<track.pointee.pendingCount {
                send(track.pointee.pendingIndex(position), track, outgoing, session, now)
            }
        case .catchingUp(let next):
            // What lies ahead is reached in order; what comes late for a place passed already goes out at once.
            for position in first..<track.pointee.pendingCount where track.pointee.pendingIndex(position) < next {
                send(track.pointee.pendingIndex(position), track, outgoing, session, now)
            }
            // A keyframe ahead makes what lies before it needless.
            let keyframe = track.pointee.keyframeIndex
            if track.pointee.hasPendingKeyframe, keyframe > next, track.pointee.scalable == nil,
                start(outgoing, at: keyframe, on: outgoing.pointee.layer, session, fanout, now)
            {
                return
            }
            catchUp(track, outgoing, session, fanout, now)
        case .waiting, .paused, .unmatched: break
        }
    }

    /// Sends the next part of what the ring holds; the viewer is live when nothing is left.
    func catchUp(
        _ track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        guard case .catchingUp(var next) = outgoing.pointee.state else { return }
        var room = outgoing.pointee.catchUpPace.take()
        outgoing.pointee.pacedPath?.pointee.fillPace(now: now)
        while room > 0, mayGo(outgoing), next <= track.pointee.ring.highest {
            if let slot = track.pointee.ring.slot(at: next), !outgoing.pointee.isDue(slot, now: now) { break }
            send(next, track, outgoing, session, now)
            next += 1
            room -= 1
        }
        outgoing.pointee.noteCaughtUp(serial: track.pointee.flushSerial, count: track.pointee.pendingCount)
        if next > track.pointee.ring.highest {
            outgoing.pointee.state = .live
            outgoing.pointee.pacedPath?.pointee.lagEndsNs = 0
            fanout.pointee.unsettled -= 1
        } else {
            outgoing.pointee.state = .catchingUp(next: next)
            wheel.pointee.hasten(fanout.pointee.timer, to: now)
            mindLag(next, track, outgoing, fanout, now)
        }
    }

    /// Sends one packet for the first time; a place nothing came for is left as a gap.
    @inline(__always)
    func send(
        _ index: UInt64, _ track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        guard let slot = track.pointee.ring.slot(at: index) else { return }
        if let scalable = track.pointee.scalable {
            return sendCell(slot, scalable, track, outgoing, session, now)
        }
        guard let sequence = outgoing.pointee.map.sequence(sending: index) else { return }
        sendFirst(slot, sequence: sequence, track, outgoing, session, now)
    }

    /// Sends a packet under a number that is used for the first time.
    @inline(__always)
    func sendFirst(
        _ slot: UnsafePointer<PacketSlot>, sequence: UInt64, _ track: UnsafeMutablePointer<FanoutTrack>,
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        if let path = outgoing.pointee.path, !isNew(sequence, outgoing, path, session) { return }
        let (bytes, octets) = transmit(slot, sequence: sequence, track, outgoing, session, now)
        guard bytes > 0 else { return }
        if !outgoing.pointee.hasBegun { scheduleFirstReport(session, now) }
        outgoing.pointee.countSent(slot, bytes: bytes, octets: octets)
        session.pointee.counters.packets &+= 1
        session.pointee.counters.bytes &+= UInt64(bytes)
    }

    /// Writes the packet's header for this viewer and encrypts it from the ring into the arena; the same bytes each time, unless the header
    /// says when it was sent.
    ///
    /// - Returns: the size of the datagram, 0 when nothing went out, and of the payload.
    @inline(__always)
    func transmit(
        _ slot: UnsafePointer<PacketSlot>, sequence: UInt64, _ track: UnsafeMutablePointer<FanoutTrack>,
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>,
        _ now: UInt64
    ) -> (bytes: Int, octets: Int) {
        guard let address = session.pointee.withTransport({ $0.selectedAddress }) else { return (0, 0) }
        let shift = outgoing.pointee.map.shift(of: sequence)
        let mark = outgoing.pointee.path == nil || !OutgoingTrack.hasRoom(slot) ? .none : mark(outgoing, now)
        let headerCount = outgoing.pointee.writeHeader(
            slot, sequence: sequence, shift: shift, mark: mark,
            descriptor: track.pointee.descriptor(of: slot, shift), to: headerScratch)
        let payload = payload(of: slot, shift, track, outgoing)
        let room = address.isIPv4 ? MediaLimits.datagramBytesMax : MediaLimits.datagramBytesMaxIPv6
        guard headerCount + payload.count + SRTPProfile.tagBytesMax <= room else {
            counters.pointee.count(.oversized)
            return (0, 0)
        }
        let arena = session.pointee.arena
        let place = arena.pointee.place()
        let count = seal(headerCount, payload, sequence: sequence, into: place, to: address, session)
        if !mark.isEmpty { countMarked(slot, count, outgoing, now) }
        return (count, payload.count)
    }

    /// Encrypts a packet, its header from the scratch, to where the session's arena has room, and takes it as sent.
    ///
    /// - Returns: its size; 0 when the transport is gone.
    @inline(__always)
    func seal(
        _ headerCount: Int, _ payload: UnsafeRawBufferPointer, sequence: UInt64, into place: UnsafeMutableRawPointer,
        to address: SocketAddress, _ session: UnsafeMutablePointer<PeerSession>
    ) -> Int {
        let header = UnsafeRawBufferPointer(start: headerScratch, count: headerCount)
        let count = session.pointee.withTransport {
            $0.protectRTP(header: header, payload: payload, extendedSequence: sequence, into: place)
        }
        let arena = session.pointee.arena
        arena.pointee.commit(count, to: address, owner: session.pointee.handle.id)
        return count
    }
}
