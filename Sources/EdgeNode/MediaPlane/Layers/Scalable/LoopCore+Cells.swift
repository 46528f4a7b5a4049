/// Sending a viewer some of the layers within a source: its one track goes over to another cell where pictures allow it.
extension LoopCore {
    // MARK: Choosing

    /// A source shows layers: from now on it is looked what comes of them.
    @inline(__always)
    func beginCells(_ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64) {
        guard fanout.pointee.layers.nextTickNs == .max else { return }
        fanout.pointee.layers.nextTickNs = now &+ LayerBoard.tickNs
        wheel.pointee.hasten(fanout.pointee.timer, to: fanout.pointee.layers.nextTickNs)
    }

    /// Sets the cell that a viewer is to get from the next picture on that allows it; asks for a keyframe where no other picture will.
    func followCells(
        _ outgoing: UnsafeMutablePointer<OutgoingTrack>, _ viewer: UnsafeMutablePointer<ViewerSide>,
        _ fanout: UnsafeMutablePointer<Fanout>, _ now: UInt64
    ) {
        let layer = outgoing.pointee.layer
        guard layer >= 0, !viewer.pointee.isNode, fanout.pointee.tracks[layer].offersCells,
            let scalable = fanout.pointee.tracks[layer].scalable
        else { return }
        let wanted = outgoing.pointee.wantedCell
        let current = wanted == LayerGrid.whole ? nil : Int(wanted)
        guard let target = viewer.pointee.follower.target(on: scalable.pointee.board, current: current, now: now) else { return }
        outgoing.pointee.wantedCell = UInt8(target)
        if scalable.pointee.needsKeyframe(from: outgoing.pointee.cell, to: outgoing.pointee.wantedCell) {
            wantKeyframes(fanout, tracks: 1 << UInt64(layer), now)
        }
    }

    // MARK: Sending

    /// Sends what a viewer's cell has of a packet.
    func sendCell(
        _ slot: UnsafePointer<PacketSlot>, _ scalable: UnsafeMutablePointer<ScalableTrack>,
        _ track: UnsafeMutablePointer<FanoutTrack>, _ outgoing: UnsafeMutablePointer<OutgoingTrack>,
        _ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64
    ) {
        guard let (stretch, sequence) = outgoing.pointee.take(slot.pointee.index, scalable) else { return }
        withPart(of: slot, stretch.cell, track) { sendFirst($0, sequence: sequence, track, outgoing, session, now) }
    }

    /// Calls `body` with a packet as a viewer of a cell gets it; not at all when it gets nothing.
    @inline(__always)
    func withPart(
        of slot: UnsafePointer<PacketSlot>, _ cell: UInt8, _ track: UnsafeMutablePointer<FanoutTrack>,
        _ body: (UnsafePointer<PacketSlot>) -> Void
    ) {
        guard let scalable = track.pointee.scalable else { return body(slot) }
        var part = slot.pointee
        switch scalable.pointee.part(of: slot.pointee.index, in: cell) {
        case .asItIs: return body(slot)
        case .nothing: return
        case .ending: part.flags.insert(.marker)
        case .filler: part = PacketSlot(index: part.index, arrivalNs: part.arrivalNs, timestamp: part.timestamp, flags: .filler)
        }
        withUnsafePointer(to: part) { body($0) }
    }

    /// The position of what a stretch counts as its `number`th packet; 0 when it is forgotten.
    func position(_ number: UInt64, _ shift: LayerShift, _ track: UnsafeMutablePointer<FanoutTrack>) -> UInt64 {
        track.pointee.scalable?.pointee.position(of: number, in: shift.cell) ?? number
    }
}
