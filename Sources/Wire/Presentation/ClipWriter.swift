/// Writes a clip as one fragmented MP4 file, `moov` first, from fragments of recorded tracks (ISO/IEC 14496-12 8.8).
///
/// Samples are not touched: each fragment gets a new `moof` with its track's identifier, its place in the clip, and the samples
/// that lie in it. Sans-IO; one value makes one file.
public struct ClipWriter: Sendable {
    private let tracks: [ClipTrack]
    /// What is hidden at the start of each track, in its ticks.
    private let hiddenTicks: [Int64]
    private var sequence: UInt64 = 0

    /// - Parameters:
    ///   - tracks: one for each of the file's tracks; their identifiers are their places, from 1.
    ///   - hiddenTicks: what an edit list hides of each track, in its ticks: what a decoder needs before the cut.
    public init(tracks: [ClipTrack], hiddenTicks: [Int64]) {
        self.tracks = tracks
        self.hiddenTicks = hiddenTicks
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
                out.bytes += track.trak(id: UInt32(index + 1), hiddenTicks: index < hiddenTicks.count ? hiddenTicks[index] : 0)
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
        /// Behind the last sample that is shown before this, nothing is kept.
        public var until: Int64
        /// Added to each time.
        public var shift: Int64

        /// A placement.
        public init(track: Int, from: Int64, until: Int64, shift: Int64) {
            (self.track, self.from, self.until, self.shift) = (track, from, until, shift)
        }
    }

    /// `moof` and `mdat` of what a placement keeps of a fragment, and where it ends in the clip; nil when nothing is kept.
    public mutating func write(_ fragment: ClipFragment, _ placement: Placement) -> (bytes: [UInt8], end: Int64)? {
        let kept = fragment.kept(placement)
        guard let first = kept.first, let last = kept.last, first.time &+ placement.shift >= 0 else { return nil }
        sequence += 1
        let sizes = kept.reduce(0) { $0 + $1.range.count }
        var out = BoxWriter()
        out.bytes.reserveCapacity(sizes + 160 + 16 * kept.count)
        var offsetPlace = 0
        out.box("moof") { out in
            out.fullBox("mfhd", version: 0, flags: 0) { $0.integer(sequence, 4) }
            out.box("traf") { out in
                // default-base-is-moof
                out.fullBox("tfhd", version: 0, flags: 0x02_0000) { $0.integer(UInt64(placement.track + 1), 4) }
                out.fullBox("tfdt", version: 1, flags: 0) {
                    $0.integer(UInt64(bitPattern: first.time &+ placement.shift), 8)
                }
                let hasOffsets = kept.contains { $0.compositionOffset != 0 }
                out.fullBox("trun", version: 1, flags: hasOffsets ? 0xF01 : 0x701) { out in
                    out.integer(UInt64(kept.count), 4)
                    offsetPlace = out.bytes.count
                    out.integer(0, 4)
                    for sample in kept {
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
            for sample in kept { out.bytes += fragment.payload[sample.range] }
        }
        return (out.bytes, last.time &+ last.duration &+ placement.shift)
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
