/// What came of a layer so far.
struct LayerReading {
    var bytes: UInt64
    /// When media of it came last; 0 before the first.
    var lastMediaNs: UInt64
    var size: PictureSize
}

/// What is known of each layer of a source: whether it comes, how much it is, and which is better than which.
///
/// Looked after a few times a second; a packet costs it nothing. All layers of a stream are of one media section: tracks of their own
/// (simulcast), or the cells of a scalable one.
struct LayerBoard {
    struct Layer {
        /// The fanout track that it is, or the cell of one.
        var track: UInt8 = 0
        var rid = ShortText("")
        var meter = BitrateMeter()
        /// Bit rate while it came last, by which layers of unknown size are told apart.
        var rankRate: UInt64 = 0
        var size = PictureSize()
        var isActive = false
        /// Since when it comes without a break.
        var activeSinceNs: UInt64 = 0
    }

    /// How often ``update(_:now:)`` is to be called.
    static let tickNs: UInt64 = 250_000_000
    /// A layer that lags so far behind another one is left out by its sender.
    static let silenceNs: UInt64 = 1_200_000_000

    /// From the lowest to the highest.
    private var layers = InlineArray<9, Layer>(repeating: Layer())
    private(set) var count = 0
    private var otherMeters = InlineArray<8, BitrateMeter>(repeating: BitrateMeter())
    private var others: UInt64 = 0
    var nextTickNs: UInt64 = .max

    /// The fanout tracks that are layers.
    private(set) var mask: UInt64 = 0

    var isLayered: Bool { count > 0 }

    func isLayer(_ track: Int) -> Bool { mask & (1 << UInt64(track)) != 0 }

    /// Layers by rank, 0 the lowest.
    subscript(rank: Int) -> Layer { layers[rank] }

    /// A source begins, or some of its tracks do.
    mutating func begin(tracks: UnsafeMutablePointer<FanoutTrack>, count trackCount: Int, fed: UInt64, restarted: UInt64) {
        var kept = InlineArray<9, Layer>(repeating: Layer())
        var keptCount = 0
        mask = 0
        others = 0
        for track in 0..<trackCount where fed & (1 << UInt64(track)) != 0 {
            guard tracks[track].kind == .video, tracks[track].rid.count > 0 else {
                others |= 1 << UInt64(track)
                otherMeters[track] = BitrateMeter(total: tracks[track].receivedBytes)
                continue
            }
            mask |= 1 << UInt64(track)
            if restarted & (1 << UInt64(track)) == 0, let rank = rank(of: track) {
                kept[keptCount] = layers[rank]
            } else {
                kept[keptCount] = Layer(track: UInt8(track), rid: tracks[track].rid)
                kept[keptCount].meter = BitrateMeter(total: tracks[track].receivedBytes)
            }
            keptCount += 1
        }
        layers = kept
        count = keptCount
        sort()
        if count == 0 { nextTickNs = .max }
    }

    /// The layers are these cells of a scalable track; those that were there before go on.
    mutating func list(
        cells: UInt16, _ tracks: UnsafeMutablePointer<FanoutTrack>, of own: Int, count trackCount: Int, _ bytes: (Int) -> UInt64
    ) {
        var listed: UInt16 = 0
        for rank in 0..<count { listed |= LayerGrid.bit(Int(layers[rank].track)) }
        guard listed != cells else { return }
        var kept = InlineArray<9, Layer>(repeating: Layer())
        var keptCount = 0
        for cell in 0..<LayerGrid.cellCount where cells & LayerGrid.bit(cell) != 0 {
            if let rank = rank(of: cell) {
                kept[keptCount] = layers[rank]
            } else {
                kept[keptCount] = Layer(track: UInt8(cell), rid: ShortText(LayerGrid.name(cell)))
                kept[keptCount].meter = BitrateMeter(total: bytes(cell))
            }
            keptCount += 1
        }
        (layers, count) = (kept, keptCount)
        others = 0
        for track in 0..<trackCount where track != own {
            others |= 1 << UInt64(track)
            otherMeters[track] = BitrateMeter(total: tracks[track].receivedBytes)
        }
    }

    /// Takes what came of simulcast layers since the last call.
    mutating func update(_ tracks: UnsafeMutablePointer<FanoutTrack>, now: UInt64) {
        update(tracks, now: now) {
            LayerReading(bytes: tracks[$0].receivedBytes, lastMediaNs: tracks[$0].lastMediaNs, size: tracks[$0].keyframeSize)
        }
    }

    /// Takes what came since the last call.
    mutating func update(_ tracks: UnsafeMutablePointer<FanoutTrack>, now: UInt64, _ read: (Int) -> LayerReading) {
        var newest: UInt64 = 0
        for rank in 0..<count { newest = max(newest, read(Int(layers[rank].track)).lastMediaNs) }
        for rank in 0..<count {
            let reading = read(Int(layers[rank].track))
            layers[rank].meter.update(total: reading.bytes)
            let last = reading.lastMediaNs
            let isActive = last != 0 && newest &- last < Self.silenceNs
            if isActive, !layers[rank].isActive { layers[rank].activeSinceNs = now }
            layers[rank].isActive = isActive
            if isActive { layers[rank].rankRate = max(layers[rank].meter.bitsPerSecond, layers[rank].rankRate / 8 * 7) }
            if reading.size.isKnown { layers[rank].size = reading.size }
        }
        for track in 0..<8 where others & (1 << UInt64(track)) != 0 {
            otherMeters[track].update(total: tracks[track].receivedBytes)
        }
        sort()
    }

    /// By size where all sizes are known, else by bit rate; insertion keeps the order of equals.
    private mutating func sort() {
        var knowsSizes = true
        for rank in 0..<count where !layers[rank].size.isKnown { knowsSizes = false }
        for end in 1..<max(count, 1) {
            var place = end
            while place > 0, weight(layers[place], knowsSizes) < weight(layers[place - 1], knowsSizes) {
                layers.swapAt(place, place - 1)
                place -= 1
            }
        }
    }

    private func weight(_ layer: Layer, _ knowsSizes: Bool) -> (UInt64, UInt64) {
        (knowsSizes ? layer.size.area : 0, layer.rankRate)
    }

    // MARK: Questions

    var snapshots: [LayerSnapshot] {
        (0..<count).map { rank in
            let layer = layers[rank]
            return LayerSnapshot(
                rid: layer.rid.text, isActive: layer.isActive, bitrate: layer.isActive ? layer.meter.bitsPerSecond : 0,
                width: layer.size.width, height: layer.size.height)
        }
    }

    /// The rank of a fanout track; nil when it is no layer.
    func rank(of track: Int) -> Int? {
        for rank in 0..<count where Int(layers[rank].track) == track { return rank }
        return nil
    }

    func track(rid: ShortText) -> Int? {
        for rank in 0..<count where layers[rank].rid == rid { return Int(layers[rank].track) }
        return nil
    }

    func isActive(_ track: Int) -> Bool { rank(of: track).map { layers[$0].isActive } ?? false }

    func bitsPerSecond(of track: Int) -> UInt64 { rank(of: track).map { layers[$0].meter.bitsPerSecond } ?? 0 }

    /// What the stream's other tracks, sound, take together.
    var otherBitsPerSecond: UInt64 {
        var sum: UInt64 = 0
        for track in 0..<8 where others & (1 << UInt64(track)) != 0 { sum &+= otherMeters[track].bitsPerSecond }
        return sum
    }

    /// The highest layer that comes and takes no more than so much, the lowest that comes if none does; nil while none comes.
    func best(within bitsPerSecond: UInt64) -> Int? {
        var lowest: Int?
        for rank in (0..<count).reversed() where layers[rank].isActive {
            if layers[rank].meter.bitsPerSecond <= bitsPerSecond { return Int(layers[rank].track) }
            lowest = Int(layers[rank].track)
        }
        return lowest
    }

    /// The layer itself if it comes, else the next lower one that does, else the next higher one.
    func nearest(to track: Int) -> Int? {
        guard let rank = rank(of: track) else { return nil }
        for lower in (0...rank).reversed() where layers[lower].isActive { return Int(layers[lower].track) }
        for higher in rank..<count where layers[higher].isActive { return Int(layers[higher].track) }
        return nil
    }
}

/// Bits per second over the last two seconds, from a total that is looked at each ``LayerBoard/tickNs``.
struct BitrateMeter {
    private var ticks = InlineArray<8, UInt64>(repeating: 0)
    private var next = 0
    private var seen = 0
    private var total: UInt64
    private var sum: UInt64 = 0

    init(total: UInt64 = 0) { self.total = total }

    mutating func update(total now: UInt64) {
        sum = sum &- ticks[next] &+ (now &- total)
        ticks[next] = now &- total
        total = now
        next = (next + 1) % ticks.count
        seen = min(seen + 1, ticks.count)
    }

    var bitsPerSecond: UInt64 {
        seen == 0 ? 0 : sum &* 8 &* (1_000_000_000 / LayerBoard.tickNs) / UInt64(seen)
    }
}
