import Media

/// Writes a clip as one fragmented MP4 file, `moov` first, from fragments of recorded tracks (ISO/IEC 14496-12 8.8).
///
/// Samples are not touched: each fragment gets a new `moof` with its track's identifier, its place in the clip, and the samples
/// that lie in it. Sans-IO; one value makes one file.
public struct ClipWriter: Sendable {
    private let tracks: [ClipTrack]
    /// What is hidden at the start of each track, in its ticks.
    private let hiddenTicks: [Int64]
    private let reorderTicks: [Int64]
    private var sequence: UInt64 = 0
    /// Where each track has come to.
    private var ends: [Int64]

    /// - Parameters:
    ///   - tracks: one for each of the file's tracks; their identifiers are their places, from 1.
    ///   - hiddenTicks: what an edit list hides of each track, in its ticks: what a decoder needs before the cut.
    ///   - reorderTicks: how much later than recorded each track is shown, in its ticks, and what the edit list takes back again:
    ///     with B-frames, so that nothing is shown before it is decoded. libavformat takes such offsets for a delay.
    public init(tracks: [ClipTrack], hiddenTicks: [Int64], reorderTicks: [Int64] = []) {
        self.tracks = tracks
        self.hiddenTicks = hiddenTicks
        self.reorderTicks = reorderTicks.isEmpty ? [Int64](repeating: 0, count: tracks.count) : reorderTicks
        ends = [Int64](repeating: 0, count: tracks.count)
    }

    /// `ftyp` and `moov`.
    /// - Parameter durationUs: how long the clip will be, microseconds (`mehd`).
    public func header(durationUs: Int64) -> [UInt8] {
        var out = BoxWriter()
        out.box("ftyp") { out in
            out.bytes += "iso6".utf8
            out.integer(0, 4)
            for brand in ["iso6", "isom", "mp41"] { out.bytes += brand.utf8 }
        }
        guard let first = tracks.first else { return out.bytes }
        out.box("moov") { out in
            let start = out.bytes.count
            out.bytes += first.mvhd
            // next_track_ID ends the box.
            out.overwrite(UInt64(tracks.count + 1), 4, at: start + first.mvhd.count - 4)
            for (index, track) in tracks.enumerated() {
                out.bytes += track.trak(id: UInt32(index + 1), hiddenTicks: hiddenTicks[index] &+ reorderTicks[index])
            }
            out.box("mvex") { out in
                out.fullBox("mehd", version: 1, flags: 0) { out in
                    let ticks = Double(max(0, durationUs)) / 1e6 * Double(first.movieTimescale)
                    out.integer(UInt64(min(ticks.rounded(), 9e15)), 8)
                }
                for index in tracks.indices {
                    out.fullBox("trex", version: 0, flags: 0) { out in
                        out.integer(UInt64(index + 1), 4)
                        out.integer(1, 4)
                        for _ in 0..<3 { out.integer(0, 4) }
                    }
                }
            }
        }
        return out.bytes
    }

    /// A fragment's place in the clip; times in the fragment's timescale.
    public struct Placement: Sendable, Equatable {
        /// Place of the track.
        public var track: Int
        /// Samples decoded before this are left out.
        public var from: Int64
        /// When samples would be shown that are only there for decoders, sorted: they are given no time of their own.
        public var hidden: [Int64]
        /// Behind the last sample that is shown before this, nothing is kept.
        public var until: Int64
        /// Added to each time.
        public var shift: Int64

        /// A placement in which everything is shown.
        public init(track: Int, from: Int64, hidden: [Int64] = [], until: Int64, shift: Int64) {
            (self.track, self.from, self.hidden, self.until, self.shift) = (track, from, hidden, until, shift)
        }
    }

    /// A sample where it stands in the clip.
    private struct Placed {
        var duration: Int64
        var compositionOffset: Int64
        var flags: UInt32
        var range: Range<Int>
    }

    /// `moof` and `mdat` of what a placement keeps of a fragment, and where it ends in the clip; nil when nothing is kept.
    ///
    /// Samples that are not shown get one tick each. An edit list hides them; but players that don't heed one in a file of
    /// fragments, as all that are made of libavformat, then show them for less than a picture's time.
    public mutating func write(_ fragment: ClipFragment, _ placement: Placement) -> (bytes: [UInt8], end: Int64)? {
        let kept = fragment.kept(placement)
        guard let first = kept.first else { return nil }
        var cursor = ends[placement.track]
        let start = max(cursor, first.time &+ placement.shift)
        let placed = kept.map { sample in
            let time = max(cursor, sample.time &+ placement.shift)
            cursor = max(time + 1, sample.time &+ sample.duration &+ placement.shift)
            let shown =
                hiddenTime(sample, placement) ?? sample.presentationTime &+ placement.shift &+ reorderTicks[placement.track]
            return Placed(
                duration: cursor - time, compositionOffset: shown &- time, flags: sample.flags, range: sample.range)
        }
        ends[placement.track] = cursor
        sequence += 1
        return (bytes(placed, of: fragment, at: start, track: placement.track), cursor)
    }

    /// Where a sample that is only there for decoders stands: a tick each before what is shown, in their own order.
    private func hiddenTime(_ sample: ClipFragment.Sample, _ placement: Placement) -> Int64? {
        guard let last = placement.hidden.last, sample.presentationTime <= last else { return nil }
        let shownAt = hiddenTicks[placement.track] &+ reorderTicks[placement.track]
        let rest = placement.hidden.count - placement.hidden.partitioningIndex { $0 >= sample.presentationTime }
        return shownAt &- Int64(rest)
    }

    private func bytes(_ samples: [Placed], of fragment: ClipFragment, at start: Int64, track: Int) -> [UInt8] {
        let sizes = samples.reduce(0) { $0 + $1.range.count }
        var out = BoxWriter()
        out.bytes.reserveCapacity(sizes + 160 + 16 * samples.count)
        var offsetPlace = 0
        out.box("moof") { out in
            out.fullBox("mfhd", version: 0, flags: 0) { $0.integer(sequence, 4) }
            out.box("traf") { out in
                // default-base-is-moof
                out.fullBox("tfhd", version: 0, flags: 0x02_0000) { $0.integer(UInt64(track + 1), 4) }
                out.fullBox("tfdt", version: 1, flags: 0) { $0.integer(UInt64(bitPattern: start), 8) }
                let hasOffsets = samples.contains { $0.compositionOffset != 0 }
                out.fullBox("trun", version: 1, flags: hasOffsets ? 0xF01 : 0x701) { out in
                    out.integer(UInt64(samples.count), 4)
                    offsetPlace = out.bytes.count
                    out.integer(0, 4)
                    for sample in samples {
                        out.integer(UInt64(bitPattern: sample.duration), 4)
                        out.integer(UInt64(sample.range.count), 4)
                        out.integer(UInt64(sample.flags), 4)
                        if hasOffsets { out.integer(UInt64(bitPattern: sample.compositionOffset), 4) }
                    }
                }
            }
        }
        out.overwrite(UInt64(out.bytes.count + 8), 4, at: offsetPlace)
        out.box("mdat") { out in
            for sample in samples { out.bytes += fragment.payload[sample.range] }
        }
        return out.bytes
    }
}

extension ClipFragment {
    fileprivate func kept(_ placement: ClipWriter.Placement) -> ArraySlice<Sample> {
        guard let last = samples.lastIndex(where: { $0.presentationTime < placement.until && $0.time >= placement.from }),
            let first = samples.firstIndex(where: { $0.time >= placement.from })
        else { return [] }
        return samples[first...last]
    }

    /// Whether everything behind this fragment, too, comes after `time`.
    public func isPast(_ time: Int64) -> Bool {
        samples.allSatisfy { $0.presentationTime >= time && $0.time >= time }
    }
}
