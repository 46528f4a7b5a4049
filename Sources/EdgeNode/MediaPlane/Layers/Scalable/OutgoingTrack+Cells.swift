/// What a viewer is sent of a track whose source has layers itself.
extension OutgoingTrack {
    /// Begins a stretch at a keyframe: of the cell that is wanted, or of everything while no cells are known.
    ///
    /// - Returns: false when the viewer is past it.
    mutating func begin(at index: UInt64, of track: UnsafeMutablePointer<FanoutTrack>, shift: LayerShift) -> Bool {
        var (shift, first) = (shift, index)
        (shift.cell, shift.from) = (LayerGrid.whole, index)
        if let scalable = track.pointee.scalable {
            if let newest = map.newest, newest.shift.track == shift.track, index <= passed { return false }
            if track.pointee.offersCells { shift.cell = wantedCell }
            first = scalable.pointee.number(of: index &- 1, in: shift.cell) &+ 1
        }
        guard begin(at: first, shift: shift) else { return false }
        (cell, passed) = (shift.cell, index &- 1)
        return true
    }

    /// Counts a packet among those of its stretch; goes over to the wanted cell first, where that is possible at it.
    ///
    /// - Returns: the stretch and the packet's number; nil where the viewer gets nothing. The number is the packet's only if it is part
    ///   of the stretch's cell.
    mutating func take(_ index: UInt64, _ scalable: UnsafeMutablePointer<ScalableTrack>) -> (
        stretch: LayerShift, sequence: UInt64
    )? {
        if index > passed {
            if cell != wantedCell { goOver(at: index, scalable) }
            passed = index
        }
        guard let stretch = map.stretch(at: index) else { return nil }
        if case .nothing = scalable.pointee.part(of: index, in: stretch.cell) { return nil }
        let number = scalable.pointee.number(of: index, in: stretch.cell)
        guard let sequence = map.sequence(sending: number, of: stretch) else { return nil }
        return (stretch, sequence)
    }

    private mutating func goOver(at index: UInt64, _ scalable: UnsafeMutablePointer<ScalableTrack>) {
        guard scalable.pointee.reader.cells != 0, var shift = map.stretch(at: index),
            scalable.pointee.maySwitch(at: index, from: cell, to: wantedCell, since: shift.from)
        else { return }
        let before = index &- 1
        let through = scalable.pointee.number(of: before, in: cell)
        (shift.cell, shift.from) = (wantedCell, index)
        let first = scalable.pointee.number(of: before, in: wantedCell) &+ 1
        if map.begin(at: first, shift: shift, through: through) { cell = wantedCell }
    }
}
