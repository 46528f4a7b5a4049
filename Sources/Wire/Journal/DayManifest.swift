import Media

/// The manifest of a directory: all sessions in it, one after the other.
///
/// While one is being written the presentation is dynamic, Periods stand where the clock had them, and nothing that was said is
/// taken back. Once all have ended it is static, and Periods follow each other without the gaps between them: most players
/// stop at a gap. The time of day of each Period stays in it. Who began with gaps is led to a version that keeps them and counts from
/// the same instant (5.3.1.2), or all positions would jump when the recording ends or the first one is deleted.
package enum DayManifest {
    package static let name = "manifest.mpd"
    /// What of an address asks for the version that keeps gaps.
    package static let gapsQuery = (name: "gaps", value: "keep")
    /// What of an address says from when positions are counted, in Unix microseconds.
    package static let originQuery = "origin"
    /// No presentation is longer, whatever journals say: some thirty thousand years.
    private static let longestUs: Int64 = 1_000_000_000_000_000_000

    /// Nil when there is nothing to play yet.
    ///
    /// - Parameters:
    ///   - keepsGaps: Periods stay where the clock had them also when all is finished.
    ///   - originUs: from when they are counted then, Unix microseconds; the first one's beginning when that is earlier or nothing is said.
    package static func render(
        _ sessions: [RecordedSession], publishUs: Int64, segmentSeconds: Double, keepsGaps: Bool = false,
        originUs: Int64? = nil
    ) -> MPD? {
        let sorted = sessions.sorted { ($0.startUs, $0.id) < ($1.startUs, $1.id) }
        let isGrowing = sorted.contains { !$0.isEnded && $0.hasSegments }
        var periods: [MPD.Period] = []
        var availabilityStartUs: Int64?
        var longest = segmentSeconds
        var node: String?
        for session in sorted {
            for (period, piece, isLastPiece) in pieces(of: session) {
                let origin = availabilityStartUs ?? min(originUs ?? .max, piece.startUs)
                availabilityStartUs = origin
                let previousEnd = periods.last.map { $0.startUs + ($0.durationUs ?? 0) } ?? 0
                guard previousEnd < longestUs else { break }
                // Two nodes may have recorded at the same time; then the earlier one comes first, whole.
                let continues = period.continues && piece.mark.isEmpty && node == session.node
                let follows = !(isGrowing || keepsGaps) || continues
                let start = follows ? previousEnd : max(previousEnd, piece.startUs - origin)
                node = session.node
                let isLast = isGrowing && isLastPiece && session.id == sorted.last?.id
                for (track, _) in piece.tracks {
                    let ticks = track.segments.map(\.duration).max() ?? 0
                    longest = max(longest, Double(ticks) / Double(track.timescale))
                }
                periods.append(
                    MPD.Period(
                        id: "\(session.id)-\(period.number)\(piece.mark)", startUs: start,
                        durationUs: isLast && !period.isEnded ? nil : piece.durationUs, wallClockUs: piece.startUs,
                        tracks: piece.tracks.map { $0.track.presentation(from: $0.offset) }))
            }
        }
        guard let availabilityStartUs, !periods.isEmpty else { return nil }
        let location = "\(name)?\(gapsQuery.name)=\(gapsQuery.value)&\(originQuery)=\(availabilityStartUs)"
        let kind: MPD.Kind =
            isGrowing
            ? .dynamic(availabilityStartUs: availabilityStartUs, publishUs: publishUs, updateSeconds: segmentSeconds) : .static
        return MPD(
            kind: kind, maxSegmentSeconds: longest,
            clock: MPD.Clock(scheme: "urn:mpeg:dash:utc:http-head:2014", value: name),
            location: isGrowing ? location : nil, periods: periods)
    }

    /// The instant that an address says; nil for what none leads to.
    package static func originUs(_ text: String?) -> Int64? {
        text.flatMap { Int64($0) }.flatMap { (0..<longestUs).contains($0) ? $0 : nil }
    }

    /// What is shown of a session, each piece with its Period and whether none can follow it.
    private static func pieces(
        of session: RecordedSession
    ) -> [(period: RecordedSession.Period, piece: RecordedSession.Period.Piece, isLast: Bool)] {
        session.periods.filter { isPublishable($0, isEnded: session.isEnded || $0.isEnded) }.flatMap { period in
            let pieces = period.pieces
            let isLast = period.number == session.periods.last?.number
            return pieces.enumerated().map { (period, $1, isLast && $0 == pieces.count - 1) }
        }
    }

    /// A growing Period is shown once each of its tracks can be, because the set of tracks must not change afterwards.
    private static func isPublishable(_ period: RecordedSession.Period, isEnded: Bool) -> Bool {
        isEnded ? period.hasSegments : !period.tracks.isEmpty && period.tracks.allSatisfy { !$0.segments.isEmpty }
    }
}

extension RecordedSession.Track {
    /// - Parameter offset: where what is shown of it begins, in ticks.
    fileprivate func presentation(from offset: Int64) -> MPD.Track {
        MPD.Track(
            media: kind == .video
                ? .video(width: width, height: height, frameRate: frameRate) : .audio(sampleRate: timescale, channels: channels),
            codecs: codecs, bandwidth: bandwidth, timescale: timescale, initialization: initialization,
            template: "\(prefix)$Number%04d$.\(container.suffix)", startsWithSAP: segments.allSatisfy(\.startsWithSync),
            startNumber: segments.first?.number ?? 1, presentationTimeOffset: offset,
            timeline: MPD.SegmentTimeline(
                segments.lazy.map { MPD.SegmentTimeline.Run(number: Int64($0.number), time: $0.time, duration: $0.duration) }))
    }
}
