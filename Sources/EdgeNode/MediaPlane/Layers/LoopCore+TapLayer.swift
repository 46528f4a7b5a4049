/// Giving readers of a stream one of its layers.
extension LoopCore {
    /// Whether readers are to get a packet; tells them of the change when it is the first of another layer.
    @inline(__always)
    func isForTaps(_ packet: IncomingPacket, track source: Int, _ fanout: UnsafeMutablePointer<Fanout>) -> Bool {
        let track = source < MediaLimits.tracksPerStream ? Int(fanout.pointee.trackOfSource[source]) : -1
        guard track >= 0, fanout.pointee.layers.isLayer(track) else { return true }
        switch fanout.pointee.tapLayer.take(track, isKeyframe: packet.flags.contains(.keyframeStart)) {
        case .give: return true
        case .leave: return false
        case .change:
            fanout.pointee.outlets.forEach {
                guard $0.isTap else { return }
                pushTapSource(fanout, to: $0)
                pushLeadIn(to: packet, fanout.pointee.tracks + track, of: source, fanout, $0)
            }
            return true
        }
    }

    /// The keyframe that a reader begins at needs the parameter sets that came before it, while another layer was given.
    private func pushLeadIn(
        to packet: IncomingPacket, _ track: UnsafeMutablePointer<FanoutTrack>, of source: Int,
        _ fanout: UnsafeMutablePointer<Fanout>, _ pipe: PacketPipe
    ) {
        guard let epoch = fanout.pointee.publisher?.pointee.publisher?.pointee.epoch,
            let leadIn = track.pointee.leadIn(to: packet)
        else { return }
        for index in leadIn {
            guard let (packet, payload) = track.pointee.original(at: index) else { continue }
            if !pipe.push(PipeEntry(packet, track: source, epoch: epoch), payload: payload, descriptor: packet.descriptor) {
                counters.pointee.count(.pipeFull)
            }
        }
    }

    /// Tells a reader what it gets: everything but the layers that it doesn't.
    func pushTapSource(_ fanout: UnsafeMutablePointer<Fanout>, to pipe: PacketPipe) {
        guard let publisher = fanout.pointee.publisher?.pointee.publisher else { return }
        let given = tapSources(fanout)
        let tracks = publisher.pointee.description.enumerated().filter { given & (1 << UInt64($0.offset)) != 0 }.map(\.element)
        // A number of its own, since loops with viewers know nothing of this change.
        let epoch = fanout.pointee.layers.isLayered ? directory.nextEpoch() : publisher.pointee.epoch
        pipe.pushSource(epoch: epoch, tracks: tracks, restarted: .max, canAsk: publisher.pointee.canAskAny)
        pipe.publish()
    }

    /// Bits of the source's tracks that readers get.
    func tapSources(_ fanout: UnsafeMutablePointer<Fanout>) -> UInt64 {
        let layer = fanout.pointee.tapLayer.track
        let others = ~fanout.pointee.layers.mask
        return fanout.pointee.sources(ofTracks: layer >= 0 ? others | 1 << UInt64(layer) : others)
    }

    /// Has the best layer that comes given to readers, from its next keyframe on.
    func followTaps(_ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64) {
        guard fanout.pointee.publisher != nil, fanout.pointee.outlets.hasTap,
            fanout.pointee.tapLayer.follow(fanout.pointee.layers, now: now)
        else { return }
        wantKeyframes(fanout, tracks: 1 << UInt64(fanout.pointee.tapLayer.target), now)
    }
}
