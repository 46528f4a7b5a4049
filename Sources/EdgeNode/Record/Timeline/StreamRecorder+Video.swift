import Journal
import Media

extension StreamRecorder {
    /// A whole picture, in decoding order.
    mutating func receivePicture(_ unit: AccessUnit, arrivalNs: UInt64) throws(RecordingFault) {
        guard let rate = video?.clock.rate else { return }
        if let last = lastPicture, let clock = video?.clock {
            let isJump = clock.isJump(from: last.timestamp, atNs: last.ns, to: unit.timestamp, atNs: arrivalNs)
            if isJump || unit.timestamp - last.timestamp < -rate {
                try placeHeldPictures()
                pictureOrder = PictureOrder()
                if !moveVideo(from: last, to: (unit.timestamp, arrivalNs)) { try endPeriodHere() }
            }
        }
        lastPicture = (unit.timestamp, arrivalNs)
        pictureOrder.push(unit)
        while let placed = pictureOrder.pop() { try place(placed) }
    }

    /// Pictures that were held back for others to be shown before them; none of those will come.
    mutating func placeHeldPictures() throws(RecordingFault) {
        while let placed = pictureOrder.pop(all: true) { try place(placed) }
    }

    /// Puts one picture on the timeline, as the first of a Period where one has to begin.
    private mutating func place(_ placed: PictureOrder.Placed) throws(RecordingFault) {
        let unit = placed.unit
        guard period?.video != nil else {
            if unit.isSync { try beginPeriod(with: unit, timestamp: placed.timestamp) }
            return
        }
        let target = correctionTarget(pictureNs: lastPicture?.ns ?? nowNs)
        // What is decoded behind the first picture and shown before it would stand before the Period.
        guard placed.timestamp >= period?.videoOrigin ?? .max,
            let (time, shown) = period?.videoTimes(of: placed, target: target)
        else { return }
        let continues = period?.isMisplaced == false
        if unit.isSync, beginsPeriod(placed, at: time) {
            try endPeriodHere(atVideo: time)
            try beginPeriod(with: unit, timestamp: placed.timestamp, continues: continues)
            return
        }
        let isInOrder = placed.timestamp == placed.decodingTime
        if isInOrder, mustRotateWithoutKeyframe(at: time, timestamp: placed.timestamp) {
            let format = period?.video?.format
            try endPeriodHere(atVideo: time)
            try beginPeriod(with: unit, timestamp: placed.timestamp, continues: continues, format: format)
            return
        }
        try cutIfOverdue(at: time)
        try releaseSound(before: time)
        if unit.isSync { try cutIfDue(at: time) }
        try addPicture(unit, time: time, offset: isInOrder ? 0 : shown - time)
    }

    private mutating func beginsPeriod(_ placed: PictureOrder.Placed, at time: Int64) -> Bool {
        guard let lane = period?.video, let clock = video?.clock else { return false }
        if wantsNewPeriod { return true }
        if let format = placed.unit.format, lane.format != format { return true }
        let isDue = placed.timestamp - (period?.videoOrigin ?? 0) - lane.segmentStart >= settings.segmentTicks(lane.timescale)
        guard isDue else { return false }
        let wallUs = wallTimeUs(of: placed.decodingTime, on: clock)
        let hasDrifted = period?.hasDrifted(at: time, rate: lane.timescale, wallTimeUs: wallUs) ?? false
        return hasDrifted || mustRotate(atUs: wallTimeUs(of: placed.timestamp, on: clock))
    }

    /// A segment has to end without a key frame, and the session should have ended long ago: what nobody can begin with is better than a
    /// recording without end.
    private func mustRotateWithoutKeyframe(at time: Int64, timestamp: Int64) -> Bool {
        // With this picture the segment would be too long.
        guard let rate = period?.video?.timescale, let last = period?.video?.lastDuration,
            let start = period?.video?.segmentStart,
            time + last - start > settings.segmentTicksMax(rate), let clock = video?.clock
        else { return false }
        return mustRotate(atUs: wallTimeUs(of: timestamp, on: clock), withoutKeyframe: true)
    }

    /// Starts a Period at a key frame, or at a picture of a format that is known; sound of the same instant starts with it.
    private mutating func beginPeriod(
        with unit: AccessUnit, timestamp: Int64, continues: Bool = false, format known: TrackFormat? = nil
    ) throws(RecordingFault) {
        guard let clock = video?.clock, let format = unit.format ?? known else { return }
        if period != nil { try endPeriodHere() }
        let startUs = wallTimeUs(of: timestamp, on: clock)
        openSession(atUs: startUs)
        actions.append(.periodBegan(startUs: startUs, continues: continues))
        var open = OpenPeriod(startUs: startUs, videoOrigin: timestamp)
        open.video = try TrackLane(
            kind: .video, format: format, chunkSeconds: settings.chunkSeconds, actions: &actions)
        period = open
        placeSoundBesideVideo()
        wantsNewPeriod = false
        try addPicture(unit, time: 0, offset: 0)
    }

    private mutating func addPicture(_ unit: AccessUnit, time: Int64, offset: Int64) throws(RecordingFault) {
        try period?.video?.add(
            unit.data, time: time, offset: offset, nominal: 0, isSync: unit.isSync, actions: &actions)
    }

    /// Ends the segment before the last picture when with it the segment would be longer than any may be: a sender that makes no key
    /// frames, whoever asks, cannot be waited for without end.
    private mutating func cutIfOverdue(at time: Int64) throws(RecordingFault) {
        guard let rate = period?.video?.timescale, let pending = period?.video?.pendingTime,
            let start = period?.video?.segmentStart
        else { return }
        let limit = settings.segmentTicksMax(rate)
        guard time - start > limit else { return }
        try placeSound(before: pending)
        let cut = try period?.video?.cutBeforePending(endingAt: time, limit: limit, actions: &actions)
        if let cut { cutSound(at: cut) }
    }

    /// Ends the segment at a key frame once it is long enough; sound is asked to end at the same instant.
    private mutating func cutIfDue(at time: Int64) throws(RecordingFault) {
        guard let lane = period?.video, time - lane.segmentStart >= settings.segmentTicks(lane.timescale) else { return }
        try placeSound(before: time)
        try period?.video?.cut(at: time, actions: &actions)
        cutSound(at: time)
    }

    /// Sound that has waited for reports until now must do without: with the first cut the tracks are fixed.
    private mutating func placeSound(before time: Int64) throws(RecordingFault) {
        guard period?.soundOrigin == nil, !soundQueue.isEmpty else { return }
        placeSoundBesideVideo(atOnce: true)
        try releaseSound(before: time)
    }

    private mutating func cutSound(at time: Int64) {
        period?.hasFixedTracks = true
        guard let audio = period?.audio, let video = period?.video else { return }
        period?.audio?.cuts.append((time * audio.timescale / video.timescale, nowNs))
    }
}
