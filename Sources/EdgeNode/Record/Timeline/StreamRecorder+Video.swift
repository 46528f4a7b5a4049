import Media

extension StreamRecorder {
    /// A whole picture, in decoding order.
    mutating func receivePicture(_ unit: AccessUnit, arrivalNs: UInt64) throws(RecordingFault) {
        guard let clock = video?.clock else { return }
        guard let timestamp = try continued(unit, arrivalNs: arrivalNs, clock: clock) else { return }
        guard period?.video != nil else {
            if unit.isSync { try beginPeriod(with: unit, timestamp: timestamp) }
            return
        }
        let target = correctionTarget(pictureNs: arrivalNs)
        guard var open = period else { return }
        let time = open.videoTime(of: timestamp, target: target)
        period = open
        if unit.isSync, try beginsPeriod(unit, timestamp: timestamp, clock: clock) {
            try endPeriod(atVideo: time)
            try beginPeriod(with: unit, timestamp: timestamp)
            return
        }
        try releaseSound(before: time)
        try cutIfDue(at: time, isSync: unit.isSync)
        try addPicture(unit, time: time)
    }

    /// The timestamp to use, nil for a picture that cannot be placed; a jump ends the Period.
    private mutating func continued(
        _ unit: AccessUnit, arrivalNs: UInt64, clock: TrackClock
    ) throws(RecordingFault) -> Int64? {
        guard let last = lastPicture else {
            lastPicture = (unit.timestamp, arrivalNs)
            return unit.timestamp
        }
        let delta = unit.timestamp - last.timestamp
        let isJump = clock.isJump(from: last.timestamp, atNs: last.ns, to: unit.timestamp, atNs: arrivalNs)
        if isJump || delta < -clock.rate {
            if !moveVideo(from: last, to: (unit.timestamp, arrivalNs)) { try endPeriod() }
            lastPicture = (unit.timestamp, arrivalNs)
            return unit.timestamp
        }
        if delta < 0 {
            // One odd timestamp is a sender's slip; several are pictures shown before those they were sent after.
            backwardFrames += 1
            forwardFrames = 0
            guard backwardFrames < 3 else { throw .bFrames }
            return nil
        }
        forwardFrames += 1
        if forwardFrames > 100 { backwardFrames = 0 }
        let timestamp = max(unit.timestamp, last.timestamp + 1)
        lastPicture = (timestamp, arrivalNs)
        return timestamp
    }

    private func beginsPeriod(_ unit: AccessUnit, timestamp: Int64, clock: TrackClock) throws(RecordingFault) -> Bool {
        guard let lane = period?.video else { return false }
        if wantsNewPeriod { return true }
        if let format = unit.format, lane.format != .h264(format) { return true }
        let isDue = timestamp - (period?.videoOrigin ?? 0) - lane.segmentStart >= settings.segmentTicks(of: lane)
        return isDue && mustRotate(atUs: wallTimeUs(of: timestamp, on: clock))
    }

    /// Starts a Period at a key frame; sound of the same instant starts with it.
    private mutating func beginPeriod(with unit: AccessUnit, timestamp: Int64) throws(RecordingFault) {
        guard let clock = video?.clock, let format = unit.format else { return }
        if period != nil { try endPeriod() }
        let startUs = wallTimeUs(of: timestamp, on: clock)
        openSession(atUs: startUs)
        actions.append(.periodBegan(startUs: startUs))
        var open = OpenPeriod(videoOrigin: timestamp)
        open.video = try TrackLane(
            kind: .video, format: .h264(format), chunkSeconds: settings.chunkSeconds, actions: &actions)
        period = open
        placeSoundBesideVideo()
        wantsNewPeriod = false
        try addPicture(unit, time: 0)
    }

    private mutating func addPicture(_ unit: AccessUnit, time: Int64) throws(RecordingFault) {
        try period?.video?.add(unit.data, time: time, nominal: 0, isSync: unit.isSync, actions: &actions)
    }

    /// Ends the segment at a key frame once it is long enough; sound is asked to end at the same instant. A sender that makes no key
    /// frames, whoever asks, cannot be waited for without end.
    private mutating func cutIfDue(at time: Int64, isSync: Bool) throws(RecordingFault) {
        guard let lane = period?.video else { return }
        let due = isSync ? settings.segmentTicks(of: lane) : settings.segmentTicksMax(of: lane)
        guard time - lane.segmentStart >= due else { return }
        if period?.soundOrigin == nil, !soundQueue.isEmpty {
            placeSoundBesideVideo(atOnce: true)
            try releaseSound(before: time)
        }
        try period?.video?.cut(at: time, actions: &actions)
        period?.hasFixedTracks = true
        if let audio = period?.audio {
            period?.audio?.cuts.append((time * audio.timescale / lane.timescale, nowNs))
        }
    }
}
