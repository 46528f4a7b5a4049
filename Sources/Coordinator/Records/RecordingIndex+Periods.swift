import Presentation

/// A track as it stands in the index.
private struct StoredTrack: Sendable {
    let id: Int64
    let period: IndexedPeriod
    var track: IndexedTrack
    /// Of the segments that are wanted, in ticks.
    let range: Range<Int64>
    var rows = SpanRows()
}

extension RecordingIndex {
    /// What a recording consists of, with only the segments that touch the given range of wall clock.
    ///
    /// Only the rows are read on the index's own thread; what stands in them is worked out where this is called, beside the next reading.
    public nonisolated func periods(
        of recording: IndexedRecording, fromUs: Int64? = nil, toUs: Int64? = nil
    ) async throws(IndexError) -> [IndexedPeriod] {
        var periods: [IndexedPeriod] = []
        for stored in try await tracks(of: recording, fromUs: fromUs, toUs: toUs) {
            var track = stored.track
            track.segments = stored.rows.segments.touching(stored.range.lowerBound, stored.range.upperBound)
            if periods.last?.ordinal != stored.period.ordinal { periods.append(stored.period) }
            periods[periods.count - 1].tracks.append(track)
        }
        guard fromUs != nil, periods.contains(where: \.beginsUnsynced) else { return periods }
        // What is needed to decode the first segment may stand long before it.
        return try await self.periods(of: recording, toUs: toUs).map { $0.touching(fromUs: fromUs, toUs: toUs) }
    }

    private func tracks(of recording: IndexedRecording, fromUs: Int64?, toUs: Int64?) throws(IndexError) -> [StoredTrack] {
        let database = try database()
        var tracks = try database.rows(
            """
            SELECT id, period, period_start_us, kind, codecs, timescale, time_at_start, initialization, segment_prefix,
                bandwidth, width, height, frame_rate, sample_rate, channels, continues
            FROM tracks WHERE recording = ?1 ORDER BY period, place
            """, [.integer(recording.row)]
        ) { row in
            let (period, track) = (Self.period(row), Self.track(row))
            return StoredTrack(
                id: row.integer(0), period: period, track: track,
                range: track.mediaRange(periodStartUs: period.startUs, fromUs: fromUs, toUs: toUs))
        }
        for index in tracks.indices where !tracks[index].range.isEmpty {
            var rows = SpanRows()
            try database.query(
                "SELECT number, t, durations, unsynced FROM spans WHERE track = ?1 AND t_end > ?2 AND t < ?3 ORDER BY number",
                [
                    .integer(tracks[index].id), .integer(tracks[index].range.lowerBound),
                    .integer(tracks[index].range.upperBound),
                ]
            ) { rows.append($0) }
            tracks[index].rows = rows
        }
        return tracks
    }

    private static func period(_ row: any SQLRow) -> IndexedPeriod {
        IndexedPeriod(
            ordinal: Int(truncatingIfNeeded: row.integer(1)), startUs: row.integer(2), continues: row.integer(15) != 0, tracks: []
        )
    }

    private static func track(_ row: any SQLRow) -> IndexedTrack {
        IndexedTrack(
            kind: row.text(3), codecs: row.text(4), timescale: max(1, row.integer(5)), timeAtStart: row.integer(6),
            initialization: row.text(7), segmentPrefix: row.text(8), bandwidth: row.integer(9),
            width: row.optionalInteger(10).map(Int.init(truncatingIfNeeded:)),
            height: row.optionalInteger(11).map(Int.init(truncatingIfNeeded:)),
            frameRate: row.optionalText(12), sampleRate: row.optionalInteger(13).map(Int.init(truncatingIfNeeded:)),
            channels: row.optionalInteger(14).map(Int.init(truncatingIfNeeded:)), segments: [])
    }
}
