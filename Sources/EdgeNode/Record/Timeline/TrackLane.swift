import Journal
import Media

/// One track of an open Period: samples in, chunks and segments out. A sample is written when the next one's time is known,
/// so durations are never guessed.
struct TrackLane {
    let kind: LaneKind
    let timescale: Int64
    private let writer: any SampleWriter
    private let chunkTicks: Int64
    private let chunkTicksMax: Int64
    private var pending: Pending?
    private var chunkStart: Int64 = 0
    private var samplesInSegment = 0
    private var samplesInChunk = 0
    private var hasBytesInSegment = false
    private var segmentStartsWithSync = true
    private(set) var segmentStart: Int64 = 0
    /// How many have ended.
    private(set) var segments = 0
    /// The last sample's length, a guess for one that has no successor.
    private(set) var lastDuration: Int64
    /// Where the segment shall end, as media times, oldest first; with the time each was asked for.
    var cuts: [(time: Int64, askedNs: UInt64)] = []

    struct Pending {
        var data: [UInt8]
        var time: Int64
        var offset: Int64
        /// What the bitstream says it lasts.
        var nominal: Int64
        var isSync: Bool
    }

    init(kind: LaneKind, format: TrackFormat, chunkSeconds: Double, actions: inout [RecordingAction]) throws(RecordingFault) {
        self.kind = kind
        timescale = Int64(format.timescale)
        chunkTicks = Int64(chunkSeconds * Double(format.timescale))
        chunkTicksMax = Int64(TimelineSettings.partStretch * chunkSeconds * Double(format.timescale))
        lastDuration = format.silence?.duration ?? timescale / 30
        do throws(FragmentWriterError) {
            writer = try format.makeWriter()
        } catch {
            throw .muxer(error)
        }
        actions.append(.trackBegan(kind, format, initSegment: writer.initSegment))
    }

    var format: TrackFormat { writer.format }

    /// Where the sample that waits for its successor starts; nil before the first.
    var pendingTime: Int64? { pending?.time }

    /// Where what is known so far ends.
    var end: Int64 { pending.map { $0.time + ($0.nominal > 0 ? $0.nominal : lastDuration) } ?? segmentStart }

    /// How long the segment is, as far as is known.
    var length: Int64 { end - segmentStart }

    /// Adds a sample that starts after the pending one, which ends there; `offset` is when it is shown minus `time`.
    mutating func add(
        _ data: [UInt8], time: Int64, offset: Int64 = 0, nominal: Int64, isSync: Bool, actions: inout [RecordingAction]
    ) throws(RecordingFault) {
        try commitPending(endingAt: time, actions: &actions)
        pending = Pending(data: data, time: time, offset: offset, nominal: nominal, isSync: isSync)
    }

    /// Ends the segment at `time`, which is where the pending sample ends.
    mutating func cut(at time: Int64, actions: inout [RecordingAction]) throws(RecordingFault) {
        try commitPending(endingAt: time, actions: &actions)
        try flush(&actions)
        guard samplesInSegment > 0 else { return }
        actions.append(
            .segmentEnded(
                kind, time: segmentStart, duration: time - segmentStart, samples: samplesInSegment,
                startsWithSync: segmentStartsWithSync))
        segments += 1
        segmentStart = time
        samplesInSegment = 0
        hasBytesInSegment = false
    }

    /// Ends the segment before the sample that waits when the segment would be longer than `limit` with it ending at `time`.
    ///
    /// - Returns: where it was cut; nil when it was not.
    mutating func cutBeforePending(
        endingAt time: Int64, limit: Int64, actions: inout [RecordingAction]
    ) throws(RecordingFault) -> Int64? {
        guard let sample = pending, time - segmentStart > limit, sample.time > segmentStart else { return nil }
        pending = nil
        try cut(at: sample.time, actions: &actions)
        pending = sample
        return sample.time
    }

    /// Hands out what is written so far, so that a crash cannot lose it.
    mutating func flush(_ actions: inout [RecordingAction]) throws(RecordingFault) {
        guard samplesInChunk > 0 else { return }
        samplesInChunk = 0
        guard let fragment = writer.finish(beginsSegment: !hasBytesInSegment) else { return }
        actions.append(.chunk(kind, fragment))
        hasBytesInSegment = true
    }

    private mutating func commitPending(endingAt time: Int64, actions: inout [RecordingAction]) throws(RecordingFault) {
        guard let sample = pending else { return }
        pending = nil
        lastDuration = time - sample.time
        // With a long sample behind it a part would be longer than players were told.
        if samplesInChunk > 0, time - chunkStart > chunkTicksMax { try flush(&actions) }
        do throws(FragmentWriterError) {
            try writer.append(
                Sample(
                    data: sample.data, time: sample.time, compositionOffset: sample.offset, duration: lastDuration,
                    isSync: sample.isSync))
        } catch {
            throw .muxer(error)
        }
        if samplesInChunk == 0 { chunkStart = sample.time }
        if samplesInSegment == 0 { segmentStartsWithSync = sample.isSync }
        samplesInChunk += 1
        samplesInSegment += 1
        if time - chunkStart >= chunkTicks { try flush(&actions) }
    }
}
