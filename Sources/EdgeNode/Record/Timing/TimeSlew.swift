/// Moves times towards what the sender's reports say, so slowly that nobody sees it.
///
/// What has been said of a time stays true: pictures that come out of order (B-frames) are moved as their neighbours were, so that no two
/// that are shown after each other come apart.
struct TimeSlew {
    /// The most by which a frame's length changes: a tenth, which nobody sees.
    static let divisor: Int64 = 10
    /// Differences of less are left alone: 2 ms at 90 kHz.
    static let deadband: Int64 = 180

    /// How far times are moved at each of these, rising; evenly between two.
    private var points: [(time: Int64, moved: Int64)] = [(0, 0)]

    /// How far the latest time is moved, in ticks.
    var moved: Int64 { points[points.count - 1].moved }

    /// Moves a time, on towards `target` if it is later than all before.
    mutating func move(_ time: Int64, target: Int64?) -> Int64 {
        let latest = points[points.count - 1]
        guard time > latest.time else { return moved(time) }
        var moved = latest.moved
        if let target, abs(target - moved) > Self.deadband {
            let step = (time - latest.time) / Self.divisor
            moved += max(-step, min(step, target - moved))
        }
        points.append((time, moved))
        return time + moved
    }

    /// Times from now on are not below this one.
    mutating func forget(before time: Int64) {
        let first = points.lastIndex { $0.time <= time } ?? 0
        if first > 0 { points.removeFirst(first) }
    }

    /// Moves a time as those beside it were.
    private func moved(_ time: Int64) -> Int64 {
        guard let index = points.lastIndex(where: { $0.time <= time }) else { return time + points[0].moved }
        let before = points[index]
        guard index + 1 < points.count, case let after = points[index + 1] else { return time + before.moved }
        return time + before.moved + (after.moved - before.moved) * (time - before.time) / (after.time - before.time)
    }
}
