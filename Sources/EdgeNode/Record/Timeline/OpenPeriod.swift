import Media

/// A Period being written: where its clock stands and its tracks.
struct OpenPeriod {
    /// The first picture's timestamp; media time 0. Moved when the sender counts anew. Of sound in a Period without video.
    var videoOrigin: Int64
    /// The sound timestamp that belongs to media time 0; nil while no sound has come to compare with.
    var soundOrigin: Int64?
    /// How sound and video timestamps were related when `soundOrigin` was found, in nanoseconds.
    var relationNs: Int64?
    /// How they are related by arrival, followed slowly; and the arrival of the picture it was last brought up to.
    var followed: (ns: Int64, atNs: UInt64)?
    /// What has been added to video times so far, in ticks, to follow the sender's reports.
    var correction: Int64 = 0
    var video: TrackLane?
    var audio: TrackLane?
    /// Video has been cut once: from now on the set of tracks is fixed.
    var hasFixedTracks = false

    /// The most by which a correction changes a frame's length: a tenth, which nobody sees.
    static let slewDivisor: Int64 = 10
    /// Corrections of less are left alone: 2 ms at 90 kHz.
    static let slewDeadband: Int64 = 180

    /// The media time of a picture, moved towards `target` without ever standing still or going back.
    mutating func videoTime(of timestamp: Int64, target: Int64?) -> Int64 {
        let raw = timestamp - videoOrigin
        if let target, let previous = video?.pendingTime, abs(target - correction) > Self.slewDeadband {
            let step = max(0, raw + correction - previous) / Self.slewDivisor
            correction += max(-step, min(step, target - correction))
        }
        return max(raw + correction, (video?.pendingTime ?? -1) + 1)
    }

    /// The media time of sound, in its ticks; below 0 before the Period.
    func soundTime(of timestamp: Int64) -> Int64 {
        timestamp - (soundOrigin ?? timestamp)
    }
}
