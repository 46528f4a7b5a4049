/// What a track's objects are. All are CMAF but those of VP8, which browsers play in WebM only.
public enum SegmentContainer: String, Sendable, CaseIterable {
    /// ISO/IEC 23000-19: `ftyp` and `moov`, then fragments.
    case cmaf
    /// WebM: the head of a Segment of unknown size, then Clusters; joined, they are one file.
    case webm

    /// The container of a track with this RFC 6381 codecs parameter.
    public init(codecs: String) {
        self = codecs == "vp8" ? .webm : .cmaf
    }

    /// Whether an object of this name holds media.
    public static func holds(_ name: String) -> Bool { allCases.contains { name.hasSuffix("." + $0.suffix) } }

    /// What object names end with, without the dot.
    public var suffix: String {
        switch self {
        case .cmaf: "m4s"
        case .webm: "webm"
        }
    }

    /// The media type of a track (RFC 6838).
    public func mediaType(isVideo: Bool) -> String {
        let kind = isVideo ? "video" : "audio"
        return switch self {
        case .cmaf: "\(kind)/mp4"
        case .webm: "\(kind)/webm"
        }
    }
}

/// Writes the samples of one track into segments. Not thread-safe; belongs to the thread that feeds it.
public protocol SampleWriter: AnyObject {
    /// What a decoder is set up by; comes before every segment.
    var initSegment: [UInt8] { get }
    /// What is written.
    var format: TrackFormat { get }
    /// Adds a sample to what is open; throws when it does not start where the one before it ended, or cannot be written.
    func append(_ sample: Sample) throws(FragmentWriterError)
    /// Ends what is open and returns it, whole in itself; nil when no sample is in it.
    /// - Parameter beginsSegment: it is the first of a segment.
    func finish(beginsSegment: Bool) -> Fragment?
}

extension SampleWriter {
    /// Ends what is open and returns it in one piece; empty when no sample is in it.
    public func flush(beginsSegment: Bool = false) -> [UInt8] {
        finish(beginsSegment: beginsSegment)?.bytes ?? []
    }
}

/// Samples that follow each other, as they stand in a file. In two pieces, so that what is large need not be copied behind what is small.
public struct Fragment: Equatable, Sendable {
    /// What comes first; in WebM, all of it.
    public let head: [UInt8]
    /// What follows.
    public let media: [UInt8]
    /// When the first sample is decoded, in the track's timescale.
    public let time: Int64
    /// The sum of the samples' durations, in the track's timescale.
    public let duration: Int64
    /// A decoder can start with the first sample.
    public let startsWithSync: Bool

    /// Bytes of both pieces.
    public var count: Int { head.count + media.count }
    /// Both pieces as one.
    public var bytes: [UInt8] { head + media }
}

extension TrackFormat {
    /// What its objects are.
    public var container: SegmentContainer { SegmentContainer(codecs: codecs) }

    /// A writer of its container; throws `unsupported` or what libavformat says.
    public func makeWriter() throws(FragmentWriterError) -> any SampleWriter {
        switch container {
        case .cmaf: try FragmentWriter(format: self)
        case .webm: try ClusterWriter(format: self)
        }
    }
}
