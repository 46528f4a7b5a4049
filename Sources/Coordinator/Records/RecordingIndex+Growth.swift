import Presentation

extension RecordingIndex {
    /// What to ask a node with for what has come to a recording since its detail was stored; nil when all of it has to be asked for.
    public func detailNext(node: String, session: String) throws(IndexError) -> String? {
        try database().rows(
            "SELECT detail_next FROM recordings WHERE node = ?1 AND session = ?2", [.text(node), .text(session)]
        ) { $0.optionalText(0) }.first ?? nil
    }

    /// Adds to a recording's detail what has come since; the same as `setDetail` with all of it, at the cost of what is new.
    ///
    /// - Parameters:
    ///   - after: what it was asked for with.
    ///   - updatedUs: the record's `updatedUs` at the time the growth was told.
    ///   - next: what to ask with next time.
    /// - Returns: false when it does not continue what is stored; nothing has changed then. True also when another coordinator has
    ///   stored it already.
    public func extendDetail(
        node: String, session: String, after: String?, _ growth: RecordingGrowth, updatedUs: Int64, next: String?
    ) throws(IndexError) -> Bool {
        let database = try database()
        return try database.transaction { () throws(IndexError) -> Bool in
            guard let stored = try stored(node, session, in: database) else { return false }
            // Another coordinator has added to it meanwhile: the same, or less.
            guard stored.next == after else { return stored.detailUs ?? .min >= updatedUs }
            let recording = stored.row
            guard let grown = growth.periods.first, try continues(recording, grown, known: growth.known, in: database) else {
                return false
            }
            for period in growth.periods {
                for (place, track) in period.tracks.enumerated() {
                    let id = try trackRow(recording, period, place, track, in: database)
                    try append(track.segments, toTrack: id, in: database)
                }
            }
            for configuration in growth.configurations {
                try setPeak(configuration, recording, before: grown.ordinal, in: database)
            }
            try database.query(
                "UPDATE recordings SET detail_us = ?2, detail_next = ?3 WHERE id = ?1",
                [.integer(recording), .integer(updatedUs), SQLValue(next)])
            return true
        }
    }

    /// Whether the stored period is what growth goes on from, and nothing is stored behind it.
    private func continues(
        _ recording: Int64, _ grown: IndexedPeriod, known: [Int], in database: any SQLConnection
    ) throws(IndexError) -> Bool {
        var stored: [(period: Int64, prefix: String, count: Int64, last: Int64?)] = []
        try database.query(
            """
            SELECT period, segment_prefix, (SELECT sum(count) FROM spans WHERE track = tracks.id),
                (SELECT max(number + count - 1) FROM spans WHERE track = tracks.id)
            FROM tracks WHERE recording = ?1 AND period >= ?2 ORDER BY period, place
            """, [.integer(recording), .integer(Int64(grown.ordinal))]
        ) { stored.append((period: $0.integer(0), prefix: $0.text(1), count: $0.integer(2), last: $0.optionalInteger(3))) }
        let before = try database.rows(
            "SELECT count(DISTINCT period) FROM tracks WHERE recording = ?1 AND period < ?2",
            [.integer(recording), .integer(Int64(grown.ordinal))]
        ) { $0.integer(0) }
        guard before.first == Int64(grown.ordinal), stored.allSatisfy({ $0.period == Int64(grown.ordinal) }),
            stored.count <= grown.tracks.count, known.count == grown.tracks.count
        else { return false }
        for (place, track) in grown.tracks.enumerated() {
            let old = stored.indices.contains(place) ? stored[place] : nil
            guard old?.count ?? 0 == Int64(known[place]), old.map({ $0.prefix == track.segmentPrefix }) ?? true else {
                return false
            }
            if let first = track.segments.first, let last = old?.last, first.number <= last { return false }
        }
        return true
    }

    /// Adds segments behind those that a track has. The last row grows, those before it stay.
    private func append(_ segments: SegmentRuns, toTrack track: Int64, in database: any SQLConnection) throws(IndexError) {
        guard !segments.isEmpty else { return }
        var last = SpanRows()
        try database.query(
            "SELECT number, t, durations, unsynced FROM spans WHERE track = ?1 ORDER BY number DESC LIMIT 1", [.integer(track)]
        ) { last.append($0) }
        var all = last.segments
        all.append(segments)
        try write(all, ofTrack: track, in: database)
    }

    /// Of one configuration the peak of all periods counts, also in those that have not grown.
    private func setPeak(
        _ track: IndexedTrack, _ recording: Int64, before ordinal: Int, in database: any SQLConnection
    ) throws(IndexError) {
        try database.query(
            """
            UPDATE tracks SET bandwidth = ?1
            WHERE recording = ?2 AND period < ?3 AND kind = ?4 AND codecs = ?5 AND timescale = ?6 AND width IS NOT DISTINCT FROM ?7
                AND height IS NOT DISTINCT FROM ?8 AND frame_rate IS NOT DISTINCT FROM ?9 AND channels IS NOT DISTINCT FROM ?10 AND bandwidth <> ?1
            """,
            [
                .integer(track.bandwidth), .integer(recording), .integer(Int64(ordinal)), .text(track.kind), .text(track.codecs),
                .integer(track.timescale), SQLValue(track.width), SQLValue(track.height), SQLValue(track.frameRate),
                SQLValue(track.channels),
            ])
    }
}
