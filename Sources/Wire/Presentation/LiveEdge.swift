/// What is being written of a stream at this moment: the parts behind its last finished segment (RFC 8216bis 4.4.4.9), and what
/// was finished just now, which an index may not have heard of.
public struct LiveEdge: Sendable, Equatable {
    /// One part: whole fragments of a segment, as they were written.
    public struct Part: Sendable, Equatable {
        /// In the track's timescale.
        public var duration: Int64
        /// Where it begins in its segment, and how long it is, in bytes; 0 and 0 where only its name is known.
        public var offset: Int64
        /// Bytes.
        public var bytes: Int64
        /// It begins with a sync sample.
        public var isIndependent: Bool

        /// A part.
        public init(duration: Int64, offset: Int64 = 0, bytes: Int64 = 0, isIndependent: Bool) {
            (self.duration, self.offset, self.bytes, self.isIndependent) = (duration, offset, bytes, isIndependent)
        }
    }

    /// A segment with its parts so far.
    public struct Segment: Sendable, Equatable {
        /// Its number in the object's name.
        public var number: Int64
        /// In the track's timescale.
        public var time: Int64
        /// In order, from the segment's beginning.
        public var parts: [Part]
        /// It has all its parts and is an object.
        public var isFinished: Bool

        /// A segment.
        public init(number: Int64, time: Int64, parts: [Part], isFinished: Bool) {
            (self.number, self.time, self.parts, self.isFinished) = (number, time, parts, isFinished)
        }
    }

    /// The youngest segments of a track.
    public struct Track: Sendable, Equatable {
        /// What its objects' keys begin with; unique to a track of a period.
        public var segmentPrefix: String
        /// In order; only the last one may be unfinished.
        public var segments: [Segment]

        /// A track.
        public init(segmentPrefix: String, segments: [Segment]) {
            (self.segmentPrefix, self.segments) = (segmentPrefix, segments)
        }
    }

    /// Another one whenever anything changes.
    public var version: Int64
    /// Another one whenever a segment, track or period comes or goes.
    public var revision: Int64
    /// Alias of the node that records.
    public var node: String
    /// The recording that grows.
    public var session: String
    /// The longest part there can be, in seconds.
    public var partSecondsMax: Double
    /// The longest segment there can be, in seconds.
    public var segmentSecondsMax: Double
    /// What was finished lately, of this recording and those before it.
    public var recent: [RecordedMaterial]
    /// The period that is being written; its tracks may have no segments yet, and those it holds are not to be relied on.
    public var period: IndexedPeriod?
    /// Youngest segments by track, also of periods that have just ended.
    public var tracks: [Track]

    /// An edge as its recorder sees it.
    public init(
        version: Int64, revision: Int64, node: String, session: String, partSecondsMax: Double, segmentSecondsMax: Double,
        recent: [RecordedMaterial], period: IndexedPeriod?, tracks: [Track]
    ) {
        (self.version, self.revision, self.node, self.session) = (version, revision, node, session)
        (self.partSecondsMax, self.segmentSecondsMax) = (partSecondsMax, segmentSecondsMax)
        (self.recent, self.period, self.tracks) = (recent, period, tracks)
    }

    /// The youngest segments of the track whose objects begin with this.
    func segments(of prefix: String) -> [Segment] { tracks.first { $0.segmentPrefix == prefix }?.segments ?? [] }
}

extension RecordedMaterial {
    /// Material of an index brought up to date with what its node told since.
    /// - Parameters:
    ///   - recent: the last segments of some recordings; nothing between what is known and these may be missing.
    ///   - fromUs: only what touches the range is added; Unix microseconds, nil for no bound.
    public static func merge(
        _ known: [RecordedMaterial], _ recent: [RecordedMaterial], fromUs: Int64?, toUs: Int64?
    ) -> [RecordedMaterial] {
        var merged = known
        for entry in recent {
            let periods = entry.periods.map { $0.touching(fromUs: fromUs, toUs: toUs) }
            let place = merged.firstIndex {
                $0.recording.node == entry.recording.node && $0.recording.session == entry.recording.session
            }
            guard let place else {
                let material = RecordedMaterial(recording: entry.recording, periods: periods, isGrowing: entry.isGrowing)
                if material.isGrowing || material.hasSegments { merged.append(material) }
                continue
            }
            if entry.recording.updatedUs >= merged[place].recording.updatedUs {
                merged[place].recording = entry.recording
                merged[place].isGrowing = entry.isGrowing
            }
            for period in periods { merged[place].add(period) }
        }
        return merged
    }

    private mutating func add(_ period: IndexedPeriod) {
        guard let place = periods.firstIndex(where: { $0.ordinal == period.ordinal }) else {
            if period.tracks.contains(where: { !$0.segments.isEmpty }) { periods.append(period) }
            return
        }
        for track in period.tracks where !track.segments.isEmpty {
            guard let known = periods[place].tracks.firstIndex(where: { $0.segmentPrefix == track.segmentPrefix }) else {
                periods[place].tracks.append(track)
                continue
            }
            let last = periods[place].tracks[known].segments.last?.number ?? 0
            for segment in track.segments where segment.number > last { periods[place].tracks[known].segments.append(segment) }
        }
    }
}
