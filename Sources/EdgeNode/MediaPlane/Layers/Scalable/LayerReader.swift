/// Reads what each packet of a source is among the source's layers, in the order of their positions or nearly so.
///
/// AV1 says it in a dependency descriptor, VP9 in its payload descriptor; a packet that says nothing belongs to all cells.
struct LayerReader: ~Copyable {
    private struct Frame {
        var number: UInt16 = 0
        var targets: UInt16 = 0
        var position: UInt64 = 0
    }

    private var structure = DependencyStructure()
    /// The decode target of each cell.
    private var targetOfCell = InlineArray<9, UInt32>(repeating: 0)
    /// The last frames by their numbers.
    private var frames = InlineArray<64, Frame>(repeating: Frame())
    /// VP9's highest layers so far.
    private var spatialTop = 0
    private var temporalTop = 0
    private var hasVP9Layers = false
    /// Higher spatial layers refer to lower ones in keyframes only (the KEY modes).
    private var isIndependent = false
    /// The source has pictures, other than keyframes, at which a higher cell can be gone over to.
    private(set) var hasSwitchPoints = false
    /// Cells that can be chosen, each different from the others.
    private(set) var cells: UInt16 = 0
    /// For each cell those whose packets all belong to it, too.
    private var contained = InlineArray<9, UInt16>(repeating: 0)
    private(set) var sizes = InlineArray<3, PictureSize>(repeating: PictureSize())

    /// - Parameter isNewest: nothing behind it has been read. Only such a packet changes what is known of the source.
    mutating func read(
        _ codec: CodecID, _ payload: Span<UInt8>, descriptor: UnsafeRawBufferPointer, at position: UInt64, isKeyframe: Bool,
        isNewest: Bool
    ) -> PacketLayer {
        var layer = PacketLayer()
        if !descriptor.isEmpty {
            readDescriptor(descriptor, at: position, isNewest, &layer)
        } else if codec == .vp9, let told = VP9Layer(payload), told.hasIndices {
            readVP9(told, isKeyframe: isKeyframe, isNewest, &layer)
        }
        if isKeyframe {
            (layer.startsFrame, layer.keepsSpatial) = (true, false)
            (layer.switches, layer.reachable, layer.oldestReference) = (LayerGrid.all, LayerGrid.all, .max)
        }
        return layer
    }

    /// Whether whoever is sent a cell may go down to another one at any picture.
    func contains(_ cell: UInt8, _ inner: UInt8) -> Bool {
        cell == LayerGrid.whole || (inner != LayerGrid.whole && contained[Int(cell)] & LayerGrid.bit(Int(inner)) != 0)
    }

    /// The cell with everything.
    var top: UInt8 { cells == 0 ? LayerGrid.whole : UInt8(15 - cells.leadingZeroBitCount) }

    /// There are temporal layers only.
    var hasOneSize: Bool { cells & ~LayerGrid.row(0, from: 0) == 0 }

    // MARK: Dependency descriptors

    private mutating func readDescriptor(
        _ bytes: UnsafeRawBufferPointer, at position: UInt64, _ isNewest: Bool, _ layer: inout PacketLayer
    ) {
        let isTold = FrameDependencies.bringStructure(bytes)
        let read: FrameDependencies?
        if isNewest || !isTold {
            read = FrameDependencies(bytes, &structure)
            if isTold, read != nil { describe() }
        } else {
            var old = structure
            read = FrameDependencies(bytes, &old)
        }
        guard let read else { return }
        layer.targets = cells(read.frame.targets)
        layer.startsFrame = read.startsFrame
        layer.spatial = UInt8(LayerGrid.clamped(read.frame.spatial))
        layer.temporal = UInt8(LayerGrid.clamped(read.frame.temporal))
        if read.endsFrame { layer.ends = LayerGrid.row(Int(layer.spatial), from: 0) & layer.targets }
        guard read.startsFrame else { return }
        layer.switches = cells(read.frame.switches)
        (layer.reachable, layer.oldestReference) = reach(read)
        if layer.switches != 0, read.frame.references != 0 { hasSwitchPoints = true }
        frames[Int(read.number & 63)] = Frame(number: read.number, targets: layer.targets, position: position)
    }

    /// The cells whose viewers have all frames that this one refers to, and where the oldest of those is.
    private func reach(_ read: FrameDependencies) -> (cells: UInt16, oldest: UInt64) {
        var found: (cells: UInt16, oldest: UInt64) = (read.refersFar ? 0 : LayerGrid.all, .max)
        var references = read.frame.references
        while references != 0 {
            let number = read.number &- UInt16(references.trailingZeroBitCount) &- 1
            let frame = frames[Int(number & 63)]
            guard frame.number == number, frame.position != 0 else { return (0, 0) }
            found.cells &= frame.targets
            found.oldest = min(found.oldest, frame.position)
            references &= references &- 1
        }
        return found
    }

    private func cells(_ targets: UInt32) -> UInt16 {
        var found: UInt16 = 0
        for cell in 0..<LayerGrid.cellCount where targets & (1 << targetOfCell[cell]) != 0 { found |= LayerGrid.bit(cell) }
        return found
    }

    /// Lays the decode targets of a new structure out on the grid. A cell without one gets the best below it, so that nobody who follows it
    /// is left without pictures.
    private mutating func describe() {
        cells = 0
        var best = InlineArray<9, (spatial: UInt8, temporal: UInt8)>(repeating: (0, 0))
        targetOfCell = InlineArray(repeating: UInt32(structure.targetCount - 1))
        for target in 0..<structure.targetCount {
            let layers = structure.layers(ofTarget: target)
            let (spatial, temporal) = (LayerGrid.clamped(layers.spatial), LayerGrid.clamped(layers.temporal))
            let own = LayerGrid.cell(spatial, temporal)
            let isKnown = cells & LayerGrid.bit(own) != 0
            if isKnown, (layers.spatial, layers.temporal) < best[own] { continue }
            cells |= LayerGrid.bit(own)
            best[own] = layers
            targetOfCell[own] = UInt32(target)
        }
        for cell in 0..<LayerGrid.cellCount where cells & LayerGrid.bit(cell) == 0 {
            let below = (0..<cell).last { cells & LayerGrid.bit($0) != 0 && $0 % 3 <= cell % 3 }
            targetOfCell[cell] = targetOfCell[below ?? cells.trailingZeroBitCount]
        }
        for outer in 0..<LayerGrid.cellCount {
            contained[outer] = 0
            for inner in 0..<LayerGrid.cellCount
            where structure.contains(Int(targetOfCell[outer]), Int(targetOfCell[inner])) {
                contained[outer] |= LayerGrid.bit(inner)
            }
        }
        for spatial in 0..<sizes.count { sizes[spatial] = structure.sizes[spatial] }
    }

    /// Whether a cell is being sent, as far as descriptors tell.
    func isSent(_ cell: Int) -> Bool {
        !structure.isKnown || structure.activeTargets & (1 << targetOfCell[cell]) != 0
    }

    // MARK: VP9

    private mutating func readVP9(_ read: VP9Layer, isKeyframe: Bool, _ isNewest: Bool, _ layer: inout PacketLayer) {
        let (spatial, temporal) = (LayerGrid.clamped(read.spatial), LayerGrid.clamped(read.temporal))
        if isNewest { describe(read, spatial, temporal) }
        layer.spatial = UInt8(spatial)
        layer.temporal = UInt8(temporal)
        layer.startsFrame = read.startsFrame
        layer.targets = LayerGrid.row(spatial, from: temporal)
        if spatial < spatialTop, read.isReferredToAbove {
            layer.targets |= LayerGrid.rows(from: spatial + 1, temporal)
        } else if spatial >= spatialTop {
            layer.targets |= LayerGrid.rows(from: spatial, temporal)
        }
        if read.endsFrame { layer.ends = LayerGrid.row(spatial, from: 0) & layer.targets }
        guard read.startsFrame, read.isSwitchPoint else { return }
        layer.switches = LayerGrid.rows(from: 0, temporal)
        layer.reachable = layer.switches
        layer.keepsSpatial = true
        if isNewest, !isKeyframe { hasSwitchPoints = true }
    }

    private mutating func describe(_ read: VP9Layer, _ spatial: Int, _ temporal: Int) {
        let known = (hasVP9Layers, spatialTop, temporalTop, isIndependent)
        hasVP9Layers = true
        if read.spatialCount > 0 { spatialTop = min(read.spatialCount, LayerGrid.spatialCount) - 1 }
        spatialTop = max(spatialTop, spatial)
        temporalTop = max(temporalTop, temporal)
        if read.isPredicted, spatial < spatialTop { isIndependent = !read.isReferredToAbove }
        for each in 0..<sizes.count where each < read.spatialCount && read.sizes[each].isKnown { sizes[each] = read.sizes[each] }
        if known != (true, spatialTop, temporalTop, isIndependent) { layOut() }
    }

    private mutating func layOut() {
        cells = 0
        for spatial in 0...spatialTop {
            for temporal in 0...temporalTop { cells |= LayerGrid.bit(LayerGrid.cell(spatial, temporal)) }
        }
        for cell in 0..<LayerGrid.cellCount {
            let (spatial, temporal) = (LayerGrid.spatial(of: cell), cell % LayerGrid.temporalCount)
            contained[cell] = 0
            for lower in isIndependent ? spatial...spatial : 0...spatial {
                contained[cell] |= LayerGrid.row(lower, from: 0) & ~(LayerGrid.row(lower, from: 0) << UInt16(temporal + 1))
            }
        }
    }
}
