/// Spatial and temporal layers of one source as a grid of cells: cell (s, t) is what a viewer is sent who gets pictures of spatial layer s
/// at the rate of temporal layer t, a decode target in the words of AV1 RTP (appendix A.2).
///
/// No scalability mode of WebRTC has more than three of either; what lies above is taken for the third.
enum LayerGrid {
    static let spatialCount = 3
    static let temporalCount = 3
    static let cellCount = 9
    static let all: UInt16 = (1 << 9) - 1
    /// Not a cell: everything that comes.
    static let whole: UInt8 = 255

    @inline(__always)
    static func clamped(_ layer: UInt8) -> Int { min(Int(layer), 2) }

    @inline(__always)
    static func cell(_ spatial: Int, _ temporal: Int) -> Int { spatial * temporalCount + temporal }

    @inline(__always)
    static func spatial(of cell: Int) -> Int { cell / temporalCount }

    @inline(__always)
    static func bit(_ cell: Int) -> UInt16 { 1 << UInt16(truncatingIfNeeded: cell) }

    /// The cells of one spatial layer with at least this temporal one.
    @inline(__always)
    static func row(_ spatial: Int, from temporal: Int) -> UInt16 {
        (UInt16(0b111) << UInt16(temporal) & 0b111) << UInt16(spatial * temporalCount)
    }

    /// The same for all spatial layers from one up.
    @inline(__always)
    static func rows(from spatial: Int, _ temporal: Int) -> UInt16 {
        var cells: UInt16 = 0
        for each in spatial..<spatialCount { cells |= row(each, from: temporal) }
        return cells
    }

    /// What the layer resource calls a cell.
    static func name(_ cell: Int) -> String { "S\(cell / temporalCount)T\(cell % temporalCount)" }
}

/// What a packet is among the layers of its source.
struct PacketLayer: Equatable {
    /// Cells that it belongs to.
    var targets = LayerGrid.all
    /// Cells that can be gone over to at the frame that begins here, as far as that frame can be decoded.
    var switches: UInt16 = 0
    /// Cells whose viewers have all that this frame refers to.
    var reachable: UInt16 = 0
    /// Position of the oldest frame that it refers to; `UInt64.max` where it refers to none.
    var oldestReference = UInt64.max
    /// Cells whose picture ends here.
    var ends: UInt16 = 0
    /// Its own layers.
    var spatial: UInt8 = 0
    var temporal: UInt8 = 0
    var startsFrame = false
    /// What may be gone over to has the same spatial layer.
    var keepsSpatial = false
}
