/// A track whose one source has layers: what each of its last packets belongs to, and how the packets of each cell are numbered.
///
/// The packets of a cell have numbers without holes: a packet's position less how many before it the cell leaves out. What never came is
/// counted in, for nobody knows what it was; if it comes late and the cell leaves it out, its number goes to a filler. So a cell is
/// to a viewer's numbers what a track of its own would be, and costs the viewer nothing.
struct ScalableTrack: ~Copyable {
    private struct Place {
        var position: UInt64 = 0
        var layer = PacketLayer()
        var startsPicture = false
        var isKeyframe = false
        /// It came when later ones had been counted.
        var isLate = false
        /// Packets that each cell has left out up to here.
        var left = InlineArray<9, UInt64>(repeating: 0)
    }

    private var places: UnsafeMutablePointer<Place>
    private var capacity: Int
    /// The first position that was noted, and the last.
    private var first: UInt64 = 0
    private var last: UInt64 = 0
    private var lastTimestamp: UInt32 = 0
    private(set) var reader = LayerReader()
    var board = LayerBoard()
    private var bytes = InlineArray<9, UInt64>(repeating: 0)
    /// Of each spatial layer: how many frames came, and when the last one did.
    private var frames = InlineArray<3, UInt64>(repeating: 0)
    private var lastMediaNs = InlineArray<3, UInt64>(repeating: 0)
    /// How many there were when the last one of a cell's own temporal layer came.
    private var framesAtLast = InlineArray<9, UInt64>(repeating: 0)
    /// A temporal layer that so many frames were not of is left out by the encoder. Time would not tell: at a picture a second it is long between two.
    private static let silentFrames: UInt64 = 24

    /// - Parameter capacity: the ring's, a power of two.
    init(capacity: Int) {
        self.capacity = capacity
        places = .allocate(capacity: capacity)
        places.initialize(repeating: Place(), count: capacity)
    }

    deinit { places.deallocate() }

    /// As many places as a ring that has grown.
    mutating func grow(to capacity: Int) {
        guard capacity > self.capacity else { return }
        let grown = UnsafeMutablePointer<Place>.allocate(capacity: capacity)
        grown.initialize(repeating: Place(), count: capacity)
        for old in 0..<self.capacity where places[old].position != 0 {
            grown[Int(truncatingIfNeeded: places[old].position) & (capacity - 1)] = places[old]
        }
        places.deallocate()
        places = grown
        self.capacity = capacity
    }

    /// Another source begins; positions go on.
    mutating func beginSource() {
        reader = LayerReader()
        lastMediaNs = InlineArray(repeating: 0)
        framesAtLast = InlineArray(repeating: 0)
        board = LayerBoard()
    }

    @inline(__always)
    private func place(_ position: UInt64) -> UnsafeMutablePointer<Place> {
        places + (Int(truncatingIfNeeded: position) & (capacity - 1))
    }

    @inline(__always)
    private func known(_ position: UInt64) -> UnsafeMutablePointer<Place>? {
        let place = place(position)
        return position != 0 && place.pointee.position == position ? place : nil
    }

    // MARK: In

    /// Takes a packet that was stored; each position once.
    mutating func note(_ slot: PacketSlot, _ codec: CodecID, _ payload: Span<UInt8>, descriptor: UnsafeRawBufferPointer) {
        let isNewest = slot.index > last
        // Of a place that wasn't counted nothing is known.
        guard isNewest || known(slot.index) != nil else { return }
        let isFiller = slot.flags.contains(.filler)
        let isKeyframe = slot.flags.contains(.keyframeStart)
        let layer =
            isFiller
            ? PacketLayer()
            : reader.read(codec, payload, descriptor: descriptor, at: slot.index, isKeyframe: isKeyframe, isNewest: isNewest)
        if isNewest { count(slot, layer) }
        let place = place(slot.index)
        place.pointee.layer = layer
        place.pointee.isLate = !isNewest
        place.pointee.isKeyframe = isKeyframe
        guard !isFiller else { return }
        place.pointee.startsPicture = isNewest && layer.startsFrame && (slot.timestamp != lastTimestamp || isKeyframe)
        if isNewest { lastTimestamp = slot.timestamp }
        let size = UInt64(payload.count + RTPHeader.fixedBytes)
        for cell in 0..<LayerGrid.cellCount where layer.targets & LayerGrid.bit(cell) != 0 { bytes[cell] &+= size }
        let spatial = Int(layer.spatial)
        lastMediaNs[spatial] = slot.arrivalNs
        if layer.startsFrame { frames[spatial] &+= 1 }
        framesAtLast[LayerGrid.cell(spatial, Int(layer.temporal))] = max(frames[spatial], 1)
    }

    /// Counts the newest packet, and those that are missing before it.
    private mutating func count(_ slot: PacketSlot, _ layer: PacketLayer) {
        var left = last == 0 ? InlineArray<9, UInt64>(repeating: 0) : place(last).pointee.left
        if last == 0 { first = slot.index }
        let missing =
            last == 0 ? slot.index : max(last &+ 1, slot.index > UInt64(capacity) ? slot.index &- UInt64(capacity) &+ 1 : 1)
        for position in missing..<slot.index {
            let place = place(position)
            place.pointee = Place(position: position)
            place.pointee.left = left
        }
        for cell in 0..<LayerGrid.cellCount where layer.targets & LayerGrid.bit(cell) == 0 { left[cell] &+= 1 }
        let place = place(slot.index)
        place.pointee.position = slot.index
        place.pointee.left = left
        last = slot.index
    }

    // MARK: Numbers

    /// The number that a position has, or would have, among the packets of a cell.
    func number(of position: UInt64, in cell: UInt8) -> UInt64 {
        guard cell != LayerGrid.whole, position >= first, first != 0 else { return position }
        if let known = known(position) { return position &- known.pointee.left[Int(cell)] }
        // What lies ahead is counted as if all of it belonged to the cell.
        return position &- place(last).pointee.left[Int(cell)]
    }

    /// The position that has a number among the packets of a cell, of those with the same one the first; 0 when it is forgotten.
    func position(of number: UInt64, in cell: UInt8) -> UInt64 {
        guard cell != LayerGrid.whole, number >= first, first != 0 else { return number }
        var low = max(first, last >= UInt64(capacity) ? last - UInt64(capacity) + 1 : 1)
        var high = last
        while low < high {
            let middle = low + (high - low) / 2
            if self.number(of: middle, in: cell) < number { low = middle + 1 } else { high = middle }
        }
        return self.number(of: low, in: cell) == number ? low : 0
    }

    // MARK: Out

    /// What of a packet goes to a viewer of a cell.
    enum Part {
        case asItIs
        /// With the marker: the picture ends here for this viewer.
        case ending
        /// It is left out, but the number was given away when it was missing.
        case filler
        case nothing
    }

    @inline(__always)
    func part(of position: UInt64, in cell: UInt8) -> Part {
        guard cell != LayerGrid.whole, let known = known(position) else { return .asItIs }
        let bit = LayerGrid.bit(Int(cell))
        if known.pointee.layer.targets & bit == 0 { return known.pointee.isLate ? .filler : .nothing }
        return known.pointee.layer.ends & bit != 0 ? .ending : .asItIs
    }

    /// Whether a viewer who has had one cell since a position gets, from this one on, another cell that can be decoded.
    func maySwitch(at position: UInt64, from cell: UInt8, to other: UInt8, since: UInt64) -> Bool {
        guard let known = known(position), known.pointee.layer.startsFrame else { return false }
        if known.pointee.isKeyframe { return known.pointee.startsPicture }
        guard other != LayerGrid.whole else { return false }
        if reader.contains(cell, other) { return known.pointee.startsPicture }
        let layer = known.pointee.layer
        let (from, to) = (LayerGrid.bit(Int(cell)), LayerGrid.bit(Int(other)))
        let isSameSize = LayerGrid.spatial(of: Int(cell)) == LayerGrid.spatial(of: Int(other))
        guard layer.switches & layer.targets & to != 0, layer.reachable & from != 0, layer.oldestReference >= since else {
            return false
        }
        // Going over between the frames of a picture would end it twice.
        return isSameSize || (known.pointee.startsPicture && !layer.keepsSpatial)
    }

    /// Whether another cell can only be gone over to at a keyframe, as far as the source has shown.
    func needsKeyframe(from cell: UInt8, to other: UInt8) -> Bool {
        guard cell != LayerGrid.whole, other != LayerGrid.whole else { return other == LayerGrid.whole && cell != other }
        if reader.contains(cell, other) { return false }
        return !reader.hasSwitchPoints || LayerGrid.spatial(of: Int(cell)) != LayerGrid.spatial(of: Int(other))
    }

    // MARK: The board

    /// Looks what comes of each cell.
    mutating func update(_ tracks: UnsafeMutablePointer<FanoutTrack>, of own: Int, count: Int, now: UInt64) {
        var readings = InlineArray<9, LayerReading>(repeating: LayerReading(bytes: 0, lastMediaNs: 0, size: PictureSize()))
        for cell in 0..<LayerGrid.cellCount {
            let spatial = LayerGrid.spatial(of: cell)
            let size = reader.sizes[spatial]
            let isSent =
                framesAtLast[cell] != 0 && frames[spatial] &- framesAtLast[cell] < Self.silentFrames && reader.isSent(cell)
            readings[cell] = LayerReading(
                bytes: bytes[cell], lastMediaNs: isSent ? lastMediaNs[spatial] : 0,
                size: size.isKnown || !reader.hasOneSize ? size : tracks[own].keyframeSize)
        }
        board.list(cells: reader.cells, tracks, of: own, count: count) { readings[$0].bytes }
        board.update(tracks, now: now) { readings[$0] }
    }
}
