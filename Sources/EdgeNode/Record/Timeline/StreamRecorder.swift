import Journal
import Media
import MediaPlane

/// Turns what a stream's tap brings into sessions, Periods, segments and chunks. Sans-IO: time comes in as arguments, what shall
/// happen goes out as actions.
///
/// There is one presentation clock: the first key frame is 0, video follows its timestamps, and sound is placed beside it by the
/// sender's reports, or by arrival while there are none. When reports correct that, video catches up a little with each frame;
/// sound is never moved, because an ear hears it.
///
/// Sound waits until video has come as far, so that both can be cut, or a Period ended, at the same instant.
struct StreamRecorder {
    var settings: TimelineSettings
    var actions: [RecordingAction] = []

    var video: TrackInput?
    var audio: TrackInput?
    var period: OpenPeriod?
    /// Sound that is whole but not placed yet; with the time it came.
    var soundQueue: [(unit: AccessUnit, arrivalNs: UInt64)] = []
    /// The newest picture and sound: timestamp and arrival.
    var lastPicture: (timestamp: Int64, ns: UInt64)?
    var lastSound: (timestamp: Int64, ns: UInt64)?
    /// Pictures on their way from decoding order to the timeline.
    var pictureOrder = PictureOrder()
    /// The next key frame begins a new Period.
    var wantsNewPeriod = false
    /// The first sound since there is no Period; from then on pictures are waited for.
    var firstSoundNs: UInt64?
    var nowNs: UInt64 = 0
    private var keyframes = KeyframeAsker()
    private var session: OpenSession?
    private var wallClock: WallClock
    /// Since when the time of day is another than `wallClock` has it.
    private var setNs: UInt64?

    private(set) var fault: RecordingFault?
    /// What of the source is not recorded, and why.
    private(set) var leftOut: [String] = []
    /// Of sources that have ended.
    private var endedLosses = Losses()

    /// What never made it into the recording.
    struct Losses: Equatable {
        /// Packets that were missing when their time came.
        var packets: Int64 = 0
        /// Frames that were dropped because of that, or because they were malformed.
        var frames: Int64 = 0

        static func + (left: Losses, right: Losses) -> Losses {
            Losses(packets: left.packets &+ right.packets, frames: left.frames &+ right.frames)
        }
    }

    /// Since the recorder was made.
    var losses: Losses { endedLosses + (video?.losses ?? Losses()) + (audio?.losses ?? Losses()) }

    private struct OpenSession {
        /// Moved when the time of day is set.
        var startUs: Int64
        let day: Int64
        var periods = 0
        /// Of Periods that have ended.
        var segments = 0
    }

    /// An encoder that changes its format with each key frame must not make a manifest without end.
    private static let periodsMax = 1000

    init(settings: TimelineSettings, wallClock: WallClock) {
        self.settings = settings
        self.wallClock = wallClock
    }

    /// A session is open: between `sessionBegan` and `sessionEnded`.
    var isRecording: Bool { session != nil }
    /// A publisher is there that can be recorded.
    var hasSource: Bool { video != nil || audio != nil }

    // MARK: Input

    /// A publisher came, or came back, or changed its tracks.
    mutating func beginSource(_ tracks: [TapTrack], nowNs: UInt64, wallClock: WallClock) {
        self.nowNs = nowNs
        endSource(nowNs: nowNs)
        self.wallClock = wallClock
        setNs = nil
        let inputs = tracks.compactMap { TrackInput($0, soundTarget: settings.soundTarget) }
        video = inputs.first { $0.kind == .video }
        audio = inputs.first { $0.kind == .audio }
        let held = Set(inputs.map(\.index))
        leftOut = tracks.filter { !held.contains($0.index) }.map { TrackRefusal.text($0, soundTarget: settings.soundTarget) }
        fault = inputs.isEmpty ? .noRecordableTrack : nil
        keyframes = KeyframeAsker()
        process()
    }

    /// A packet from the tap.
    mutating func receive(
        track: UInt8, sequence: UInt64, timestamp: UInt32, arrivalNs: UInt64, marker: Bool, payload: [UInt8]
    ) {
        nowNs = max(nowNs, arrivalNs)
        let packet = RecordedPacket(timestamp: timestamp, arrivalNs: arrivalNs, marker: marker, payload: payload)
        if video?.index == track {
            video?.receive(sequence, packet)
        } else if audio?.index == track {
            audio?.receive(sequence, packet)
        }
        process()
    }

    /// A sender report from the tap.
    mutating func receiveReport(track: UInt8, ntp: UInt64, timestamp: UInt32, arrivalNs: UInt64) {
        if video?.index == track {
            video?.receiveReport(ntp: ntp, timestamp: timestamp, arrivalNs: arrivalNs)
        } else if audio?.index == track {
            audio?.receiveReport(ntp: ntp, timestamp: timestamp, arrivalNs: arrivalNs)
        }
    }

    /// The tap dropped packets because the recorder was too slow.
    mutating func receiveGap() {
        video?.giveUp()
        audio?.giveUp()
        process()
    }

    /// Lets time pass; at least every 100 ms, and after everything that has arrived until then was handed in.
    ///
    /// - Parameter wallClock: both clocks, now.
    mutating func tick(nowNs: UInt64, wallClock: WallClock? = nil) {
        self.nowNs = max(self.nowNs, nowNs)
        process()
        if let wallClock { follow(wallClock) }
        attempt { recorder throws(RecordingFault) in try recorder.advanceWithoutVideo() }
        askForKeyframe()
    }

    /// Takes the time of day that was set forward while a source sends: what comes from the next cut on has its place in the new time. A
    /// clock that is being set may be set back, so it has to stay. What would come to lie before what is recorded already keeps its time.
    private mutating func follow(_ fresh: WallClock) {
        let movedUs = fresh.realtimeUs - wallClock.us(monotonicNs: Int64(clamping: fresh.monotonicNs))
        guard movedUs > Self.setUsMin else {
            setNs = nil
            return
        }
        let sinceNs = setNs ?? nowNs
        setNs = sinceNs
        guard nowNs - sinceNs >= Self.setNsMin else { return }
        setNs = nil
        wallClock = fresh
        session?.startUs += movedUs
        period?.isMisplaced = true
    }

    /// By how much, and for how long, the time of day has to be another one.
    private static let setUsMin: Int64 = 2_000_000
    private static let setNsMin: UInt64 = 60_000_000_000

    /// The publisher is gone: what is there becomes segments, the session stays open for its return.
    mutating func endSource(nowNs: UInt64) {
        self.nowNs = max(self.nowNs, nowNs)
        // Nothing that is missing can come, so time may jump for the reordering.
        let later = self.nowNs &+ ReorderBuffer.waitNs
        video?.giveUp()
        audio?.giveUp()
        takeUnits(nowNs: later)
        attempt { recorder throws(RecordingFault) in try recorder.endPeriod() }
        endedLosses = losses
        video = nil
        audio = nil
        soundQueue = []
        lastPicture = nil
        lastSound = nil
        firstSoundNs = nil
        pictureOrder = PictureOrder()
        wantsNewPeriod = false
    }

    /// Ends the session, if one is open. A source that is there begins another at its next key frame.
    mutating func endSession(nowNs: UInt64) {
        self.nowNs = max(self.nowNs, nowNs)
        attempt { recorder throws(RecordingFault) in try recorder.endPeriod() }
        closeSession()
    }

    // MARK: Steps

    private mutating func process() {
        guard fault == nil else { return }
        takeUnits(nowNs: nowNs)
    }

    private mutating func takeUnits(nowNs now: UInt64) {
        // Sound first: it must be in the queue when the picture of the same instant releases it.
        for (unit, arrivalNs) in audio?.units(nowNs: now) ?? [] {
            attempt { recorder throws(RecordingFault) in try recorder.receiveSound(unit, arrivalNs: arrivalNs) }
        }
        for (unit, arrivalNs) in video?.units(nowNs: now) ?? [] {
            attempt { recorder throws(RecordingFault) in try recorder.receivePicture(unit, arrivalNs: arrivalNs) }
        }
        askForKeyframe()
    }

    /// A fault ends the session and waits for another source; what was recorded stays.
    private mutating func attempt(_ body: (inout StreamRecorder) throws(RecordingFault) -> Void) {
        guard fault == nil else { return }
        do throws(RecordingFault) {
            try body(&self)
        } catch {
            fault = error
            if period != nil { actions.append(.periodEnded) }
            period = nil
            closeSession()
        }
    }

    private mutating func askForKeyframe() {
        guard let needsKeyframe = video?.needsKeyframe, fault == nil else { return }
        let isWanted = needsKeyframe || wantsNewPeriod || isKeyframeLate()
        if keyframes.shouldAsk(isWanted: isWanted, nowNs: nowNs) { actions.append(.keyframeWanted) }
    }

    // Mutating only in name, as other questions that are asked for each packet: the compiler copies a whole recorder for those that aren't.
    private mutating func isKeyframeLate() -> Bool {
        guard let length = period?.video?.length, let rate = period?.video?.timescale else { return video?.lastArrivalNs != nil }
        return length >= settings.requestTicks(rate)
    }

    private mutating func closeSession() {
        guard session != nil else { return }
        session = nil
        actions.append(.sessionEnded)
    }

    // MARK: Sessions

    /// The time of day of a timestamp, Unix microseconds.
    func wallTimeUs(of timestamp: Int64, on clock: TrackClock) -> Int64 {
        wallClock.us(monotonicNs: (clock.steadyOffsetNs ?? 0) + clock.nanoseconds(timestamp))
    }

    /// A session that begins at this time of day would not be the open one: another day, or the open one is long enough.
    ///
    /// - Parameter withoutKeyframe: it would begin with a picture that cannot be decoded: only when no key frame has come for as long
    ///   again, or for an hour of the day.
    func mustRotate(atUs timeUs: Int64, withoutKeyframe: Bool = false) -> Bool {
        guard let session else { return true }
        let dayUs = withoutKeyframe ? timeUs - 3_600_000_000 : timeUs
        if settings.rotatesAtMidnight,
            withoutKeyframe ? dayUs / 86_400_000_000 > session.day : dayUs / 86_400_000_000 != session.day
        {
            return true
        }
        if session.periods >= Self.periodsMax { return !withoutKeyframe }
        let segments = session.segments + (period?.segments ?? 0)
        if segments >= settings.segmentsMax * (withoutKeyframe ? 2 : 1) { return true }
        guard let longest = settings.sessionSecondsMax else { return false }
        return timeUs - session.startUs >= Int64(longest) * (withoutKeyframe ? 2_000_000 : 1_000_000)
    }

    /// Nothing follows in the open Period, whose tracks have been cut.
    mutating func closePeriod() {
        session?.segments += period?.segments ?? 0
        period = nil
        actions.append(.periodEnded)
    }

    /// Opens a session, where there is none or the open one must end, for a Period that begins.
    mutating func openSession(atUs timeUs: Int64) {
        defer { session?.periods += 1 }
        guard mustRotate(atUs: timeUs) else { return }
        closeSession()
        session = OpenSession(startUs: timeUs, day: timeUs / 86_400_000_000)
        actions.append(.sessionBegan(startUs: timeUs))
    }
}

/// What shapes segments, in seconds.
struct TimelineSettings: Sendable {
    /// The least a segment holds; it ends at the next key frame.
    var segmentSeconds: Double = 4
    /// The most that a crash loses, and the length of a part for players near the live edge.
    var chunkSeconds: Double = 0.5
    /// After this a new session begins at the next cut; nil: never.
    var sessionSecondsMax: Int?
    /// After so many, of all tracks, too: a session's journal is read whole, and has up to 200 bytes for each. A day of 1 s segments has fewer.
    var segmentsMax = 200_000
    /// What sound that recordings cannot hold is turned into; nil: it is left out.
    var soundTarget: SoundTarget?
    /// A new session begins at the first cut of a UTC day.
    var rotatesAtMidnight = true

    /// Media without a picture or sound for longer is no long sample but another Period.
    static let discontinuityNs: Int64 = 10_000_000_000

    func segmentTicks(_ timescale: Int64) -> Int64 {
        // A key frame a little early is better than waiting a whole group of pictures for the next.
        Int64((segmentSeconds - min(0.1, segmentSeconds / 10)) * Double(timescale))
    }

    /// After this a key frame is asked for: a little late, so that an encoder that makes one in time anyway is left alone.
    func requestTicks(_ timescale: Int64) -> Int64 {
        Int64((segmentSeconds + 0.1) * Double(timescale))
    }

    /// No segment is longer when rounded to a second: it ends without a key frame then. Far above what encoders that ignore requests do, and known
    /// before anything is recorded, because playlists must name it (RFC 8216bis 4.4.3.1).
    var segmentSecondsMax: Double { max(3 * segmentSeconds, 12) }

    func segmentTicksMax(_ timescale: Int64) -> Int64 {
        Int64(segmentSecondsMax * Double(timescale))
    }

    /// No part is longer, in seconds, unless one sample is. All but a segment's last have at least 85 % of it (RFC 8216bis 4.4.4.9).
    var partSecondsMax: Double { Self.partStretch * chunkSeconds }

    /// How much longer than it shall be a part may get, because it ends with a whole sample.
    static let partStretch = 1.16
}

/// Our two clocks, read at the same moment; a step of the time of day afterwards does not move media until they are read again.
struct WallClock: Sendable {
    let monotonicNs: UInt64
    let realtimeUs: Int64

    func us(monotonicNs time: Int64) -> Int64 {
        realtimeUs + (time - Int64(clamping: monotonicNs)) / 1000
    }
}

/// Spaces out requests for key frames: a sender that does not answer must not be flooded.
struct KeyframeAsker {
    private var nextNs: UInt64 = 0
    private var intervalNs: UInt64 = 500_000_000

    mutating func shouldAsk(isWanted: Bool, nowNs: UInt64) -> Bool {
        guard isWanted else {
            nextNs = 0
            intervalNs = 500_000_000
            return false
        }
        guard nowNs >= nextNs else { return false }
        nextNs = nowNs &+ intervalNs
        intervalNs = min(intervalNs &* 2, 8_000_000_000)
        return true
    }
}
