import Cluster

extension RecordedSession {
    /// The answer to `GET /api/recordings/{id}`, all of it.
    package var detail: RecordingDetail { SessionDetail(self).answer(after: nil, next: nil) }

    /// The same, or only what came after an earlier answer when it goes on from there.
    ///
    /// - Parameters:
    ///   - token: `next` of the earlier answer.
    ///   - life: the process that answers: what another one said, before a repair perhaps, is not gone on from.
    package func detail(after token: String?, life: String) -> RecordingDetail {
        let detail = SessionDetail(self)
        let cut = token.flatMap { DetailCut($0, life: life) }.flatMap { detail.holds($0) ? $0 : nil }
        return detail.answer(after: cut, next: detail.end(life: life)?.token)
    }
}

/// Up to where an answer told of a recording: all periods before `ordinal`, and so many segments of each of that one's tracks.
package struct DetailCut: Equatable {
    package let life: String
    package let ordinal: Int
    package let counts: [Int]
    /// Of everything in front of the cut, so that a change there is noticed.
    package let digest: UInt

    package init(life: String, ordinal: Int, counts: [Int], digest: UInt) {
        self.life = life
        self.ordinal = ordinal
        self.counts = counts
        self.digest = digest
    }

    /// Nil for what is no token of this life.
    package init?(_ token: String, life: String) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == life, let ordinal = Int(parts[1]), let digest = UInt(parts[3], radix: 36) else {
            return nil
        }
        let counts = parts[2].split(separator: "-", omittingEmptySubsequences: false).compactMap { Int($0) }
        self.init(life: life, ordinal: ordinal, counts: counts, digest: digest)
        // Only what this writes itself is one: no signs, no zeros in front.
        guard self.token == token else { return nil }
    }

    package var token: String {
        "\(life).\(ordinal).\(counts.map(String.init).joined(separator: "-")).\(String(digest, radix: 36))"
    }
}

/// A session as its detail lays it out: periods and tracks that have segments, and the distinct configurations.
private struct SessionDetail {
    let session: RecordedSession
    private var periods: [RecordedSession.Period] = []
    private var tracks: [RecordingTrack] = []
    /// The configuration of each track of each period.
    private var places: [[Int]] = []

    init(_ session: RecordedSession) {
        self.session = session
        for period in session.periods where period.hasSegments {
            var filled = period
            filled.tracks.removeAll(where: \.segments.isEmpty)
            places.append(filled.tracks.map { add($0.properties) })
            periods.append(filled)
        }
    }

    /// Of one configuration the peak of all periods counts.
    private mutating func add(_ properties: RecordingTrack) -> Int {
        guard let known = tracks.firstIndex(where: { $0.isSameConfiguration(as: properties) }) else {
            tracks.append(properties)
            return tracks.count - 1
        }
        tracks[known].bandwidth = max(tracks[known].bandwidth, properties.bandwidth)
        return known
    }

    /// Where the answer ends that tells all there is; nil while there is nothing.
    func end(life: String) -> DetailCut? {
        guard let last = periods.last else { return nil }
        let counts = last.tracks.map(\.segments.count)
        return DetailCut(
            life: life, ordinal: periods.count - 1, counts: counts, digest: digest(ordinal: periods.count - 1, counts: counts))
    }

    /// Whether what was told up to a cut is still so.
    func holds(_ cut: DetailCut) -> Bool {
        guard periods.indices.contains(cut.ordinal), cut.counts.count <= periods[cut.ordinal].tracks.count,
            zip(cut.counts, periods[cut.ordinal].tracks).allSatisfy({ (0...$1.segments.count).contains($0) })
        else { return false }
        return digest(ordinal: cut.ordinal, counts: cut.counts) == cut.digest
    }

    /// Whatever goes in front moves the `count`-th segment of a track, so that one stands for those in front of it.
    private func digest(ordinal: Int, counts: [Int]) -> UInt {
        var hasher = Hasher()
        for (index, period) in periods.prefix(ordinal).enumerated() {
            Self.combine(period, into: &hasher)
            for (track, place) in zip(period.tracks, places[index]) {
                // Without the peak, which a segment of a later period changes: each answer tells it.
                var configuration = tracks[place]
                configuration.bandwidth = 0
                hasher.combine(configuration)
                Self.combine(track, count: track.segments.count, into: &hasher)
            }
        }
        Self.combine(periods[ordinal], into: &hasher)
        for (track, count) in zip(periods[ordinal].tracks, counts) { Self.combine(track, count: count, into: &hasher) }
        return UInt(bitPattern: hasher.finalize())
    }

    private static func combine(_ period: RecordedSession.Period, into hasher: inout Hasher) {
        hasher.combine(period.number)
        hasher.combine(period.startUs)
        hasher.combine(period.continues)
    }

    private static func combine(_ track: RecordedSession.Track, count: Int, into hasher: inout Hasher) {
        hasher.combine(track.initialization)
        hasher.combine(track.prefix)
        hasher.combine(count)
        guard count > 0 else { return }
        hasher.combine(track.segments[count - 1].number)
        hasher.combine(track.segments[count - 1].time)
        hasher.combine(track.segments[count - 1].duration)
    }

    func answer(after cut: DetailCut?, next: String?) -> RecordingDetail {
        let first = cut?.ordinal ?? 0
        let list = periods.indices.dropFirst(first).map { ordinal in
            let period = periods[ordinal]
            let members = zip(period.tracks, places[ordinal]).enumerated().map { index, entry in
                let (track, place) = entry
                let known = ordinal == cut?.ordinal && index < (cut?.counts.count ?? 0) ? cut?.counts[index] ?? 0 : 0
                return member(track, place, after: known)
            }
            return RecordingPeriod(
                id: "\(session.id)-\(period.number)", startUs: period.startUs, continues: period.continues ? true : nil,
                durationMs: period.durationUs / 1000, tracks: members)
        }
        var detail = RecordingDetail(
            id: session.id, stream: session.stream, nodeAlias: session.node, status: session.status, mpdPath: session.mpdPath,
            recordDir: session.directory, updatedAt: session.updatedUs, tracks: tracks, periods: list)
        detail.first = cut?.ordinal
        detail.next = next
        return detail
    }

    private func member(_ track: RecordedSession.Track, _ place: Int, after known: Int) -> RecordingPeriodTrack {
        let directory = session.directory
        var member = RecordingPeriodTrack(
            track: place, initObject: directory + "/" + track.initialization, segmentPrefix: directory + "/" + track.prefix,
            mediaTimeOffset: 0,
            segments: track.segments.dropFirst(known).map {
                RecordingSegment(
                    object: directory + "/" + track.objectName($0.number), t: $0.time, d: $0.duration, bytes: $0.bytes,
                    sync: $0.startsWithSync ? nil : false)
            })
        if known > 0 { member.known = known }
        return member
    }
}

extension RecordingTrack {
    fileprivate func isSameConfiguration(as other: RecordingTrack) -> Bool {
        kind == other.kind && codecs == other.codecs && timescale == other.timescale && width == other.width
            && height == other.height && frameRate == other.frameRate && channels == other.channels
    }
}
