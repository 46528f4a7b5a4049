import Presentation

/// 2026-11-20T10:00:00Z
let tenOClockUs: Int64 = 1_795_168_800_000_000

/// A recording of `seconds` in segments of two, video from `videoAt` and audio from `audioAt` on their own clocks.
func material(
    _ session: String, node: String = "edge-1", startSecond: Double = 0, seconds: Int = 10, isGrowing: Bool = false,
    hasAudio: Bool = true, codecs: String = "avc1.42e01f", videoAt: Int64 = 900_000, audioAt: Int64 = 480_000
) -> RecordedMaterial {
    let startUs = tenOClockUs + Int64(startSecond * 1e6)
    let recording = IndexedRecording(
        stream: "demo", node: node, session: session, startUs: startUs,
        endUs: isGrowing ? nil : startUs + Int64(seconds) * 1_000_000, status: isGrowing ? .active : .completed,
        mpdPath: "demo/2026/11/20/manifest.mpd", recordDir: "demo/2026/11/20", updatedUs: startUs + 1)
    let count = Int64(seconds / 2)
    func segments(_ from: Int64, _ length: Int64) -> [IndexedSegment] {
        (0..<count).map { IndexedSegment(number: $0 + 1, time: from + $0 * length, duration: length) }
    }
    let video = IndexedTrack(
        kind: "video", codecs: codecs, timescale: 90_000, timeAtStart: videoAt,
        initialization: "demo/2026/11/20/init_\(session).m4s", segmentPrefix: "demo/2026/11/20/seg_\(session)_",
        bandwidth: 1_000_000, width: 640, height: 360, frameRate: "30", segments: SegmentRuns(segments(videoAt, 180_000)))
    let audio = IndexedTrack(
        kind: "audio", codecs: "opus", timescale: 48_000, timeAtStart: audioAt,
        initialization: "demo/2026/11/20/audio_init_\(session).m4s",
        segmentPrefix: "demo/2026/11/20/audio_seg_\(session)_", bandwidth: 64_000, sampleRate: 48_000, channels: 2,
        segments: SegmentRuns(segments(audioAt, 96_000)))
    // Audio first, so that the order on the wire is seen not to matter.
    let period = IndexedPeriod(ordinal: 0, startUs: startUs, tracks: (hasAudio ? [audio] : []) + [video])
    return RecordedMaterial(recording: recording, periods: [period], isGrowing: isGrowing)
}

/// Breaks of DASH's rules for one period: numbers and times without holes, offsets that mean one instant.
func faults(in period: TimelinePeriod) -> [String] {
    var faults: [String] = []
    for entry in period.tracks {
        for (left, right) in zip(entry.track.segments, entry.track.segments.dropFirst()) {
            if left.number + 1 != right.number { faults.append("number \(right.number) behind \(left.number)") }
            if left.time + left.duration != right.time { faults.append("time \(right.time) behind \(left.time)") }
        }
        if entry.track.segments.isEmpty { faults.append("no segments") }
        let offset = Double(entry.presentationTimeOffset - entry.track.timeAtStart) / Double(entry.track.timescale)
        let first = period.tracks[0]
        let expected = Double(first.presentationTimeOffset - first.track.timeAtStart) / Double(first.track.timescale)
        if abs(offset - expected) > 1e-4 { faults.append("offset \(offset), not \(expected)") }
    }
    if period.durationUs <= 0 { faults.append("duration \(period.durationUs)") }
    return faults
}
