import Cluster

extension RecordedSession {
    /// The lines that say which segments are gone with objects that nobody has any more. A Period has no holes: of a track, what came after the
    /// first of them in the Period is not named either.
    ///
    /// - Parameter names: of segments, or of initialization objects, with which all segments of their track go.
    package func lines(losing names: Set<String>, clock: UpdateClock) -> [JournalLine] {
        var lines: [JournalLine] = []
        for period in periods {
            for track in period.tracks {
                guard let number = track.firstNumber(losing: names) else { continue }
                var line = JournalLine(.lost, at: clock.next())
                (line.period, line.kind, line.number) = (period.number, track.kind, number)
                lines.append(line)
            }
        }
        return lines
    }
}

extension RecordedSession.Track {
    fileprivate func firstNumber(losing names: Set<String>) -> Int? {
        guard let first = segments.first?.number, let last = segments.last?.number else { return nil }
        if names.contains(initialization) { return first }
        let numbers = names.compactMap { name -> Int? in
            guard name.hasPrefix(prefix), let number = Int(name.dropFirst(prefix.count).prefix { $0 != "." }),
                (first...last).contains(number), objectName(number) == name
            else { return nil }
            return number
        }
        return numbers.min()
    }
}
