extension RecordedSession {
    /// The lines that say which segments are gone with objects that nobody has any more: each hole once, and of what a track ends with, that it
    /// ends earlier. Without its initialization object nothing of a track plays.
    ///
    /// - Parameter isGone: whether an object of the session's directory is gone, by its name.
    package func lines(losing isGone: (String) -> Bool, clock: UpdateClock) -> [JournalLine] {
        periods.flatMap { period in
            period.tracks.flatMap { track in
                track.losses(isGone).map { loss in
                    var line = JournalLine(loss.count == nil ? .lost : .gone, at: clock.next())
                    (line.period, line.kind, line.number) = (period.number, track.kind, loss.number)
                    line.segments = loss.count
                    return line
                }
            }
        }
    }
}

extension RecordedSession.Track {
    /// Segments from a number on: so many, or, with nil, all there are.
    fileprivate func losses(_ isGone: (String) -> Bool) -> [(number: Int, count: Int64?)] {
        guard let first = segments.first else { return [] }
        guard !isGone(initialization), let kept = segments.last(where: { !isGone(objectName($0.number)) }) else {
            return [(first.number, nil)]
        }
        var losses: [(number: Int, count: Int64?)] = []
        for segment in segments where segment.number < kept.number && isGone(objectName(segment.number)) {
            if let last = losses.last, let count = last.count, last.number + Int(count) == segment.number {
                losses[losses.count - 1].count = count + 1
            } else {
                losses.append((segment.number, 1))
            }
        }
        if let behind = segments.first(where: { $0.number > kept.number }) { losses.append((behind.number, nil)) }
        return losses
    }
}
