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
    /// Added to the layer's timestamps, but for those of a group that runs faster.
    var timestamp: UInt32 = 0
    var rerun = Rerun()
    /// Added to what the payload itself numbers.
    var picture = PictureShift()
    /// The place of the format that it is sent in, among the viewer's.
    var format: UInt8 = 0

    /// Positions are counted alike.
    @inline(__always)
    func isSameLayer(_ other: LayerShift) -> Bool { track == other.track && cell == other.cell && take == other.take }

    /// A timestamp of the layer as the viewer sees it.
    @inline(__always)
    func moved(_ timestamp: UInt32) -> UInt32 {
        self.timestamp &+ (rerun.covers(timestamp) ? rerun.last &- rerun.room &+ rerun.ticks(timestamp) : timestamp)
    }
}

/// Timestamps of a group that a viewer is shown long after it came: they pass at the pace of the clock while the pictures run several times
/// as fast, until those are live. From there on nothing is later than it would be without, so lips stay in step, and all along a picture
/// comes when its timestamp says. Players take that for a stream with many pictures.
struct Rerun: Equatable {
    /// What is younger goes out at once.
    static let leastNs: UInt64 = 2_000_000_000
    /// How much faster the pictures run, and how long at most.
    static let speed: UInt64 = 6
    static let mostNs: UInt64 = 5_000_000_000
    /// Of what is older than this the rest goes out at once.
    private static let ageMaxNs: UInt64 = 3_600_000_000_000

    /// The first timestamp, and how many ticks there are to where the pictures are live; no ticks where all goes out at once.
    private(set) var first: UInt32 = 0
    private(set) var span: UInt32 = 0
    /// The ticks that the viewer sees pass meanwhile.
    private(set) var room: UInt32 = 0

    /// All goes out at once, with the timestamps that it came with.
    init() {}

    /// - Parameter ageNs: how long ago the first came.
    init(from first: UInt32, ageNs: UInt64, clockRate: UInt32) {
        func ticks(_ ns: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: ns / 1000 &* UInt64(clockRate) / 1_000_000) }
        let ageNs = min(ageNs, Self.ageMaxNs)
        self.first = first
        room = ticks(min(ageNs / (Self.speed - 1), Self.mostNs)) &+ 1
        span = ticks(ageNs) &+ room
    }

    var last: UInt32 { first &+ span }

    @inline(__always)
    func covers(_ timestamp: UInt32) -> Bool { span != 0 && timestamp &- first <= span }

    /// When one of its timestamps is shown, in ticks after the one that was the newest: 1 to ``room``.
    func ticks(_ timestamp: UInt32) -> UInt32 {
        1 + UInt32(UInt64(timestamp &- first) * UInt64(room &- 1) / UInt64(span))
    }
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
