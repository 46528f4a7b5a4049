import Media

/// Finds when pictures are decoded that come in decoding order and only say when they are shown (RFC 6184 5.1, RFC 7798 4.1).
///
/// The n-th picture is decoded when the n-th earliest is shown. So decoding times run on without a gap, the first picture of a group is
/// decoded when it is shown, and no presentation time is ever moved. To know the n-th earliest, as many pictures are held back as may
/// precede another that is shown before them: what the bitstream tells, else what has been seen. Without B-frames none is.
struct PictureOrder {
    /// A picture with its times, in RTP ticks.
    struct Placed {
        let unit: AccessUnit
        /// When it is shown.
        let timestamp: Int64
        /// When it is decoded; rises from picture to picture.
        let decodingTime: Int64
    }

    /// H.264 and H.265 allow no more.
    static let depthMax = 16
    /// A sender's clock may slip once; more often it means what it says.
    static let slipsMax = 2

    private var depth = 0
    /// What the bitstream tells; nil while it tells nothing.
    private var toldDepth: Int?
    private var queue: [(unit: AccessUnit, timestamp: Int64)] = []
    /// When the pictures are shown whose turn to give a decoding time has not come; rising.
    private var times: [Int64] = []
    /// The last pictures' times, as many as may be shown after one that follows; rising.
    private var recent: [Int64] = []
    private var last: Int64?
    /// When the last two random access points are shown: nothing behind the later is shown before the earlier.
    private var syncs: [Int64] = []
    private var slips = 0

    /// Takes the next picture in decoding order.
    mutating func push(_ unit: AccessUnit) {
        if unit.isSync, let format = unit.format {
            toldDepth = format.reorderedSamplesMax
            if let toldDepth { depth = max(min(toldDepth, Self.depthMax), toldDepth == 0 ? 0 : depth) }
        }
        let timestamp = accepted(unit.timestamp)
        if unit.isSync { syncs = syncs.suffix(1) + [timestamp] }
        queue.append((unit, timestamp))
        times.insert(timestamp, at: times.lastIndex { $0 < timestamp }.map { $0 + 1 } ?? 0)
        recent.insert(timestamp, at: recent.lastIndex { $0 < timestamp }.map { $0 + 1 } ?? 0)
        if recent.count > Self.depthMax + 1 { recent.removeFirst() }
    }

    /// The next picture whose decoding time is known; `all` waits for nothing any more.
    mutating func pop(all: Bool = false) -> Placed? {
        guard queue.count > (all ? 0 : depth), !times.isEmpty else { return nil }
        let (unit, timestamp) = queue.removeFirst()
        let earliest = times.removeFirst()
        // Only where more pictures were shown out of turn than anyone had told is a time in the past.
        let time = max(earliest, (last ?? .min) &+ (last == nil ? 0 : 1))
        last = time
        return Placed(unit: unit, timestamp: timestamp, decodingTime: time)
    }

    /// When a picture is shown: as it says, unless that cannot be.
    private mutating func accepted(_ timestamp: Int64) -> Int64 {
        guard let newest = recent.last, timestamp <= newest else { return timestamp }
        let later = recent.count - (recent.lastIndex { $0 <= timestamp }.map { $0 + 1 } ?? 0)
        let isBeforeGroup = syncs.count == 2 && timestamp <= syncs[0]
        guard toldDepth != 0, later <= Self.depthMax, !isBeforeGroup, !recent.contains(timestamp) else { return newest + 1 }
        guard later > depth else { return timestamp }
        if toldDepth != nil, slips < Self.slipsMax {
            slips += 1
            return newest + 1
        }
        depth = later
        return timestamp
    }
}
