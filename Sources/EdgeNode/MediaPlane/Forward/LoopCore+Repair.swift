/// What a viewer misses and asks for again: from the ring, within limits.
extension LoopCore {
    /// Answers one item of a generic NACK (RFC 4585 §6.2.1); `ssrc` is the viewer's media source.
    func viewerNack(_ first: UInt16, _ mask: UInt16, ssrc: UInt32, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let viewer = session.pointee.viewer else { return }
        let asked = 1 + mask.nonzeroBitCount
        guard viewer.pointee.admitsNack(asked, now: now) else {
            counters.pointee.count(.resendLimited, UInt64(asked))
            return
        }
        for place in 0..<viewer.pointee.trackCount where viewer.pointee.tracks[place].ssrc == ssrc {
            if case .catchingUp = viewer.pointee.tracks[place].state { viewer.pointee.tracks[place].catchUpPace.slow(now: now) }
            resend(first, viewer.pointee.tracks + place, session, now)
            for bit in 0..<UInt16(16) where mask & (1 << bit) != 0 {
                resend(first &+ bit &+ 1, viewer.pointee.tracks + place, session, now)
            }
        }
    }

    private func resend(
        _ number: UInt16, _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>,
        _ now: UInt64
    ) {
        session.pointee.counters.nacks &+= 1
        guard let sequence = outgoing.pointee.map.extend(number) else {
            counters.pointee.count(.resendUnavailable)
            return
        }
        resend(sequence, isEcho: false, outgoing, session, now)
    }

    /// Sends once more what was resent a moment ago.
    func sendEchoes(_ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64)
    {
        while let sequence = outgoing.pointee.echoes.take(now: now) {
            resend(sequence, isEcho: true, outgoing, session, now)
        }
    }

    private func resend(
        _ sequence: UInt64, isEcho: Bool, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        guard let index = outgoing.pointee.map.index(of: sequence) else {
            counters.pointee.count(.resendUnavailable)
            return
        }
        // The layer that it was of then.
        let shift = outgoing.pointee.map.shift(of: sequence)
        let track = session.pointee.fanout.pointee.tracks + Int(shift.track)
        guard let slot = track.pointee.ring.slot(at: position(index, shift, track)) else {
            counters.pointee.count(.resendUnavailable)
            return
        }
        withPart(of: slot, shift.cell, track) {
            resend($0, sequence: sequence, isEcho: isEcho, shift, track, outgoing, session, now)
        }
    }

    private func resend(
        _ slot: UnsafePointer<PacketSlot>, sequence: UInt64, isEcho: Bool, _ shift: LayerShift,
        _ track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        // It said when it was sent, so it can't be sent again as it was.
        if outgoing.pointee.repair == nil, outgoing.pointee.path != nil {
            counters.pointee.count(.resendUnavailable)
            return
        }
        guard mayResend(slot, sequence: sequence, isEcho: isEcho, outgoing, session, now) else {
            counters.pointee.count(.resendLimited)
            return
        }
        let bytes =
            outgoing.pointee.repair == nil
            ? transmit(slot, sequence: sequence, track, outgoing, session, now).bytes
            : retransmit(slot, original: sequence, shift, track, outgoing, session, now)
        guard bytes > 0 else { return }
        session.pointee.counters.resent &+= 1
        session.pointee.counters.bytes &+= UInt64(bytes)
        // On the media's own source a second copy counts as received (RFC 3550 §6.4.1), and would hide the loss that asks for copies.
        guard !isEcho, outgoing.pointee.repair != nil, let viewer = session.pointee.viewer else { return }
        if ResendEchoes.lossRange.contains(viewer.pointee.losses.fractionLost) {
            outgoing.pointee.echoes.add(sequence, now: now)
        }
    }

    private func mayResend(
        _ slot: UnsafePointer<PacketSlot>, sequence: UInt64, isEcho: Bool, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) -> Bool {
        let bytes = Int(slot.pointee.payloadCount)
        guard !isEcho else { return outgoing.pointee.resends.spend(bytes) }
        let rtt = session.pointee.viewer?.pointee.rttNs ?? 0
        return outgoing.pointee.resends.take(sequence, bytes: bytes, now: now, rttNs: rtt)
    }

    /// Sends a stored packet as a retransmission: a new packet of another source that carries the number it was sent under.
    private func retransmit(
        _ slot: UnsafePointer<PacketSlot>, original: UInt64, _ shift: LayerShift, _ track: UnsafeMutablePointer<FanoutTrack>,
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) -> Int {
        guard let address = session.pointee.withTransport({ $0.selectedAddress }) else { return 0 }
        // A filler is all padding, which a retransmission leaves out (RFC 4588 §4): the number alone fills the viewer's gap.
        let payload =
            slot.pointee.flags.contains(.filler)
            ? UnsafeRawBufferPointer(start: nil, count: 0) : payload(of: slot, shift, track, outgoing)
        let bodyCount = RepairStream.originalBytes + payload.count
        let room = address.isIPv4 ? MediaLimits.datagramBytesMax : MediaLimits.datagramBytesMaxIPv6
        let headerRoom = room - bodyCount - SRTPProfile.tagBytesMax
        let mark = headerRoom < OutgoingTrack.headerBytesMax(slot) ? .none : mark(outgoing, now)
        guard
            let (headerCount, sequence) = outgoing.pointee.writeRepairHeader(
                slot, shift: shift, to: headerScratch, bytesMax: headerRoom, mark: mark,
                descriptor: track.pointee.descriptor(of: slot, shift))
        else {
            counters.pointee.count(.oversized)
            return 0
        }
        let arena = session.pointee.arena
        let place = arena.pointee.place()
        // Put together where it is encrypted, since number and payload lie apart.
        let body = place + headerCount
        body.storeBigEndian(UInt16(truncatingIfNeeded: original), at: 0)
        if let base = payload.baseAddress {
            (body + RepairStream.originalBytes).copyMemory(from: base, byteCount: payload.count)
        }
        let plain = UnsafeRawBufferPointer(start: body, count: bodyCount)
        let count = seal(headerCount, plain, sequence: sequence, into: place, to: address, session)
        if count > 0 { outgoing.pointee.countRepaired(octets: bodyCount) }
        if !mark.isEmpty { countMarked(slot, count, outgoing, now) }
        return count
    }
}
