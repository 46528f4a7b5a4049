import Media

/// How far a recording has come, as it is shown to people and programs.
public enum PlaybackStatus: String, Sendable, Codable, CaseIterable {
    /// Segments are still being added.
    case active
    /// Closed by its recorder; nothing will be added.
    case completed
    /// The recorder gave up; what was finished before is playable.
    case failed
    /// Active when its node was last heard of, and the node is gone: incomplete, but playable up to there.
    case lost
    /// Known from the shared store alone, where nothing says how it ended: its end is that of the last segment there.
    case incomplete
}

/// One recording session: what one node wrote of one stream between one start and one stop.
///
/// The four key fields together are unique, so a record that is delivered twice changes nothing.
public struct IndexedRecording: Sendable, Equatable {
    /// The index's own number of this row; 0 before it is stored.
    public var row: Int64 = 0
    /// The stream's name.
    public var stream: String
    /// UTC day of the first frame, `YYYY-MM-DD`.
    public var day: String
    /// Alias of the node that recorded it.
    public var node: String
    /// The recording's identifier on its node.
    public var session: String
    /// Wall clock of the first frame, Unix microseconds.
    public var startUs: Int64
    /// Wall clock of the end, Unix microseconds; nil while it grows.
    public var endUs: Int64?
    /// Length of the media in milliseconds, as far as known.
    public var durationMs: Int64?
    /// As the node said last; a reader who knows that the node is gone shows `lost` instead of `active`.
    public var status: PlaybackStatus
    /// Key of the manifest the recorder wrote.
    public var mpdPath: String
    /// Directory that all object names of the recording are relative to.
    public var recordDir: String
    /// When the node last changed the record, Unix microseconds on the node's clock.
    public var updatedUs: Int64

    /// A record as a node tells it.
    public init(
        stream: String, node: String, session: String, startUs: Int64, endUs: Int64? = nil, durationMs: Int64? = nil,
        status: PlaybackStatus, mpdPath: String, recordDir: String, updatedUs: Int64
    ) {
        self.stream = stream
        self.day = Self.day(ofUs: startUs)
        self.node = node
        self.session = session
        self.startUs = startUs
        self.endUs = endUs
        self.durationMs = durationMs
        self.status = status
        self.mpdPath = mpdPath
        self.recordDir = recordDir
        self.updatedUs = updatedUs
    }

    /// The same, on a clock that is so much ahead.
    public func moved(byUs us: Int64) -> IndexedRecording {
        guard us != 0 else { return self }
        var moved = self
        moved.startUs += us
        moved.endUs = endUs.map { $0 + us }
        moved.updatedUs += us
        return moved
    }

    /// The UTC day of an instant, `YYYY-MM-DD`.
    public static func day(ofUs us: Int64) -> String { String(ISO8601.dateTime(microseconds: us).prefix(10)) }

    /// What to show when only `liveNodes` are up: an active recording of another node is lost.
    public func shownStatus(liveNodes: Set<String>) -> PlaybackStatus {
        status == .active && !liveNodes.contains(node) ? .lost : status
    }
}

/// One finished segment; times in its track's timescale.
public struct IndexedSegment: Sendable, Equatable {
    /// Its number in the object name, from 1.
    public var number: Int64
    /// Earliest presentation time in the track's timescale.
    public var time: Int64
    /// Exact duration in the track's timescale.
    public var duration: Int64
    /// Whether decoding can begin with it.
    public var startsWithSync: Bool

    /// A segment as the recorder's journal has it.
    public init(number: Int64, time: Int64, duration: Int64, startsWithSync: Bool = true) {
        self.number = number
        self.time = time
        self.duration = duration
        self.startsWithSync = startsWithSync
    }
}

/// One track of a period: all that a manifest says of it.
public struct IndexedTrack: Sendable, Equatable {
    /// `video` or `audio`.
    public var kind: String
    /// RFC 6381 codecs string from the bitstream, such as `avc1.42e01f`.
    public var codecs: String
    /// Ticks a second of all times in `segments`.
    public var timescale: Int64
    /// Media time that stands at the period's start, in the track's timescale.
    public var timeAtStart: Int64
    /// Key of the initialization object.
    public var initialization: String
    /// What a segment's key begins with; its number in at least four digits and the container's suffix follow.
    public var segmentPrefix: String
    /// Peak bit/s, at least 1.
    public var bandwidth: Int64
    /// Coded size in pixels, video only.
    public var width: Int?
    /// Coded size in pixels, video only.
    public var height: Int?
    /// Frames a second as DASH writes it (`30`, `30000/1001`), video only, when known.
    public var frameRate: String?
    /// Samples a second, audio only.
    public var sampleRate: Int?
    /// Channels, audio only.
    public var channels: Int?
    /// The finished segments in order.
    public var segments: SegmentRuns

    /// A track as the recorder's journal has it.
    public init(
        kind: String, codecs: String, timescale: Int64, timeAtStart: Int64, initialization: String, segmentPrefix: String,
        bandwidth: Int64, width: Int? = nil, height: Int? = nil, frameRate: String? = nil, sampleRate: Int? = nil,
        channels: Int? = nil, segments: SegmentRuns
    ) {
        self.kind = kind
        self.codecs = codecs
        self.timescale = timescale
        self.timeAtStart = timeAtStart
        self.initialization = initialization
        self.segmentPrefix = segmentPrefix
        self.bandwidth = bandwidth
        self.width = width
        self.height = height
        self.frameRate = frameRate
        self.sampleRate = sampleRate
        self.channels = channels
        self.segments = segments
    }
}

extension IndexedTrack {
    /// What its objects are.
    public var container: SegmentContainer { SegmentContainer(codecs: codecs) }

    /// Key of the segment with this number.
    public func object(number: Int64) -> String {
        let digits = String(number)
        return segmentPrefix + String(repeating: "0", count: max(0, 4 - digits.utf8.count)) + digits + ".\(container.suffix)"
    }
}

/// A stretch of a recording with one set of codecs and one unbroken clock.
public struct IndexedPeriod: Sendable, Equatable {
    /// Place in its recording, from 0.
    public var ordinal: Int
    /// Wall clock of the period's start, Unix microseconds.
    public var startUs: Int64
    /// No media lie between it and the period before on this node, whatever the clock says.
    public var continues: Bool
    /// The tracks, one file set each.
    public var tracks: [IndexedTrack]

    /// A period as the recorder's journal has it.
    public init(ordinal: Int, startUs: Int64, continues: Bool = false, tracks: [IndexedTrack]) {
        self.ordinal = ordinal
        self.startUs = startUs
        self.continues = continues
        self.tracks = tracks
    }
}

extension IndexedPeriod {
    /// The same, on a clock that is so much ahead.
    public func moved(byUs us: Int64) -> IndexedPeriod {
        var moved = self
        moved.startUs += us
        return moved
    }
}
