/// RTCP in, and RTCP to publishers.
extension LoopCore {
    // MARK: In

    /// Walks one authenticated compound; what doesn't parse ends the walk and hurts nobody (RFC 3550 §6.1, RFC 5506).
    func receiveReports(_ packet: UnsafeRawBufferPointer, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        let bytes = packet.bindMemory(to: UInt8.self).span
        var reader = RTCPReader()
        var hasAny = false
        while let part = reader.next(in: bytes) {
            hasAny = true
            switch part.type {
            case RTCPPacket.senderReport:
                if let report = SenderReport(part, in: bytes) { publisherReport(report, session, now) }
                receiveBlocks(part, bytes, session, now)
            case RTCPPacket.receiverReport: receiveBlocks(part, bytes, session, now)
            case RTCPPacket.goodbye: sourcesLeft(part, bytes, session)
            case RTCPPacket.transportFeedback, RTCPPacket.payloadFeedback:
                if let feedback = FeedbackHeader(part, in: bytes) { receiveFeedback(feedback, bytes, session, now) }
            default: break
            }
        }
        if !hasAny { counters.pointee.count(.rtcpMalformed) }
    }

    private func receiveBlocks(
        _ part: RTCPPacket, _ bytes: Span<UInt8>, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        guard session.pointee.viewer != nil else { return }
        var index = 0
        while let block = ReportBlock(index, of: part, in: bytes) {
            viewerReport(block, session, now)
            index += 1
        }
    }

    private func receiveFeedback(
        _ feedback: FeedbackHeader, _ bytes: Span<UInt8>, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        guard session.pointee.viewer != nil else { return }
        switch feedback.kind {
        case .nack:
            var index = 0
            while let item = feedback.nackItem(index, in: bytes) {
                viewerNack(item.first, item.mask, ssrc: feedback.media, session, now)
                index += 1
            }
        case .pictureLoss: viewerWantsKeyframe(of: feedback.media, session, now)
        case .fullIntra:
            var index = 0
            while let item = feedback.fullIntraItem(index, in: bytes) {
                viewerCommandsKeyframe(item.ssrc, number: item.number, session, now)
                index += 1
            }
        case .transportCC: viewerArrivals(feedback, bytes, session, now)
        case .estimatedBitrate: viewerEstimate(feedback, bytes, session, now)
        case .other: break
        }
    }

    /// A publisher's sources that say goodbye; its session goes on (RFC 3550 §6.6).
    private func sourcesLeft(_ part: RTCPPacket, _ bytes: Span<UInt8>, _ session: UnsafeMutablePointer<PeerSession>) {
        guard let publisher = session.pointee.publisher else { return }
        for index in 0..<min(Int(part.count), part.bodyCount / 4) {
            guard let track = publisher.pointee.track(of: bytes.bigEndian32(at: part.bodyOffset + 4 * index)) else { continue }
            publisher.pointee.tracks[track].sourceLeft()
        }
    }

    private func publisherReport(_ report: SenderReport, _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let publisher = session.pointee.publisher, let track = publisher.pointee.track(of: report.ssrc) else { return }
        publisher.pointee.tracks[track].recordSenderReport(ntp: report.ntp, arrivalNs: now)
        let fanout = session.pointee.fanout
        var entry = PipeEntry(
            sequence: report.ntp, arrivalNs: now, timestamp: report.timestamp, epoch: publisher.pointee.epoch)
        entry.kind = .senderReport
        entry.track = UInt8(truncatingIfNeeded: track)
        fanout.pointee.outlets.forEach {
            $0.push(entry, payload: UnsafeRawBufferPointer(start: nil, count: 0))
            $0.publish()
        }
        acceptSenderReport(fanout, track: track, ntp: report.ntp, timestamp: report.timestamp, arrivalNs: now, now)
    }

    // MARK: Out

    /// After a batch with this publisher's media: wakes the pipes' readers, and sends the feedback that became due.
    func afterMedia(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        let fanout = session.pointee.fanout
        if fanout.pointee.outlets.count > 0 {
            fanout.pointee.outlets.forEach { $0.publish() }
            if fanout.pointee.outlets.dropClosed() { releaseIfIdle(fanout) }
        }
        sendFeedback(session, now)
        reschedule(session, now)
    }

    /// Puts everything due into as few datagrams as it takes, each a compound that begins with a receiver report and SDES.
    func sendFeedback(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        guard let publisher = session.pointee.publisher else { return }
        let isReportDue = now >= publisher.pointee.nextReportNs
        if isReportDue { publisher.pointee.nextReportNs = now &+ 1_000_000_000 }
        var writer = RTCPWriter(reportScratch)
        if isReportDue {
            beginCompound(&writer, session, withBlocks: true, now)
            askOnce(publisher, of: session.pointee.fanout)
        }
        writeLoss(session, publisher, &writer, now)
        writeKeyframeRequests(session, publisher, &writer, now)
        writeTransportFeedback(session, publisher, &writer, now)
        if publisher.pointee.sendsEstimate, now >= publisher.pointee.nextEstimateNs {
            publisher.pointee.nextEstimateNs = now &+ 1_000_000_000
            writeEstimate(session, publisher, &writer, now)
        }
        sendReports(writer, session)
    }

    private func beginCompound(
        _ writer: inout RTCPWriter, _ session: UnsafeMutablePointer<PeerSession>, withBlocks: Bool, _ now: UInt64
    ) {
        guard let publisher = session.pointee.publisher else { return }
        var latched = InlineArray<8, Int>(repeating: 0)
        var count = 0
        if withBlocks {
            for track in 0..<publisher.pointee.trackCount where publisher.pointee.tracks[track].stats.received > 0 {
                latched[count] = track
                count += 1
            }
        }
        writer.receiverReport(sender: session.pointee.localSSRC, blocks: count) {
            publisher.pointee.tracks[latched[$0]].reportBlock(now: now)
        }
        session.pointee.cname.withBytes { writer.sourceDescription(ssrc: session.pointee.localSSRC, cname: $0) }
    }

    /// Writes one feedback message; when the compound is full, it is sent and another begun.
    private func append(
        _ session: UnsafeMutablePointer<PeerSession>, _ writer: inout RTCPWriter, _ now: UInt64,
        _ write: (inout RTCPWriter) -> Bool
    ) {
        if writer.count == 0 { beginCompound(&writer, session, withBlocks: false, now) }
        if write(&writer) { return }
        sendReports(writer, session)
        writer = RTCPWriter(reportScratch)
        beginCompound(&writer, session, withBlocks: false, now)
        _ = write(&writer)
    }

    private func writeLoss(
        _ session: UnsafeMutablePointer<PeerSession>, _ publisher: UnsafeMutablePointer<PublisherSide>,
        _ writer: inout RTCPWriter, _ now: UInt64
    ) {
        for track in 0..<publisher.pointee.trackCount where publisher.pointee.tracks[track].nacks.count > 0 {
            let incoming = publisher.pointee.tracks + track
            let abandoned = incoming.pointee.nacks.abandoned
            let count = incoming.pointee.nacks.due(now: now, rttNs: incoming.pointee.repairNs, into: nackScratch)
            // What is lost for good is only mended by a new picture. Who follows a layer asks himself, and nobody may.
            if incoming.pointee.nacks.abandoned != abandoned, !session.pointee.fanout.pointee.layers.isLayered {
                incoming.pointee.keyframes.want()
            }
            guard count > 0 else { continue }
            session.pointee.counters.nacks &+= UInt64(count)
            let sequences = UnsafeBufferPointer(rebasing: nackScratch[0..<count])
            append(session, &writer, now) {
                $0.nack(sender: session.pointee.localSSRC, media: incoming.pointee.ssrc, sequences: sequences)
            }
        }
    }

    /// Asks a source for a keyframe when its group of pictures grows long and nobody ever has. One that makes none is known by that before
    /// the ring loses what joiners will have to start from.
    private func askOnce(_ publisher: UnsafeMutablePointer<PublisherSide>, of fanout: UnsafeMutablePointer<Fanout>) {
        guard !fanout.pointee.layers.isLayered else { return }
        for source in 0..<publisher.pointee.trackCount
        where publisher.pointee.tracks[source].spec.kind == .video && publisher.pointee.tracks[source].keyframes.sent == 0 {
            let place = Int(fanout.pointee.trackOfSource[source])
            guard place >= 0 else { continue }
            let track = fanout.pointee.tracks + place
            let isLong = track.pointee.ring.highest &- track.pointee.keyframeIndex > UInt64(MediaLimits.shortGroupPackets)
            if track.pointee.keyframeIndex != 0, isLong { publisher.pointee.tracks[source].keyframes.want() }
        }
    }

    private func writeKeyframeRequests(
        _ session: UnsafeMutablePointer<PeerSession>, _ publisher: UnsafeMutablePointer<PublisherSide>,
        _ writer: inout RTCPWriter, _ now: UInt64
    ) {
        for track in 0..<publisher.pointee.trackCount {
            let incoming = publisher.pointee.tracks + track
            guard publisher.pointee.canAsk(track), incoming.pointee.keyframes.take(now: now) else { continue }
            session.pointee.counters.keyframeRequests &+= 1
            let fanout = session.pointee.fanout
            if incoming.pointee.keyframes.isIgnored, !fanout.pointee.layers.isLayered {
                fanout.pointee.noteIgnoredRequest(now: now)
            }
            let sender = session.pointee.localSSRC
            if incoming.pointee.spec.feedback.pli {
                append(session, &writer, now) { $0.pictureLoss(sender: sender, media: incoming.pointee.ssrc) }
            } else {
                // Under its old number a command is only a repeat, which a source that has answered ignores (RFC 5104 §4.3.1.2).
                if !incoming.pointee.keyframes.isRepeat { incoming.pointee.fullIntraNumber &+= 1 }
                append(session, &writer, now) {
                    $0.fullIntra(sender: sender, target: incoming.pointee.ssrc, number: incoming.pointee.fullIntraNumber)
                }
            }
        }
    }

    private func writeTransportFeedback(
        _ session: UnsafeMutablePointer<PeerSession>, _ publisher: UnsafeMutablePointer<PublisherSide>,
        _ writer: inout RTCPWriter, _ now: UInt64
    ) {
        guard publisher.pointee.sendsTransportFeedback, publisher.pointee.transportFeedback.isDue(now: now) else { return }
        var media: UInt32 = 0
        for track in 0..<publisher.pointee.trackCount where publisher.pointee.tracks[track].isLatched {
            media = publisher.pointee.tracks[track].ssrc
        }
        // Several messages only after a burst or a hole; each covers up to 400 numbers of a window of 2048.
        for _ in 0..<8 where publisher.pointee.transportFeedback.pending > 0 {
            append(session, &writer, now) {
                publisher.pointee.transportFeedback.write(to: &$0, sender: session.pointee.localSSRC, media: media, now: now)
            }
        }
    }

    private func writeEstimate(
        _ session: UnsafeMutablePointer<PeerSession>, _ publisher: UnsafeMutablePointer<PublisherSide>,
        _ writer: inout RTCPWriter, _ now: UInt64
    ) {
        var sources = InlineArray<8, UInt32>(repeating: 0)
        var count = 0
        for track in 0..<publisher.pointee.trackCount
        where publisher.pointee.tracks[track].isLatched && publisher.pointee.tracks[track].spec.feedback.remb {
            sources[count] = publisher.pointee.tracks[track].ssrc
            count += 1
        }
        guard count > 0 else { return }
        append(session, &writer, now) { writer in
            withUnsafeBytes(of: sources) { raw in
                writer.estimatedBitrate(
                    sender: session.pointee.localSSRC, bitsPerSecond: publisherBitrateMax,
                    sources: UnsafeBufferPointer(rebasing: raw.bindMemory(to: UInt32.self)[0..<count]))
            }
        }
    }

    /// Encrypts a compound and queues it; an empty one is nothing.
    func sendReports(_ writer: RTCPWriter, _ session: UnsafeMutablePointer<PeerSession>) {
        guard writer.count > 0, let address = session.pointee.withTransport({ $0.selectedAddress }) else { return }
        let arena = session.pointee.arena
        let place = arena.pointee.place()
        let count = session.pointee.withTransport { $0.protectRTCP(writer.bytes, into: place) }
        arena.pointee.commit(count, to: address, owner: 0)
    }

    /// BYE for what we sent, before the transport closes; never on pauses or switches (RFC 3550 §6.6).
    func sayGoodbye(_ session: UnsafeMutablePointer<PeerSession>) {
        var writer = RTCPWriter(reportScratch)
        if let viewer = session.pointee.viewer {
            writer.receiverReport(sender: session.pointee.localSSRC, blocks: 0) { _ in ReportBlock.none }
            for track in 0..<viewer.pointee.trackCount {
                let outgoing = viewer.pointee.tracks + track
                outgoing.pointee.cname.withBytes { writer.sourceDescription(ssrc: outgoing.pointee.ssrc, cname: $0) }
                writer.goodbye(ssrc: outgoing.pointee.ssrc)
                guard let repair = outgoing.pointee.repair, repair.packets > 0 else { continue }
                outgoing.pointee.cname.withBytes { writer.sourceDescription(ssrc: repair.ssrc, cname: $0) }
                writer.goodbye(ssrc: repair.ssrc)
            }
        } else {
            beginCompound(&writer, session, withBlocks: false, 0)
            writer.goodbye(ssrc: session.pointee.localSSRC)
        }
        sendReports(writer, session)
    }
}

extension ReportBlock {
    /// A block that is never written.
    fileprivate static let none = ReportBlock(
        ssrc: 0, fractionLost: 0, cumulativeLost: 0, highestSequence: 0, jitter: 0, lastReport: 0, delaySinceLastReport: 0)
}
