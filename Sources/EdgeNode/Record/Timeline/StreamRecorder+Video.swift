import Media

extension StreamRecorder {
    /// A whole picture, in decoding order.
    mutating func receivePicture(_ unit: AccessUnit, arrivalNs: UInt64) throws(RecordingFault) {
        guard let clock = video?.clock else { return }
        if let last = lastPicture {
            let isJump = clock.isJump(from: last.timestamp, atNs: last.ns, to: unit.timestamp, atNs: arrivalNs)
            if isJump || unit.timestamp - last.timestamp < -clock.rate {
                try placeHeldPictures()
                pictureOrder = PictureOrder()
                if !moveVideo(from: last, to: (unit.timestamp, arrivalNs)) { try endPeriodHere() }
            }
        }
        lastPicture = (unit.timestamp, arrivalNs)
        pictureOrder.push(unit)
        while let placed = pictureOrder.pop() { try place(placed, clock: clock) }
    }

    /// Pictures that were held back for others to be shown before them; none of those will come.
    mutating func placeHeldPictures() throws(RecordingFault) {
        guard let clock = video?.clock else { return }
        while let placed = pictureOrder.pop(all: true) { try place(placed, clock: clock) }
    }

    /// Puts one picture on the timeline, as the first of a Period where one has to begin.
    private mutating func place(_ placed: PictureOrder.Placed, clock: TrackClock) throws(RecordingFault) {
        let unit = placed.unit
        guard period?.video != nil else {
            if unit.isSync { try beginPeriod(with: unit, timestamp: placed.timestamp) }
            return
        }
        let target = correctionTarget(pictureNs: lastPicture?.ns ?? nowNs)
        guard var open = period else { return }
        // What is decoded behind the first picture and shown before it would stand before the Period.
        guard placed.timestamp >= open.videoOrigin else { return }
        let time = open.videoTime(of: placed.decodingTime, target: target)
        period = open
        if unit.isSync, try beginsPeriod(unit, timestamp: placed.timestamp, clock: clock) {
            try endPeriodHere(atVideo: time)
            try beginPeriod(with: unit, timestamp: placed.timestamp, continues: true)
            return
        }
        try releaseSound(before: time)
        try cutIfDue(at: time, isSync: unit.isSync)
        let isInOrder = placed.timestamp == placed.decodingTime
        try addPicture(unit, time: time, offset: isInOrder ? 0 : placed.timestamp - open.videoOrigin + open.correction - time)
    }

    private func beginsPeriod(_ unit: AccessUnit, timestamp: Int64, clock: TrackClock) throws(RecordingFault) -> Bool {
        guard let lane = period?.video else { return false }
        if wantsNewPeriod { return true }
        if let format = unit.format, lane.format != format { return true }
        let isDue = timestamp - (period?.videoOrigin ?? 0) - lane.segmentStart >= settings.segmentTicks(of: lane)
        return isDue && mustRotate(atUs: wallTimeUs(of: timestamp, on: clock))
    }

    /// Starts a Period at a key frame; sound of the same instant starts with it.
    private mutating func beginPeriod(
        with unit: AccessUnit, timestamp: Int64, continues: Bool = false
    ) throws(RecordingFault) {
        guard let clock = video?.clock, let format = unit.format else { return }
        if period != nil { try endPeriodHere() }
        let startUs = wallTimeUs(of: timestamp, on: clock)
        openSession(atUs: startUs)
        actions.append(.periodBegan(startUs: startUs, continues: continues))
        var open = OpenPeriod(videoOrigin: timestamp)
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
