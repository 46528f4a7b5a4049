/// Everything an index needs to build manifests of a recording without reading its objects: `GET /api/recordings/{id}`.
///
/// A recording that grows is told in pieces: `?after=` with the `next` of the answer before brings only what has come since, and says
/// so by `first`. A node that cannot go on from there, or does not know the parameter, answers with everything.
public struct RecordingDetail: Sendable, Hashable, Codable {
    /// Version of the writer's format.
    public var version: RecordVersion
    /// The recording's id on its node.
    public var id: String
    /// The stream's name.
    public var stream: String
    /// Alias of the node that made it.
    public var nodeAlias: String
    /// How it stands.
    public var status: RecordingStatus
    /// Key of the manifest under the storage root.
    public var mpdPath: String
    /// Key prefix of the directory under the storage root.
    public var recordDir: String
    /// When the recording last changed, Unix microseconds.
    public var updatedAt: Int64
    /// Every distinct track configuration; periods refer to them by position.
    public var tracks: [RecordingTrack]
    /// Stretches without a gap or change of configuration, in order of time.
    public var periods: [RecordingPeriod]
    /// In a piece: the place of `periods[0]` among all periods. Of that one, tracks leave out what was told before. Periods before it
    /// are as they were, but for the bandwidth, which `tracks` has of all.
    public var first: Int?
    /// What to ask with for what comes after this. Means something to the node only.
    public var next: String?

    enum CodingKeys: String, CodingKey {
        case version, id, stream, status, tracks, periods, first, next
        case nodeAlias = "node_alias"
        case mpdPath = "mpd_path"
        case recordDir = "record_dir"
        case updatedAt = "updated_at"
    }

    /// Makes a detail of the current version.
    public init(
        id: String, stream: String, nodeAlias: String, status: RecordingStatus, mpdPath: String, recordDir: String,
        updatedAt: Int64, tracks: [RecordingTrack], periods: [RecordingPeriod]
    ) {
        version = .current
        self.id = id
        self.stream = stream
        self.nodeAlias = nodeAlias
        self.status = status
        self.mpdPath = mpdPath
        self.recordDir = recordDir
        self.updatedAt = updatedAt
        self.tracks = tracks
        self.periods = periods
    }

    /// Reads a detail; `id` and `stream` must be there, and every period's track must exist.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        version = try container.value(.version, or: .current)
        id = try container.decode(String.self, forKey: .id)
        stream = try container.decode(String.self, forKey: .stream)
        guard StreamName.isValid(stream) else {
            throw DecodingError.dataCorruptedError(forKey: .stream, in: container, debugDescription: "not a stream name")
        }
        nodeAlias = try container.value(.nodeAlias, or: "")
        status = try container.value(.status, or: .active)
        mpdPath = try container.value(.mpdPath, or: "")
        recordDir = try container.value(.recordDir, or: "")
        updatedAt = try container.value(.updatedAt, or: 0)
        let tracks: [RecordingTrack] = try container.value(.tracks, or: [])
        let periods: [RecordingPeriod] = try container.value(.periods, or: [])
        guard periods.allSatisfy({ $0.tracks.allSatisfy { tracks.indices.contains($0.track) } }) else {
            throw DecodingError.dataCorruptedError(
                forKey: .periods, in: container, debugDescription: "names a track that is not there")
        }
        self.tracks = tracks
        self.periods = periods
        first = try container.decodeIfPresent(Int.self, forKey: .first)
        next = try container.decodeIfPresent(String.self, forKey: .next)
    }
}

/// How the samples of one track are coded; what a DASH Representation says.
public struct RecordingTrack: Sendable, Hashable, Codable {
    /// `video` or `audio`.
    public var kind: String
    /// RFC 6381 codecs string taken from the bitstream, such as `avc1.42e01f` or `opus`.
    public var codecs: String
    /// `video/mp4` or `audio/mp4`.
    public var mimeType: String
    /// Units per second of every `t`, `d` and media time offset of this track.
    public var timescale: Int
    /// Pixels, video only.
    public var width: Int?
    /// Pixels, video only.
    public var height: Int?
    /// Frames per second as DASH writes it, such as `30` or `30000/1001`; video only, when known.
    public var frameRate: String?
    /// Hertz, audio only.
    public var sampleRate: Int?
    /// Audio only.
    public var channels: Int?
    /// Peak bits per second.
    public var bandwidth: Int

    enum CodingKeys: String, CodingKey {
        case kind, codecs, timescale, width, height, channels, bandwidth
        case mimeType = "mime_type"
        case frameRate = "frame_rate"
        case sampleRate = "sample_rate"
    }

    /// Makes a track.
    public init(
        kind: String, codecs: String, mimeType: String, timescale: Int, width: Int? = nil, height: Int? = nil,
        frameRate: String? = nil, sampleRate: Int? = nil, channels: Int? = nil, bandwidth: Int
    ) {
        self.kind = kind
        self.codecs = codecs
        self.mimeType = mimeType
        self.timescale = timescale
        self.width = width
        self.height = height
        self.frameRate = frameRate
        self.sampleRate = sampleRate
        self.channels = channels
        self.bandwidth = bandwidth
    }

    /// Reads a track. Throws when the timescale isn't positive: everything after would divide by it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        kind = try container.decode(String.self, forKey: .kind)
        codecs = try container.value(.codecs, or: "")
        mimeType = try container.value(.mimeType, or: "\(kind)/mp4")
        timescale = try container.decode(Int.self, forKey: .timescale)
        guard timescale > 0 else {
            throw DecodingError.dataCorruptedError(forKey: .timescale, in: container, debugDescription: "not positive")
        }
        width = try container.decodeIfPresent(Int.self, forKey: .width)
        height = try container.decodeIfPresent(Int.self, forKey: .height)
        frameRate = try container.decodeIfPresent(String.self, forKey: .frameRate)
        sampleRate = try container.decodeIfPresent(Int.self, forKey: .sampleRate)
        channels = try container.decodeIfPresent(Int.self, forKey: .channels)
        bandwidth = try container.value(.bandwidth, or: 0)
    }
}

/// A stretch of a recording that plays without a gap.
public struct RecordingPeriod: Sendable, Hashable, Codable {
    /// Unique in the recording's directory, stable once written.
    public var id: String
    /// Wall clock of its first sample, Unix microseconds.
    public var startUs: Int64
    /// No media lie between it and the period before on this node, which may be another recording's. The clock may say otherwise,
    /// because senders' clocks run faster or slower than the node's. Nil, which is left out, means no.
    public var continues: Bool?
    /// Media time, milliseconds; grows while the recording is active.
    public var durationMs: Int64
    /// One entry for each track that has samples.
    public var tracks: [RecordingPeriodTrack]

    enum CodingKeys: String, CodingKey {
        case id, tracks, continues
        case startUs = "start_us"
        case durationMs = "duration_ms"
    }

    /// Makes a period.
    public init(id: String, startUs: Int64, continues: Bool? = nil, durationMs: Int64, tracks: [RecordingPeriodTrack]) {
        self.id = id
        self.startUs = startUs
        self.continues = continues
        self.durationMs = durationMs
        self.tracks = tracks
    }
}

/// The objects of one track in one period.
public struct RecordingPeriodTrack: Sendable, Hashable, Codable {
    /// Position in `RecordingDetail.tracks`.
    public var track: Int
    /// Key of the initialisation object under the storage root.
    public var initObject: String
    /// What the keys of all segments begin with, before the number.
    public var segmentPrefix: String
    /// Media time at the period's start, in the track's timescale (DASH `presentationTimeOffset`).
    public var mediaTimeOffset: Int64
    /// Segments in order of time. Where one is gone, its number and its time are missing.
    public var segments: [RecordingSegment]
    /// How many segments in front of these were told before; nil, which is left out, means none.
    public var known: Int?

    enum CodingKeys: String, CodingKey {
        case track, segments, known
        case initObject = "init_object"
        case segmentPrefix = "segment_prefix"
        case mediaTimeOffset = "media_time_offset"
    }

    /// Makes the entry of one track.
    public init(track: Int, initObject: String, segmentPrefix: String, mediaTimeOffset: Int64, segments: [RecordingSegment]) {
        self.track = track
        self.initObject = initObject
        self.segmentPrefix = segmentPrefix
        self.mediaTimeOffset = mediaTimeOffset
        self.segments = segments
    }
}

/// One media segment.
public struct RecordingSegment: Sendable, Hashable, Codable {
    /// Key under the storage root.
    public var object: String
    /// Media time of the first sample, in the track's timescale.
    public var t: Int64
    /// Duration, in the track's timescale.
    public var d: Int64
    /// Size of the object.
    public var bytes: Int64
    /// False when it does not begin with a sync sample, so that nothing can begin with it. Nil, which is left out, means it does.
    public var sync: Bool?

    /// - Parameters:
    ///   - object: key under the storage root.
    ///   - t: media time of the first sample, in the track's timescale.
    ///   - d: duration, in the track's timescale.
    ///   - bytes: size of the object.
    ///   - sync: false when it does not begin with a sync sample.
    public init(object: String, t: Int64, d: Int64, bytes: Int64, sync: Bool? = nil) {
        self.object = object
        self.t = t
        self.d = d
        self.bytes = bytes
        self.sync = sync
    }
}
