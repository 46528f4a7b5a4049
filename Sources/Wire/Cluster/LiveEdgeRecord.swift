/// What a node tells of a stream that it is recording now: `GET /api/playback/{stream}/live`.
public struct LiveEdgeRecord: Sendable, Hashable, Codable {
    /// Version of the writer's format.
    public var format: RecordVersion
    /// Another one whenever anything changes; to be given back as `after`.
    public var version: Int64
    /// Another one whenever a segment, track or period comes or goes.
    public var revision: Int64
    /// The recording that grows.
    public var session: String
    /// The longest part, seconds.
    public var partSecondsMax: Double
    /// The longest segment, seconds.
    public var segmentSecondsMax: Double
    /// The last segments of the stream's youngest recordings.
    public var recordings: [Recording]
    /// The period being written as the only one of a detail, its tracks without segments; nil between two periods.
    public var open: RecordingDetail?
    /// The place of the period being written among those of its recording.
    public var openOrdinal: Int
    /// Youngest segments with their parts.
    public var tracks: [Track]

    /// The end of a recording.
    public struct Recording: Sendable, Hashable, Codable {
        /// Its row.
        public var record: RecordingRecord
        /// Its last periods with their last segments.
        public var detail: RecordingDetail
        /// Periods before the first one in `detail`.
        public var firstOrdinal: Int

        enum CodingKeys: String, CodingKey {
            case record, detail
            case firstOrdinal = "first_ordinal"
        }

        /// A recording's end.
        public init(record: RecordingRecord, detail: RecordingDetail, firstOrdinal: Int) {
            (self.record, self.detail, self.firstOrdinal) = (record, detail, firstOrdinal)
        }
    }

    /// A track's youngest segments.
    public struct Track: Sendable, Hashable, Codable {
        /// What the keys of its segments begin with.
        public var prefix: String
        /// In order.
        public var segments: [Segment]

        /// A track.
        public init(prefix: String, segments: [Segment]) { (self.prefix, self.segments) = (prefix, segments) }
    }

    /// A segment's parts.
    public struct Segment: Sendable, Hashable, Codable {
        /// Its number.
        public var number: Int64
        /// Where it begins, in the track's timescale.
        public var t: Int64
        /// It is an object now.
        public var finished: Bool
        /// Duration of each part, in the track's timescale.
        public var parts: [Int64]
        /// Places in `parts` of those that begin with a sync sample.
        public var independent: [Int]

        /// A segment.
        public init(number: Int64, t: Int64, finished: Bool, parts: [Int64], independent: [Int]) {
            (self.number, self.t, self.finished, self.parts, self.independent) = (number, t, finished, parts, independent)
        }
    }

    enum CodingKeys: String, CodingKey {
        case format, version, revision, session, recordings, open, tracks
        case partSecondsMax = "part_seconds_max"
        case segmentSecondsMax = "segment_seconds_max"
        case openOrdinal = "open_ordinal"
    }

    /// A record of the current format.
    public init(
        version: Int64, revision: Int64, session: String, partSecondsMax: Double, segmentSecondsMax: Double,
        recordings: [Recording], open: RecordingDetail?, openOrdinal: Int, tracks: [Track]
    ) {
        format = .current
        (self.version, self.revision, self.session) = (version, revision, session)
        (self.partSecondsMax, self.segmentSecondsMax) = (partSecondsMax, segmentSecondsMax)
        (self.recordings, self.open, self.openOrdinal, self.tracks) = (recordings, open, openOrdinal, tracks)
    }
}
