import HTTP
import Presentation

/// Where a clip begins in its first section.
struct ClipEntry: Sendable {
    /// The track it was found in.
    let kind: String
    /// The segment to read from.
    let segment: Int
    /// Decoding time of the first sample that is needed.
    let decodeTime: Int64
    /// The time that becomes 0 of the presentation, in ticks of that track.
    let origin: Int64
    /// What an edit list hides, in ticks of that track: one for each sample.
    let hiddenTicks: Int64
    /// When the samples it hides would be shown, sorted.
    let hidden: [Int64]
    /// By how much a sample of the track is shown before it is decoded, in its ticks.
    let reorderTicks: Int64
    /// Where sound of the same instant begins, in microseconds from the section's start; below 0 when before it.
    let startOffsetUs: Int64
    /// The same for `origin`.
    let originOffsetUs: Int64

    /// Finds the last sync sample up to the section's start in its first lane, which is video when there is any; else the first one
    /// behind it.
    init(_ section: ClipPlan.Section, cut: ClipCut, track: ClipTrack?, fetch: ClipAssembly.Fetch) async throws {
        let lane = section.lanes[0]
        kind = lane.track.kind
        let start = lane.ticks.lowerBound
        guard kind == "video", let track else {
            (segment, decodeTime, origin, hiddenTicks, hidden, reorderTicks) = (lane.firstSegment, start, start, 0, [], 0)
            (startOffsetUs, originOffsetUs) = (0, 0)
            return
        }
        let found = try await Self.find(lane, section.node, track, fetch)
        func us(_ ticks: Int64) -> Int64 { Int64((Double(ticks - start) * 1e6 / Double(lane.track.timescale)).rounded()) }
        segment = found.segment
        reorderTicks = found.reorder
        decodeTime = found.sample.time
        let shown = found.sample.presentationTime
        if cut == .exact, shown < start {
            (origin, hiddenTicks, hidden) = (start, found.needed, found.hidden.sorted())
            (startOffsetUs, originOffsetUs) = (0, 0)
        } else {
            (origin, hiddenTicks, hidden) = (decodeTime, 0, [])
            (startOffsetUs, originOffsetUs) = (us(shown), us(decodeTime))
        }
    }

    private struct Found {
        var segment: Int
        var sample: ClipFragment.Sample
        /// Samples from it on up to the last one that is needed for others only, and when these would be shown.
        var needed: Int64 = 0
        var hidden: [Int64] = []
        /// By how much a sample is shown before it is decoded, at most.
        var reorder: Int64 = 0
        private var count: Int64 = 0

        init(_ segment: Int, _ sample: ClipFragment.Sample) { (self.segment, self.sample) = (segment, sample) }

        mutating func see(_ sample: ClipFragment.Sample, start: Int64) {
            count += 1
            if sample.presentationTime < start {
                needed = count
                hidden.append(sample.presentationTime)
            }
            reorder = max(reorder, -sample.compositionOffset)
        }
    }

    private static func find(
        _ lane: ClipPlan.Lane, _ node: String, _ track: ClipTrack, _ fetch: ClipAssembly.Fetch
    ) async throws -> Found {
        let start = lane.ticks.lowerBound
        // In decoding order, pictures come before others that are shown first.
        let enough = start + lane.track.timescale
        for index in stride(from: lane.firstSegment, through: 0, by: -1) {
            var found: Found?
            for segment in index...lane.firstSegment {
                try await scan(lane, segment, node, track, fetch) { sample in
                    if segment == index, sample.isSync, sample.presentationTime <= start { found = Found(index, sample) }
                    found?.see(sample, start: start)
                    return sample.time <= enough
                }
                guard found != nil else { break }
            }
            if let found { return found }
        }
        for index in lane.firstSegment..<lane.track.segments.count {
            var found: Found?
            try await scan(lane, index, node, track, fetch) { sample in
                if found == nil, sample.isSync, sample.presentationTime < lane.ticks.upperBound { found = Found(index, sample) }
                return found == nil
            }
            if let found { return found }
        }
        throw HTTPError(.notFound, "there is no key frame in this range")
    }

    /// Shows the samples of a segment until `visit` has seen enough.
    private static func scan(
        _ lane: ClipPlan.Lane, _ index: Int, _ node: String, _ track: ClipTrack, _ fetch: ClipAssembly.Fetch,
        _ visit: (ClipFragment.Sample) -> Bool
    ) async throws {
        var reader = ClipSegmentReader(
            key: lane.track.object(number: lane.track.segments[index].number), node: node, track: track)
        while let fragment = try await reader.next(fetch) {
            for sample in fragment.samples where !visit(sample) { return }
        }
    }
}

/// Fragments of one object.
private struct ClipSegmentReader {
    let key: String
    let node: String
    private var parser: ClipFragmentReader
    private var stream: ObjectStream?

    init(key: String, node: String, track: ClipTrack) {
        (self.key, self.node) = (key, node)
        parser = ClipFragmentReader(track: track)
    }

    /// The next fragment; nil at the object's end.
    mutating func next(_ fetch: ClipAssembly.Fetch) async throws -> ClipFragment? {
        if stream == nil { stream = try await fetch(key, node) }
        do {
            while true {
                if let fragment = try parser.next() { return fragment }
                guard let bytes = try await stream?.next() else {
                    try parser.finish()
                    return nil
                }
                parser.append(bytes)
            }
        } catch let error as ClipError {
            throw HTTPError(.badGateway, "\(key) is no segment of this track: \(error)")
        }
    }
}

/// One track of a section while it is read, a fragment at a time.
struct ClipLane {
    private let lane: ClipPlan.Lane
    private let node: String
    private let track: ClipTrack
    private let fetch: ClipAssembly.Fetch
    private var segment: Int
    private var reader: ClipSegmentReader?
    /// The section's time 0 in ticks of this track.
    let origin: Int64
    /// Where fragments go; its shift is set before the first is written.
    var placement: ClipWriter.Placement
    /// The fragment to be written next; nil at the end, and before the first `advance()`.
    private(set) var head: ClipFragment?

    init(
        _ lane: ClipPlan.Lane, node: String, place: Int, track: ClipTrack, entry: ClipEntry?, fetch: @escaping ClipAssembly.Fetch
    ) {
        self.lane = lane
        self.node = node
        self.track = track
        self.fetch = fetch
        let start = lane.ticks.lowerBound
        func ticks(_ us: Int64) -> Int64 { Int64((Double(us) / 1e6 * Double(lane.track.timescale)).rounded()) }
        var from = start
        if let entry, entry.kind == lane.track.kind {
            segment = entry.segment
            origin = entry.origin
            from = entry.decodeTime
        } else {
            // Sound begins with the first picture, which may be before the time that was asked for.
            from = start + ticks(entry?.startOffsetUs ?? 0)
            origin = start + ticks(entry?.originOffsetUs ?? 0)
            segment = lane.track.segments.lastIndex { $0.time <= from } ?? 0
            // Pictures may be decoded before the period they are shown in.
            if lane.track.kind == "video" { from = Int64.min / 2 }
        }
        placement = ClipWriter.Placement(track: place, from: from, until: lane.ticks.upperBound, shift: 0)
        if let entry, entry.kind == lane.track.kind { placement.hidden = entry.hidden }
    }

    /// Time in the file of the fragment to be written next, microseconds.
    var timeUs: Int64 {
        Int64(Double((firstTime ?? 0) + placement.shift) * 1e6 / Double(track.timescale))
    }

    /// Decoding time of the first sample that will be written.
    var firstTime: Int64? { head?.samples.first { $0.time >= placement.from }?.time }

    /// Brings the next fragment of which something is kept.
    mutating func advance() async throws {
        head = nil
        while segment < lane.track.segments.count {
            guard lane.track.segments[segment].time < placement.until else { return }
            if reader == nil {
                let number = lane.track.segments[segment].number
                reader = ClipSegmentReader(key: lane.track.object(number: number), node: node, track: track)
            }
            guard let fragment = try await reader?.next(fetch) else {
                reader = nil
                segment += 1
                continue
            }
            if fragment.isPast(placement.until) { return segment = lane.track.segments.count }
            if fragment.samples.contains(where: { $0.time >= placement.from }) {
                head = fragment
                return
            }
        }
    }
}
