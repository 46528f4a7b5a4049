import Journal

extension StreamTask {
    /// Tells status, metrics and hooks what an action that was performed means to others.
    ///
    /// - Parameter ending: the session that it ended.
    func announce(_ action: RecordingAction, ending: RecordedSession?, reason: String? = nil) {
        switch action {
        case .sessionBegan:
            guard let session = writer.session else { return }
            environment.hooks?.tell(RecordingEvent(.start, session, at: environment.clock.next()), .start)
        case .sessionEnded: if let ending { announceEnd(ending, reason: reason) }
        default: break
        }
    }

    func announceEnd(_ session: RecordedSession, reason: String?) {
        environment.hooks?.tell(RecordingEvent(ended: session, reason: reason, at: environment.clock.next()), .stop)
    }

    /// The last segment of a track is durable.
    func announceSegment(_ kind: LaneKind) {
        guard let session = writer.session, let period = session.periods.last,
            let track = period.tracks.first(where: { $0.kind == kind }), let segment = track.segments.last
        else { return }
        shared.add(
            RecordingInfo.Segment(
                time: period.startUs + track.us(segment.time), duration: Double(segment.duration) / Double(track.timescale)),
            bytes: segment.bytes)
        environment.count {
            $0.segments += 1
            $0.bytes += segment.bytes
        }
        environment.hooks?.tell(
            RecordingEvent(lastSegmentOf: kind, in: session, at: environment.clock.next()), .segment)
    }
}
