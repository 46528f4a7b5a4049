import Media

/// A Period being written: where its clock stands and its tracks.
struct OpenPeriod {
    /// The time of day of media time 0, as it was said when the Period began.
    let startUs: Int64
    /// The first picture's timestamp; media time 0. Moved when the sender counts anew. Of sound in a Period without video.
    var videoOrigin: Int64
    /// The sound timestamp that belongs to media time 0; nil while no sound has come to compare with.
    var soundOrigin: Int64?
    /// How sound and video timestamps were related when `soundOrigin` was found, in nanoseconds.
    var relationNs: Int64?
    /// How they are related by arrival, followed slowly; and the arrival of the picture it was last brought up to.
    var followed: (ns: Int64, atNs: UInt64)?
    /// What is added to video times to follow the sender's reports.
    private(set) var slew = TimeSlew()
    var video: TrackLane?
    var audio: TrackLane?
    /// The time of day was set since the Period began.
    var isMisplaced = false
    /// Video has been cut once: from now on the set of tracks is fixed.
    var hasFixedTracks = false

    /// How many have ended, of both tracks.
    var segments: Int { (video?.segments ?? 0) + (audio?.segments ?? 0) }

    /// The media times of a picture: when it is decoded and when it is shown, moved towards `target` without ever standing still or going
    /// back.
    mutating func videoTimes(of placed: PictureOrder.Placed, target: Int64?) -> (decoded: Int64, shown: Int64) {
        let shown = slew.move(placed.timestamp - videoOrigin, target: target)
        let decoded = slew.move(placed.decodingTime - videoOrigin, target: target)
        slew.forget(before: placed.decodingTime - videoOrigin)
        return (max(decoded, (video?.pendingTime ?? -1) + 1), shown)
    }

    /// The time of day has run away from what the Period's start and a media time say it is, and stays away: the sender's clock is not
    /// ours. To be asked at each cut.
    mutating func hasDrifted(at time: Int64, rate: Int64, wallTimeUs: Int64) -> Bool {
        guard !isMisplaced else { return true }
        let (seconds, rest) = time.quotientAndRemainder(dividingBy: rate)
        guard abs(wallTimeUs - startUs - seconds * 1_000_000 - rest * 1_000_000 / rate) > Self.driftUsMax else {
            driftedAtUs = nil
            return false
        }
        let sinceUs = driftedAtUs ?? wallTimeUs
        driftedAtUs = sinceUs
        return wallTimeUs - sinceUs >= Self.driftedUsMin
    }

    /// Since when it has.
    var driftedAtUs: Int64?
    /// Sender reports that are wrong move video for less.
    private static let driftedUsMin: Int64 = 60_000_000

    /// Far above what networks make of a minute's fastest packets, and 50 minutes of a clock that is 100 ppm off.
    static let driftUsMax: Int64 = 300_000

    /// The media time of sound, in its ticks; below 0 before the Period.
    func soundTime(of timestamp: Int64) -> Int64 {
        timestamp - (soundOrigin ?? timestamp)
    }
}
