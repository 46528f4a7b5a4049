import Media

/// Sound and video together.
extension StreamRecorder {
    /// While there are no reports, so much of both tracks is looked at before sound is placed: the packets that came fastest then tell
    /// how they belong together as well as a network lets them.
    static let settleNs: UInt64 = 800_000_000

    /// Finds the sound timestamp of media time 0, once there is sound to compare with.
    ///
    /// - Parameter atOnce: sound cannot wait until that is known well.
    mutating func placeSoundBesideVideo(atOnce: Bool = false) {
        guard let open = period, open.video != nil, open.soundOrigin == nil, let video = video?.clock, let sound = audio?.clock,
            let relation = soundRelationNs()
        else { return }
        let isSettled = min(video.observedNs, sound.observedNs) >= Self.settleNs
        guard atOnce || isSettled || reportedRelationNs() != nil else { return }
        // Where video has been moved since, sound must follow.
        let origin = video.nanoseconds(open.videoOrigin - open.slew.moved)
        period?.soundOrigin = sound.ticks(origin + relation)
        period?.relationNs = relation - video.nanoseconds(open.slew.moved)
    }

    /// What must be added to a video time in nanoseconds to get the sound time of the same instant; both on the sender's clock when
    /// it reports plausibly, else by arrival. Nil while there is no sound.
    private mutating func soundRelationNs() -> Int64? {
        guard let byArrival = arrivalRelationNs() else { return nil }
        guard let byReport = reportedRelationNs() else { return byArrival }
        return abs(byReport - byArrival) < Self.plausibleNs ? byReport : byArrival
    }

    /// Two clocks that differ by more are not one clock.
    private static let plausibleNs: Int64 = 3_000_000_000

    private mutating func arrivalRelationNs() -> Int64? {
        guard let video = video?.clock.arrivalOffsetNs, let sound = audio?.clock.arrivalOffsetNs else { return nil }
        return video - sound
    }

    private mutating func reportedRelationNs() -> Int64? {
        guard let video = video?.clock.reports, let sound = audio?.clock.reports, video.isComparable(with: sound),
            let videoOffset = video.offsetNs, let soundOffset = sound.offsetNs
        else { return nil }
        return videoOffset - soundOffset
    }

    /// How far video ought to be moved by now, in its ticks; nil while nothing is known of it.
    mutating func correctionTarget(pictureNs: UInt64) -> Int64? {
        guard let begun = period?.relationNs, let rate = video?.clock.rate, let byArrival = arrivalRelationNs() else {
            return nil
        }
        if let byReport = reportedRelationNs() {
            return abs(byReport - byArrival) < Self.plausibleNs ? TrackClock.ticks(byReport - begun, rate: rate) : nil
        }
        // Reports that are only missing at the moment say more than arrivals do.
        guard video?.clock.hasReports == false, audio?.clock.hasReports == false else { return nil }
        return TrackClock.ticks(followedNs(byArrival, begun: begun, pictureNs: pictureNs) - begun, rate: rate)
    }

    /// The relation by arrival, half a minute's average, and never further from where it began than clocks drift: a network that
    /// holds pictures up for a while must not move them.
    private mutating func followedNs(_ byArrival: Int64, begun: Int64, pictureNs: UInt64) -> Int64 {
        let old = period?.followed ?? (begun, pictureNs)
        let passedNs = Double(pictureNs &- min(old.atNs, pictureNs))
        let share = min(1, passedNs / 30_000_000_000)
        let lengthNs = video?.clock.nanoseconds(period?.video?.pendingTime ?? 0) ?? 0
        let bound = 50_000_000 + lengthNs / 1_000_000 * 300
        let moved = old.ns + Int64(Double(byArrival - old.ns) * share)
        let ns = max(begun - bound, min(begun + bound, moved))
        period?.followed = (ns, max(old.atNs, pictureNs))
        return ns
    }

    // MARK: Senders that count anew

    /// The sender's timestamps of pictures went elsewhere while pictures came on: they stay where they were, by the time that passed,
    /// until a Period of their own begins at the next key frame. False when there was a hole that only another Period can tell.
    mutating func moveVideo(from old: (timestamp: Int64, ns: UInt64), to new: (timestamp: Int64, ns: UInt64)) -> Bool {
        guard let clock = video?.clock, period?.video != nil, let shift = Self.shift(clock, from: old, to: new) else {
            return false
        }
        period?.videoOrigin += shift
        period?.relationNs? -= clock.nanoseconds(shift)
        period?.followed = nil
        wantsNewPeriod = true
        return true
    }

    /// The same of sound beside video; what waits to be placed is counted anew too.
    mutating func moveSound(from old: (timestamp: Int64, ns: UInt64), to new: (timestamp: Int64, ns: UInt64)) -> Bool {
        guard let clock = audio?.clock, period?.video != nil, let shift = Self.shift(clock, from: old, to: new) else {
            return false
        }
        period?.soundOrigin? += shift
        period?.relationNs? += clock.nanoseconds(shift)
        period?.followed = nil
        soundQueue = soundQueue.map { waiting in
            let unit = waiting.unit
            let moved = AccessUnit(
                timestamp: unit.timestamp + shift, data: unit.data, isSync: unit.isSync, duration: unit.duration)
            return (moved, waiting.arrivalNs)
        }
        wantsNewPeriod = true
        return true
    }

    /// By how many ticks more than time itself timestamps went on; nil when nothing came for so long that it was a hole.
    private static func shift(
        _ clock: TrackClock, from old: (timestamp: Int64, ns: UInt64), to new: (timestamp: Int64, ns: UInt64)
    ) -> Int64? {
        guard new.ns >= old.ns, new.ns - old.ns < UInt64(TrackClock.jumpNs) else { return nil }
        return new.timestamp - old.timestamp - clock.ticks(Int64(new.ns - old.ns))
    }
}
