/// A DASH media presentation (ISO/IEC 23009-1 5.3.1), as far as recordings need it.
public struct MPD: Equatable, Sendable {
    /// How the presentation develops.
    public enum Kind: Equatable, Sendable {
        /// Finished.
        case `static`
        /// Growing; `availabilityStartUs` never changes while it is, `updateSeconds` is how often it is worth asking again.
        case dynamic(availabilityStartUs: Int64, publishUs: Int64, updateSeconds: Double)
    }

    /// Finished or growing.
    public var kind: Kind
    /// The longest segment, in seconds.
    public var maxSegmentSeconds: Double
    /// Where a client of a growing presentation sets its clock; nil leaves UTCTiming out.
    public var clock: Clock?
    /// Where a client asks for the next version of a growing presentation (5.3.1.2), relative to the MPD; nil: where it came from.
    public var location: String?
    /// In order; at least one.
    public var periods: [Period]

    /// UTCTiming (5.8.4.11).
    public struct Clock: Equatable, Sendable {
        /// Such as `urn:mpeg:dash:utc:http-head:2014`.
        public var scheme: String
        /// Such as a URL, relative to the MPD.
        public var value: String

        /// A clock.
        public init(scheme: String, value: String) {
            self.scheme = scheme
            self.value = value
        }
    }

    /// A presentation.
    public init(kind: Kind, maxSegmentSeconds: Double, clock: Clock? = nil, location: String? = nil, periods: [Period]) {
        self.kind = kind
        self.maxSegmentSeconds = maxSegmentSeconds
        self.clock = clock
        self.location = location
        self.periods = periods
    }

    /// A stretch of media with one set of formats and continuous time (5.3.2).
    public struct Period: Equatable, Sendable {
        /// Unique in the presentation and stable over updates.
        public var id: String
        /// Where it starts in the presentation, microseconds.
        public var startUs: Int64
        /// How long it is, microseconds; nil while it grows.
        public var durationUs: Int64?
        /// The time of day of its start, Unix microseconds.
        public var wallClockUs: Int64?
        /// One per track.
        public var tracks: [Track]

        /// A period.
        public init(id: String, startUs: Int64, durationUs: Int64?, wallClockUs: Int64? = nil, tracks: [Track]) {
            self.id = id
            self.startUs = startUs
            self.durationUs = durationUs
            self.wallClockUs = wallClockUs
            self.tracks = tracks
        }
    }

    /// An AdaptationSet with its one Representation (5.3.3, 5.3.5).
    public struct Track: Equatable, Sendable {
        /// What kind of media, with what the MPD must say of it.
        public enum Media: Equatable, Sendable {
            /// Pictures; `frameRate` as `25` or `30000/1001`, nil when unknown.
            case video(width: Int, height: Int, frameRate: String?)
            /// Sound.
            case audio(sampleRate: Int, channels: Int)
        }

        /// Kind and its properties.
        public var media: Media
        /// RFC 6381.
        public var codecs: String
        /// Bits a second, the peak over a segment; above 0.
        public var bandwidth: Int
        /// Ticks a second of the timeline.
        public var timescale: Int
        /// URL of the initialization segment, relative to the MPD, already percent-encoded.
        public var initialization: String
        /// URL template of the segments with `$Number$`.
        public var template: String
        /// Every segment starts with a sync sample.
        public var startsWithSAP: Bool
        /// Number of the first segment in `timeline`.
        public var startNumber: Int
        /// Media time at the Period's start, in ticks.
        public var presentationTimeOffset: Int64
        /// The segments, without gap or overlap. Only the number of the first is written, as the template's start number.
        public var timeline: SegmentTimeline

        /// A track.
        public init(
            media: Media, codecs: String, bandwidth: Int, timescale: Int, initialization: String, template: String,
            startsWithSAP: Bool = true, startNumber: Int = 1, presentationTimeOffset: Int64 = 0, timeline: SegmentTimeline
        ) {
            self.media = media
            self.codecs = codecs
            self.bandwidth = bandwidth
            self.timescale = timescale
            self.initialization = initialization
            self.template = template
            self.startsWithSAP = startsWithSAP
            self.startNumber = startNumber
            self.presentationTimeOffset = presentationTimeOffset
            self.timeline = timeline
        }
    }

    /// The sum of the Periods, microseconds, once all have an end.
    public var durationUs: Int64? {
        guard let last = periods.last, let duration = last.durationUs else { return nil }
        return last.startUs + duration
    }
}
