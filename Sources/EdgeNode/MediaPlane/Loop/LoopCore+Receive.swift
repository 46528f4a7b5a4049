extension LoopCore {
    /// Sorts one batch: each datagram to its session, decrypted where it lies, and on to its track or reports.
    func receive(_ batch: borrowing ReceiveBatch, count: Int, now: UInt64) {
        for position in 0..<count {
            let datagram = batch.datagram(position)
            counters.pointee.received &+= 1
            counters.pointee.receivedBytes &+= UInt64(datagram.count)
            guard !batch.isTruncated(position), let source = batch.source(position, ownAddresses) else {
                counters.pointee.count(.truncated)
                continue
            }
            if let session = find(datagram, from: source, now) {
                take(datagram, from: source, session, now)
            } else if !takeElsewhere(datagram, from: source, now) {
                counters.pointee.count(.unknownSession)
            }
        }
    }

    /// The same for a batch from a socket that belongs to one session. It answers from where it asked, whatever address that is.
    func receive(
        _ batch: borrowing ReceiveBatch, count: Int, for session: UnsafeMutablePointer<PeerSession>, now: UInt64
    ) {
        lull.activeNs = now
        for position in 0..<count where !session.pointee.isEnded {
            let datagram = batch.datagram(position)
            counters.pointee.received &+= 1
            counters.pointee.receivedBytes &+= UInt64(datagram.count)
            guard !batch.isTruncated(position), let source = batch.source(position, nil) else {
                counters.pointee.count(.truncated)
                continue
            }
            take(datagram, from: source, session, now)
        }
    }

    /// STUN goes by its user fragment, even from a known address: addresses change hands behind a NAT. That address is looked at first all the
    /// same, as nearly every check is that of who is known there, and a table of user fragments costs more.
    @inline(__always)
    func find(
        _ datagram: UnsafeMutableRawBufferPointer, from source: SocketAddress, _ now: UInt64
    ) -> UnsafeMutablePointer<PeerSession>? {
        let known = addresses.pointee.find(source)
        if DatagramKind(UnsafeRawBufferPointer(datagram)) == .stun {
            if let session = findByUfrag(UnsafeRawBufferPointer(datagram), known) {
                if !session.pointee.isConnected { lull.activeNs = now }
                return session
            }
            // Answers to our own checks carry no user name.
        }
        guard let known else { return nil }
        lull.activeNs = now
        return known
    }

    private func findByUfrag(
        _ datagram: UnsafeRawBufferPointer, _ known: UnsafeMutablePointer<PeerSession>?
    ) -> UnsafeMutablePointer<PeerSession>? {
        let found = PeerTransport.stunLocalUfrag(datagram) { ufrag -> UnsafeMutablePointer<PeerSession>? in
            let text = ufrag.assumingMemoryBound(to: UInt8.self).span
            if let known, known.pointee.localUfrag.matches(text, at: 0, count: text.count) { return known }
            return ufrags[Self.ufragKey(ufrag)]
        }
        return found ?? nil
    }

    @inline(__always)
    func take(
        _ datagram: UnsafeMutableRawBufferPointer, from source: SocketAddress, _ session: UnsafeMutablePointer<PeerSession>,
        _ now: UInt64
    ) {
        let received = session.pointee.withTransport {
            $0.receive(datagram, from: source, now: now, output: &output.pointee)
        }
        take(received, of: datagram, session, now)
        if case .none = received { claimHeard(source, for: session, now) }
    }

    /// What a transport made of a datagram goes on to tracks or reports.
    @inline(__always)
    func take(
        _ received: Received, of datagram: UnsafeMutableRawBufferPointer, _ session: UnsafeMutablePointer<PeerSession>,
        _ now: UInt64
    ) {
        switch received {
        case .rtp(let count):
            noteChange(session)
            guard let publisher = session.pointee.publisher, session.pointee.isConnected else {
                counters.pointee.count(.unknownSource)
                return
            }
            guard publisher.pointee.admits(datagram.count, now: now) else {
                counters.pointee.count(.publisherLimit)
                return
            }
            session.pointee.counters.packets &+= 1
            session.pointee.counters.bytes &+= UInt64(datagram.count)
            touch(session)
            receiveMedia(UnsafeRawBufferPointer(rebasing: datagram[0..<count]), session, publisher, now)
        case .rtcp(let count):
            noteChange(session)
            guard session.pointee.isConnected else { return }
            receiveReports(UnsafeRawBufferPointer(rebasing: datagram[0..<count]), session, now)
            resumeIfMoved(session, now)
        case .dropped(let reason):
            counters.pointee.count(reason)
            takeOutput(session)
            if reason == .srtpTooManySources { followTransport(session, now) }
        case .none:
            if session.pointee.isConnected { noteHeard(session) } else { noteChange(session) }
            takeOutput(session)
            followTransport(session, now)
            guard !session.pointee.isEnded else { return }
            // Of a connected session nothing else than its transport has been told anything.
            let deadline = session.pointee.withTransport { $0.nextDeadlineNs }
            if deadline != session.pointee.transportDeadlineNs || !session.pointee.isConnected { reschedule(session, now) }
        }
    }

    @inline(__always)
    private func touch(_ session: UnsafeMutablePointer<PeerSession>) {
        guard !session.pointee.isTouched else { return }
        session.pointee.isTouched = true
        touched.pointee.append(session)
    }

    /// Notices what STUN, DTLS or time changed: paths, and the connection coming up or going down.
    func followTransport(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard !session.pointee.isEnded else { return }
        let generation = session.pointee.withTransport { $0.pathGeneration }
        if generation != session.pointee.pathGeneration {
            session.pointee.pathGeneration = generation
            registerPaths(session, now)
        }
        let state = session.pointee.withTransport { $0.state }
        switch state {
        case .connected:
            if session.pointee.isConnected { resumeIfMoved(session, now) } else { connected(session, now) }
        case .closed(let reason): end(session, reason: CloseReason(reason), now)
        case .new, .checking, .handshaking: advanceHandshake(session)
        }
    }

    /// A dialed session is known by its socket: in the table it would take the peer's address from other sessions.
    private func registerPaths(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard session.pointee.dialedDescriptor == nil else { return }
        let paths = session.pointee.withTransport { $0.paths }
        for address in session.pointee.registeredPaths where !paths.contains(address) {
            addresses.pointee.remove(address, of: session)
        }
        for address in paths { claim(address, for: session, now) }
        registerHosts(session, paths)
        session.pointee.registeredPaths = paths
    }

    /// Once the address of a check that was good is nobody else's any more, it is the session's.
    private func claimHeard(_ source: SocketAddress, for session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard !session.pointee.isEnded, session.pointee.dialedDescriptor == nil, addresses.pointee.find(source) != session,
            session.pointee.withTransport({ $0.lastHeardNs(from: source) }) == now
        else { return }
        claim(source, for: session, now)
    }

    /// Gives a session what comes from an address, unless it comes from another session's peer: a check can carry anybody's address, and
    /// whose traffic that is would lose it. Behind a NAT an address may well be another peer's, once the first is silent.
    private func claim(_ address: SocketAddress, for session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        if let owner = addresses.pointee.find(address) {
            let heardNs = owner.pointee.withTransport { $0.lastHeardNs(from: address) }
            guard owner != session, now > heardNs &+ Limits.addressKeptNs else { return }
        }
        addresses.pointee.insert(address, session)
    }

    private func connected(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        session.pointee.isConnected = true
        noteChange(session)
        joinDataChannels(session)
        directory.emit(.sessionState(session.pointee.handle, session: session.pointee.name, .connected))
        if session.pointee.publisher != nil {
            beginLocalSource(session, restarted: .max, now)
        } else {
            attachViewer(session, now)
        }
        reschedule(session, now)
    }

    // MARK: RTP

    private func receiveMedia(
        _ packet: UnsafeRawBufferPointer, _ session: UnsafeMutablePointer<PeerSession>,
        _ publisher: UnsafeMutablePointer<PublisherSide>, _ now: UInt64
    ) {
        let bytes = packet.bindMemory(to: UInt8.self).span
        let header: RTPHeader
        do throws(RTPError) {
            header = try RTPHeader(parsing: bytes)
        } catch {
            counters.pointee.count(.rtpMalformed)
            return
        }
        let extensions = ReceivedExtensions(header, in: bytes, ids: publisher.pointee.extensions)
        if publisher.pointee.sendsTransportFeedback, let sequence = extensions.transportSequence {
            publisher.pointee.transportFeedback.record(sequence, arrivalNs: now)
        }
        let descriptor = UnsafeRawBufferPointer(
            rebasing: packet[extensions.descriptorOffset..<(extensions.descriptorOffset + extensions.descriptorCount)])
        switch publisher.pointee.place(header, extensions, in: bytes) {
        case .unknown(let reason): counters.pointee.count(reason)
        case .track(let track, isRepair: false):
            if publisher.pointee.tracks[track].isOther(header.ssrc) {
                guard publisher.pointee.mayRestart(now: now) else {
                    counters.pointee.count(.staleSource)
                    return
                }
                publisher.pointee.tracks[track].latch(header.ssrc)
                restartSource(session, track: track, now)
            } else {
                publisher.pointee.tracks[track].latch(header.ssrc)
            }
            let payload = UnsafeRawBufferPointer(
                rebasing: packet[header.payloadOffset..<(header.payloadOffset + header.payloadCount)])
            if header.payloadType == publisher.pointee.tracks[track].spec.redPayloadType, header.payloadCount > 0 {
                return placeRedundant(header, payload, extensions.forwarded, session, publisher, track, now)
            }
            placeMedia(
                header.sequence, header, payload, extensions.forwarded, descriptor, session, publisher, track, false, now)
        case .track(let track, isRepair: true):
            // Without even a number it is padding that probes for bandwidth.
            guard header.payloadCount >= RepairStream.originalBytes else {
                counters.pointee.count(.probe)
                return
            }
            let original = bytes.bigEndian16(at: header.payloadOffset)
            let first = header.payloadOffset + RepairStream.originalBytes
            let payload = UnsafeRawBufferPointer(rebasing: packet[first..<(header.payloadOffset + header.payloadCount)])
            placeMedia(original, header, payload, extensions.forwarded, descriptor, session, publisher, track, true, now)
        }
    }

    /// Redundant audio data: what it repeats of packets that didn't come takes their places, then it goes on whole.
    private func placeRedundant(
        _ header: RTPHeader, _ payload: UnsafeRawBufferPointer, _ extensions: ForwardedExtensions,
        _ session: UnsafeMutablePointer<PeerSession>, _ publisher: UnsafeMutablePointer<PublisherSide>, _ track: Int,
        _ now: UInt64
    ) {
        let spec = publisher.pointee.tracks[track].spec
        let bytes = payload.bindMemory(to: UInt8.self).span
        guard let blocks = RedundantAudio(bytes, payloadType: spec.payloadType) else {
            counters.pointee.count(.rtpMalformed)
            return
        }
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        var back = min(publisher.pointee.tracks[track].missing(before: header.sequence), blocks.olderCount)
        while back > 0 {
            let older = blocks.older(back, in: bytes)
            var lost = header
            (lost.timestamp, lost.marker) = (header.timestamp &- older.ticks, false)
            // A block of no length, or of this very moment, repeats nothing.
            if older.count > 0, older.ticks > 0 {
                let block = UnsafeRawBufferPointer(rebasing: payload[older.offset..<(older.offset + older.count)])
                placeMedia(
                    header.sequence &- UInt16(back), lost, block, ForwardedExtensions(), empty, session, publisher, track, true,
                    now)
            }
            back -= 1
        }
        placeMedia(
            header.sequence, header, payload, extensions, empty, session, publisher, track, false, now, isRedundant: true)
    }

    @inline(__always)
    private func placeMedia(
        _ sequence: UInt16, _ header: RTPHeader, _ payload: UnsafeRawBufferPointer, _ extensions: ForwardedExtensions,
        _ descriptor: UnsafeRawBufferPointer, _ session: UnsafeMutablePointer<PeerSession>,
        _ publisher: UnsafeMutablePointer<PublisherSide>, _ track: Int,
        _ isRepair: Bool, _ now: UInt64, isRedundant: Bool = false
    ) {
        let incoming = publisher.pointee.tracks + track
        let hadMedia = incoming.pointee.hasMedia
        let span = payload.bindMemory(to: UInt8.self).span
        var verdict = incoming.pointee.receive(
            sequence: sequence, header: header, payload: span, extensions: extensions, now: now, isRepair: isRepair)
        if case .jump = verdict, publisher.pointee.mayRestart(now: now) {
            incoming.pointee.restartNumbering()
            restartSource(session, track: track, now)
            verdict = incoming.pointee.receive(
                sequence: sequence, header: header, payload: span, extensions: extensions, now: now, isRepair: isRepair)
        }
        switch verdict {
        case .drop(let reason): counters.pointee.count(reason)
        case .jump: counters.pointee.count(.tooOld)
        case .deliver(var arrived):
            arrived.descriptor = descriptor
            if isRedundant { arrived.flags.insert(.redundant) }
            if !hadMedia {
                directory.emit(
                    .firstMedia(session.pointee.handle.stream, session: session.pointee.name, incoming.pointee.spec.kind))
            }
            // Layers differ in level only, which is none of the viewers' business.
            let compared: UInt32 = incoming.pointee.spec.rid.count > 0 ? 0xFFFF00 : 0xFFFFFF
            let difference = (incoming.pointee.profileLevel ^ publisher.pointee.announcedProfile) & compared
            if difference != 0, incoming.pointee.profileLevel != 0 {
                publisher.pointee.announcedProfile = incoming.pointee.profileLevel
                directory.emit(
                    .h264Profile(
                        session.pointee.handle.stream, session: session.pointee.name,
                        profileLevelID: incoming.pointee.profileLevel))
            }
            if incoming.pointee.insertsSets {
                var sets = arrived
                (sets.sequence, sets.flags) = (arrived.sequence &- 1, .parameterSets)
                deliver(
                    sets, payload: incoming.pointee.parameterSets, track: track, publisher.pointee.epoch, session.pointee.fanout,
                    now)
            }
            deliver(arrived, payload: payload, track: track, publisher.pointee.epoch, session.pointee.fanout, now)
        }
    }
}

extension CloseReason {
    init(_ reason: TransportCloseReason) {
        switch reason {
        case .local: self = .removed
        case .peer: self = .closedByPeer
        case .consentExpired: self = .consentLost
        case .iceTimeout, .dtlsTimeout: self = .setupTimeout
        case .dtlsFailed, .fingerprintMismatch: self = .handshakeFailed
        case .tooManySources: self = .tooManySources
        }
    }
}
