import Journal
import Media

extension StreamRecorder {
    /// Sound waits this long for video to come as far.
    static let soundWaitNs: UInt64 = 1_500_000_000
    /// Without a picture for this long after the first sound, recording begins with sound alone.
    static let videoWaitNs: UInt64 = 5_000_000_000

    /// A whole packet of sound, in order.
    mutating func receiveSound(_ unit: AccessUnit, arrivalNs: UInt64) throws(RecordingFault) {
        if let last = lastSound, let clock = audio?.clock {
            // A pause as long as time itself is silence, however long; anything else is a sender that counts anew.
            let mediaNs = clock.nanoseconds(unit.timestamp - last.timestamp)
            let passedNs = Int64(clamping: arrivalNs) - Int64(clamping: last.ns)
            if abs(mediaNs - passedNs) > TrackClock.jumpNs {
                if !moveSound(from: last, to: (unit.timestamp, arrivalNs)) {
                    try endPeriod()
                    soundQueue = []
                }
            }
        }
        lastSound = (unit.timestamp, arrivalNs)
        if firstSoundNs == nil { firstSoundNs = nowNs }
        soundQueue.append((unit, nowNs))
        placeSoundBesideVideo()
        if period == nil, video == nil { try beginSoundPeriod() }
        if period != nil, period?.video == nil { try releaseSound(before: nil) }
        if period == nil { dropOldSound() }
    }

    /// Keeps what may belong to a Period that begins with a key frame still on its way.
    private mutating func dropOldSound() {
        guard let newest = soundQueue.last?.unit.timestamp, let rate = audio?.clock.rate else { return }
        soundQueue.removeAll { newest - $0.unit.timestamp > 3 * rate }
    }

    /// Places sound that starts before a video time; all of it for nil.
    mutating func releaseSound(before videoTime: Int64?) throws(RecordingFault) {
        guard let origin = period?.soundOrigin, let rate = audio?.clock.rate else { return }
        let limit = videoTime.map { $0 * rate / 90_000 } ?? .max
        while let first = soundQueue.first?.unit, first.timestamp - origin < limit {
            soundQueue.removeFirst()
            try place(first)
        }
    }

    /// Puts one packet on the timeline, filling what is missing before it.
    private mutating func place(_ unit: AccessUnit) throws(RecordingFault) {
        guard let open = period.map({ ($0.soundTime(of: unit.timestamp), $0.audio == nil, $0.hasFixedTracks) }),
            let format = audio?.soundFormat, let nominal = unit.duration
        else { return }
        let (soundTime, isNew, hasFixedTracks) = open
        var time = placed(at: soundTime, nominal, format)
        // A first sample shorter than what a decoder leaves out at the start (Opus: 6.5 ms) would have it go back in time.
        let shortest = Int64(format.timescale) / 100
        guard time + nominal > shortest else { return }
        if isNew {
            guard !hasFixedTracks else {
                wantsNewPeriod = true
                return
            }
            let lane = try TrackLane(
                kind: .audio, format: format, chunkSeconds: settings.chunkSeconds, actions: &actions)
            period?.audio = lane
        }
        let end = period?.audio?.pendingTime == nil ? 0 : period?.audio?.end ?? 0
        // A packet that straddles the start, or comes right after it, is moved onto it by less than its own length.
        let isFirst = period?.audio?.pendingTime == nil
        if isFirst, time <= nominal {
            try addSound(unit.data, time: 0, nominal: max(shortest, time + nominal))
            return
        }
        // A shorter hole than 100 ms is closed by a longer sample.
        if isFirst || time > end + Int64(format.timescale) / 10 { time -= try fillSilence(until: time) }
        guard time > period?.audio?.pendingTime ?? -1 else { return }
        try addSound(unit.data, time: time, nominal: nominal)
    }

    /// The media time of sound. AAC is counted by its access units where timestamps agree within half of one: those that come from
    /// milliseconds are rounded, and each would leave a crack.
    private mutating func placed(at time: Int64, _ nominal: Int64, _ format: TrackFormat) -> Int64 {
        guard case .aac = format, period?.audio?.pendingTime != nil, let end = period?.audio?.end else { return time }
        return abs(time - end) <= nominal / 2 ? end : time
    }

    /// Adds silence from where sound ends until `time`, in whole packets; the last one is stretched by what comes next.
    ///
    /// - Returns: by how much a new Period's times are less than those of the Period before; 0 when none began meanwhile.
    @discardableResult
    private mutating func fillSilence(until time: Int64, mayRotate: Bool = true) throws(RecordingFault) -> Int64 {
        guard let lane = period?.audio, let silence = lane.format.silence else { return 0 }
        var at = lane.pendingTime == nil ? 0 : lane.end
        var moved: Int64 = 0
        while at + silence.duration <= time - moved {
            let shift = try addSound(silence.data, time: at, nominal: silence.duration, mayRotate: mayRotate)
            moved += shift
            at += silence.duration - shift
        }
        return moved
    }

    /// Adds a sample; the segment ends before it when it lies, by more than half, past a cut.
    ///
    /// - Returns: where in its Period the sample would have been when it begins another, else 0.
    @discardableResult
    private mutating func addSound(
        _ data: [UInt8], time: Int64, nominal: Int64, mayRotate: Bool = true
    ) throws(RecordingFault) -> Int64 {
        while let cut = period?.audio?.cuts.first, time + nominal / 2 >= cut.time {
            period?.audio?.cuts.removeFirst()
            try period?.audio?.cut(at: time, actions: &actions)
        }
        var shift: Int64 = 0
        if period?.audio?.cuts.isEmpty == true, let start = period?.audio?.segmentStart, let rate = period?.audio?.timescale,
            time - start >= selfCutTicks(rate)
        {
            if mayRotate, try beginNextSoundPeriod(at: time) {
                shift = time
            } else {
                try period?.audio?.cut(at: time, actions: &actions)
                if period?.video == nil { period?.hasFixedTracks = true }
            }
        }
        try period?.audio?.add(data, time: time - shift, nominal: nominal, isSync: true, actions: &actions)
        return shift
    }

    /// Where sound cuts by itself: begins another Period, of sound alone, when a session has to end here, or sound that is alone has drifted
    /// away from the clock. Video that stands still beside it begins a Period again when it goes on.
    private mutating func beginNextSoundPeriod(at time: Int64) throws(RecordingFault) -> Bool {
        guard let open = period, let clock = audio?.clock, let lane = open.audio, let origin = open.soundOrigin else {
            return false
        }
        let format = lane.format
        let startUs = wallTimeUs(of: origin + time, on: clock)
        let hasDrifted = open.video == nil && period?.hasDrifted(at: time, rate: lane.timescale, wallTimeUs: startUs) ?? false
        guard hasDrifted || mustRotate(atUs: startUs) else { return false }
        try period?.audio?.cut(at: time, actions: &actions)
        if let end = videoEnd(open) { try cutVideo(at: end) }
        closePeriod()
        openSession(atUs: startUs)
        actions.append(.periodBegan(startUs: startUs, continues: !open.isMisplaced))
        period = OpenPeriod(startUs: startUs, videoOrigin: 0, soundOrigin: origin + time)
        let next = try TrackLane(kind: .audio, format: format, chunkSeconds: settings.chunkSeconds, actions: &actions)
        period?.audio = next
        return true
    }

    /// Sound alone is cut by its own clock; beside video only when video stands still.
    private mutating func selfCutTicks(_ rate: Int64) -> Int64 {
        // Beside video a little later than it would be, and with a packet's length still the same when rounded to a second.
        period?.video == nil ? Int64(settings.segmentSeconds * Double(rate)) : settings.segmentTicksMax(rate) + rate / 5
    }

    // MARK: Time

    /// What must not wait for video: a Period without it, sound that has waited long enough, chunks that are due.
    mutating func advanceWithoutVideo() throws(RecordingFault) {
        if period == nil, let first = firstSoundNs, nowNs >= first &+ Self.videoWaitNs { try beginSoundPeriod() }
        guard period != nil else { return }
        while let first = soundQueue.first, nowNs >= first.arrivalNs &+ Self.soundWaitNs {
            placeSoundBesideVideo(atOnce: true)
            soundQueue.removeFirst()
            try place(first.unit)
        }
        if let cut = period?.audio?.cuts.first, nowNs >= cut.askedNs &+ Self.soundWaitNs, soundQueue.isEmpty {
            try fillSilence(until: cut.time + (period?.audio?.format.silence?.duration ?? 0))
        }
        try flushWhenStill()
    }

    /// When nothing has come for a while, nothing will push out what is written.
    private mutating func flushWhenStill() throws(RecordingFault) {
        let newest = max(video?.lastArrivalNs ?? 0, audio?.lastArrivalNs ?? 0)
        guard nowNs >= newest &+ 1_000_000_000 else { return }
        try placeHeldPictures()
        try period?.video?.flush(&actions)
        try period?.audio?.flush(&actions)
    }

    /// A Period of sound alone.
    private mutating func beginSoundPeriod() throws(RecordingFault) {
        guard let clock = audio?.clock, let origin = soundQueue.first?.unit.timestamp else { return }
        let startUs = wallTimeUs(of: origin, on: clock)
        openSession(atUs: startUs)
        actions.append(.periodBegan(startUs: startUs, continues: false))
        period = OpenPeriod(startUs: startUs, videoOrigin: 0, soundOrigin: origin)
    }

    /// Ends the open Period where what is there ends; what comes next is not related to it.
    mutating func endPeriod() throws(RecordingFault) {
        try placeHeldPictures()
        pictureOrder = PictureOrder()
        try endPeriodHere()
    }

    /// Ends the open Period: both tracks end at `atVideo` when video goes on in another, else where what is there ends.
    mutating func endPeriodHere(atVideo time: Int64? = nil) throws(RecordingFault) {
        if period?.soundOrigin == nil, !soundQueue.isEmpty { placeSoundBesideVideo(atOnce: true) }
        guard period != nil else { return }
        try releaseSound(before: time)
        guard let open = period else { return }
        let videoEnd = time ?? videoEnd(open)
        if let videoEnd, let lane = period?.audio {
            let soundEnd = videoEnd * lane.timescale / 90_000
            if soundEnd - lane.end < 10 * lane.timescale { try fillSilence(until: soundEnd, mayRotate: false) }
        }
        if let lane = period?.audio { try period?.audio?.cut(at: lane.end, actions: &actions) }
        if let videoEnd { try cutVideo(at: videoEnd) }
        closePeriod()
        firstSoundNs = nil
    }

    private mutating func cutVideo(at end: Int64) throws(RecordingFault) {
        guard let lane = period?.video else { return }
        let limit = settings.segmentTicksMax(lane.timescale)
        _ = try period?.video?.cutBeforePending(endingAt: end, limit: limit, actions: &actions)
        try period?.video?.cut(at: end, actions: &actions)
    }

    /// The last picture lasts as long as the sound that came with it, within bounds.
    private func videoEnd(_ open: OpenPeriod) -> Int64? {
        guard let lane = open.video else { return nil }
        guard let sound = period?.audio else { return lane.end }
        return max(lane.end, min(sound.end * 90_000 / sound.timescale, lane.end + 10 * 90_000))
    }
}
