/// How one stretch of a layer is moved onto a viewer's one track: where it comes from, and what is added to its numbers.
///
/// Nothing of it changes while the stretch lasts, so a packet sent again has the same bytes (RFC 7714 §8.1).
struct LayerShift: Equatable {
    /// The fanout track that is sent.
    var track: UInt8 = 0
    /// What of it, where its source has layers itself.
    var cell = LayerGrid.whole
    /// Where the stretch begins on a track with such layers; 0 on others.
    var from: UInt64 = 0
    /// Counts how often a viewer was shown again what it had been sent.
    var take: UInt8 = 0
    /// Added to the layer's timestamps.
    var timestamp: UInt32 = 0
    /// Added to what the payload itself numbers.
    var picture = PictureShift()
    /// The place of the format that it is sent in, among the viewer's.
    var format: UInt8 = 0

    /// Positions are counted alike.
    @inline(__always)
    func isSameLayer(_ other: LayerShift) -> Bool { track == other.track && cell == other.cell && take == other.take }
}

/// What is added to the numbers in payload descriptors of VP8 and VP9 (RFC 7741 §4.2, RFC 9628 §4.2), and in dependency descriptors.
struct PictureShift: Equatable {
    /// Added to the PictureID, modulo its width.
    var pictureID: UInt16 = 0
    /// Added to TL0PICIDX.
    var baseLayerIndex: UInt8 = 0
    /// Added to the frame number of a dependency descriptor.
    var frameNumber: UInt16 = 0

    /// The payload stays as it is.
    @inline(__always)
    var leavesPayload: Bool { pictureID == 0 && baseLayerIndex == 0 }
}
