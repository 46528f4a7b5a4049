/// Why a fragment could not be made.
public enum FragmentWriterError: Error, Equatable, Sendable {
    /// libavformat refused; `code` is its AVERROR.
    case libavformat(call: String, code: Int32)
    /// A sample does not continue the one before it, or has no length.
    case discontinuous(expected: Int64, got: Int64)
    /// The format cannot be written.
    case unsupported
}

/// Writes one track as CMAF (ISO/IEC 23000-19) into memory: an initialization segment, then fragments of one `moof` and one `mdat`.
///
/// The initialization segment is libavformat's; fragments are written here, because samples would be copied four times on their way
/// through its muxer. A sample's decoding time must be the sum of all durations before it, so `tfdt` always continues. Not thread-safe;
/// belongs to the thread that feeds it.
public final class FragmentWriter: SampleWriter {
    /// `ftyp` and `moov`.
    public let initSegment: [UInt8]
    /// What is written.
    public let format: TrackFormat

    private let offsetMax: Int64
    private var nextTime: Int64?
    private var entries: [FragmentHead.Entry] = []
    private var media: [UInt8] = []
    private var mediaBytes = 0
    /// When the open fragment's first sample is decoded.
    private var fragmentTime: Int64 = 0
    private var sequence: UInt32 = 0

    /// `styp` of a CMAF segment that follows the live profile of ISO/IEC 23009-1.
    public static let segmentType: [UInt8] =
        [0, 0, 0, 24] + Array("styp".utf8) + Array("msdh".utf8) + [0, 0, 0, 0] + Array("msdh".utf8) + Array("cmfs".utf8)

    /// More in one fragment is no stream that anyone plays.
    static let bytesMax = 1 << 30

    /// Throws `unsupported` or what libavformat says.
    public init(format: TrackFormat) throws(FragmentWriterError) {
        self.format = format
        offsetMax = format.reorderedSamplesMax == 0 ? 0 : Int64(format.timescale) * 60
        initSegment = try InitializationSegment.bytes(format)
    }

    /// Adds a sample to the open fragment.
    ///
    /// The first one's composition offset must be 0, and all of them where the format says that samples are shown as they are decoded.
    ///
    /// Throws `discontinuous` when it does not start where the one before it ended, `unsupported` for other offsets.
    public func append(_ sample: Sample) throws(FragmentWriterError) {
        let expected = nextTime ?? sample.time
        guard sample.time == expected, sample.duration > 0, sample.time >= 0 else {
            throw .discontinuous(expected: expected, got: sample.time)
        }
        let mayReorder = offsetMax > 0 && nextTime != nil
        guard sample.compositionOffset == 0 || mayReorder, abs(sample.compositionOffset) <= offsetMax,
            let duration = UInt32(exactly: sample.duration), media.count + sample.data.count <= Self.bytesMax
        else { throw .unsupported }
        if entries.isEmpty {
            fragmentTime = sample.time
            media.reserveCapacity(mediaBytes + mediaBytes / 4)
        }
        entries.append(
            FragmentHead.Entry(
                duration: duration, bytes: UInt32(sample.data.count), offset: Int32(sample.compositionOffset),
                isSync: sample.isSync))
        media += sample.data
        nextTime = sample.time + sample.duration
    }

    /// Ends the open fragment and returns it, `moof` and `mdat`, behind `styp` when it begins a segment; nil when no sample is in it.
    public func finish(beginsSegment: Bool) -> Fragment? {
        guard let first = entries.first, let nextTime else { return nil }
        sequence &+= 1
        let head = FragmentHead(sequence: sequence, time: fragmentTime, entries: entries, mediaBytes: media.count)
        let fragment = Fragment(
            head: head.bytes(behind: beginsSegment ? Self.segmentType : []), media: media, time: fragmentTime,
            duration: nextTime - fragmentTime, startsWithSync: first.isSync)
        mediaBytes = media.count
        media = []
        entries.removeAll(keepingCapacity: true)
        return fragment
    }
}

/// `moof` of one track and the head of its `mdat` (ISO/IEC 14496-12 8.8).
struct FragmentHead {
    struct Entry {
        let duration: UInt32
        let bytes: UInt32
        let offset: Int32
        let isSync: Bool

        /// sample_depends_on and sample_is_non_sync_sample (8.8.3.1).
        var flags: UInt32 { isSync ? 0x0200_0000 : 0x0101_0000 }
    }

    let sequence: UInt32
    let time: Int64
    let entries: [Entry]
    let mediaBytes: Int

    /// At least one entry.
    func bytes(behind prefix: [UInt8]) -> [UInt8] {
        guard let first = entries.first else { return prefix }
        // What most samples share is said once.
        let common = entries.count > 1 ? entries[1] : first
        let rest = entries.dropFirst()
        let hasDurations = entries.contains { $0.duration != first.duration }
        let hasFlags = rest.contains { $0.isSync != common.isSync }
        let hasFirstFlags = !hasFlags && first.isSync != common.isSync
        let hasOffsets = entries.contains { $0.offset != 0 }
        let fields = 1 + [hasDurations, hasFlags, hasOffsets].count { $0 }
        let run = 20 + (hasFirstFlags ? 4 : 0) + 4 * fields * entries.count
        let header = 20 + (hasDurations ? 0 : 4)
        let fragment = 8 + header + 20 + run
        let movie = 8 + 16 + fragment

        var out = prefix
        out.reserveCapacity(prefix.count + movie + 8)
        out.box("moof", movie)
        out.box("mfhd", 16, version: 0, flags: 0)
        out.word(sequence)
        out.box("traf", fragment)
        // default-base-is-moof, default flags and, when it is one for all, the duration.
        out.box("tfhd", header, version: 0, flags: 0x02_0020 | (hasDurations ? 0 : 0x08))
        out.word(1)
        if !hasDurations { out.word(first.duration) }
        out.word(common.flags)
        out.box("tfdt", 20, version: 1, flags: 0)
        out.word(UInt32(truncatingIfNeeded: time >> 32))
        out.word(UInt32(truncatingIfNeeded: time))
        var present: UInt32 = 0x201
        if hasFirstFlags { present |= 0x004 }
        if hasDurations { present |= 0x100 }
        if hasFlags { present |= 0x400 }
        if hasOffsets { present |= 0x800 }
        out.box("trun", run, version: 1, flags: present)
        out.word(UInt32(entries.count))
        out.word(UInt32(movie + 8))
        if hasFirstFlags { out.word(first.flags) }
        for entry in entries {
            if hasDurations { out.word(entry.duration) }
            out.word(entry.bytes)
            if hasFlags { out.word(entry.flags) }
            if hasOffsets { out.word(UInt32(bitPattern: entry.offset)) }
        }
        out.box("mdat", mediaBytes + 8)
        return out
    }
}

extension [UInt8] {
    fileprivate mutating func word(_ value: UInt32) {
        append(UInt8(truncatingIfNeeded: value >> 24))
        append(UInt8(truncatingIfNeeded: value >> 16))
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    fileprivate mutating func box(_ type: StaticString, _ size: Int) {
        word(UInt32(size))
        type.withUTF8Buffer { append(contentsOf: $0) }
    }

    fileprivate mutating func box(_ type: StaticString, _ size: Int, version: UInt32, flags: UInt32) {
        box(type, size)
        word(version << 24 | flags)
    }
}
