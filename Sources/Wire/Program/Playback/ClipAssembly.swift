import HTTP
import Media
import Presentation

/// Puts a clip together: finds where it begins, then brings fragments in the order of time from as many objects as there are
/// tracks, one fragment of each in memory.
struct ClipAssembly: Sendable {
    typealias Fetch = @Sendable (_ key: String, _ node: String) async throws -> ObjectStream

    private let plan: ClipPlan
    private let fetch: Fetch
    /// The file's tracks in order: `video`, `audio` or both.
    private let kinds: [String]
    private let tracks: [ClipTrack]
    /// Where the file begins in the first section.
    private let entry: ClipEntry
    /// Wall clock of the first picture or sound shown, Unix microseconds.
    let startUs: Int64

    var hasVideo: Bool { kinds.contains("video") }
    var durationUs: Int64 { plan.durationUs + plan.sections[0].wallUs.lowerBound - startUs }

    /// Reads what must be known before the first byte is sent.
    /// - Throws: 409 when formats differ, 502 when an object is none, and what `fetch` throws.
    init(_ plan: ClipPlan, cut: ClipCut, fetch: @escaping Fetch) async throws {
        self.plan = plan
        self.fetch = fetch
        var formats = ClipFormats(fetch: fetch)
        for section in plan.sections { try await formats.add(section) }
        kinds = formats.kinds
        tracks = formats.tracks
        let first = plan.sections[0]
        entry = try await ClipEntry(first, cut: cut, track: formats.track(of: first.lanes[0].track.kind), fetch: fetch)
        startUs = first.wallUs.lowerBound + entry.startOffsetUs
    }

    /// Writes the file. Throws what fetching or writing throws, and 502 for objects that are none.
    func write(_ send: (_ bytes: [UInt8]) async throws -> Void) async throws {
        let hidden = kinds.map { $0 == entry.kind ? entry.hiddenTicks : 0 }
        let reorder = kinds.map { $0 == entry.kind ? entry.reorderTicks : 0 }
        var writer = ClipWriter(tracks: tracks, hiddenTicks: hidden, reorderTicks: reorder)
        try await send(writer.header(durationUs: durationUs))
        var ends = [Int64](repeating: 0, count: tracks.count)
        for (index, section) in plan.sections.enumerated() {
            var lanes: [ClipLane] = []
            for lane in section.lanes {
                guard let place = kinds.firstIndex(of: lane.track.kind) else { continue }
                lanes.append(
                    ClipLane(
                        lane, node: section.node, place: place, track: tracks[place], entry: index == 0 ? entry : nil,
                        fetch: fetch))
            }
            try await place(&lanes, behind: index == 0 ? nil : ends, hidden)
            while let next = lanes.indices.filter({ lanes[$0].head != nil }).min(by: { lanes[$0].timeUs < lanes[$1].timeUs }) {
                if let (bytes, end) = lanes[next].head.flatMap({ writer.write($0, lanes[next].placement) }) {
                    ends[lanes[next].placement.track] = end
                    try await send(bytes)
                }
                try await lanes[next].advance()
            }
        }
    }

    /// Lets a section begin as soon as every track has ended, the first at 0: the tracks keep their places beside each other.
    private func place(_ lanes: inout [ClipLane], behind ends: [Int64]?, _ hidden: [Int64]) async throws {
        var startUs: Int64 = 0
        for index in lanes.indices {
            try await lanes[index].advance()
            guard let ends, let first = lanes[index].firstTime else { continue }
            let track = lanes[index].placement.track
            let behind = ends[track] - hidden[track] + lanes[index].origin - first
            startUs = max(startUs, Self.microseconds(behind, tracks[track].timescale))
        }
        // Not before a track has ended that this section has not, either.
        for (track, end) in (ends ?? []).enumerated() {
            startUs = max(startUs, Self.microseconds(end - hidden[track], tracks[track].timescale))
        }
        for index in lanes.indices {
            let track = lanes[index].placement.track
            let start = (Double(startUs) / 1e6 * Double(tracks[track].timescale)).rounded()
            lanes[index].placement.shift = Int64(start) + hidden[track] - lanes[index].origin
        }
    }

    /// Rounded up, so that nothing overlaps by a part of a tick.
    private static func microseconds(_ ticks: Int64, _ timescale: Int64) -> Int64 {
        Int64((Double(ticks) * 1e6 / Double(timescale)).rounded(.up))
    }
}

/// The tracks of a clip's file, and whether all sections have them in one format.
private struct ClipFormats {
    let fetch: ClipAssembly.Fetch
    var kinds: [String] = []
    var tracks: [ClipTrack] = []
    private var described: [String] = []
    private var known: [String: ClipTrack] = [:]

    init(fetch: @escaping ClipAssembly.Fetch) { self.fetch = fetch }

    /// An initialization segment is some hundred bytes.
    private static let bytesMax = 1 << 20

    func track(of kind: String) -> ClipTrack? { kinds.firstIndex(of: kind).map { tracks[$0] } }

    mutating func add(_ section: ClipPlan.Section) async throws {
        for lane in section.lanes {
            let track = lane.track
            let read = try await read(track.initialization, section.node)
            let size = track.width.flatMap { width in track.height.map { " \(width)×\($0)" } } ?? ""
            let text = track.codecs + size
            guard let index = kinds.firstIndex(of: track.kind) else {
                kinds.append(track.kind)
                tracks.append(read)
                described.append(text)
                continue
            }
            guard tracks[index].timescale == read.timescale, tracks[index].sampleDescription == read.sampleDescription else {
                let when = ISO8601.dateTime(microseconds: section.wallUs.lowerBound)
                throw HTTPError(
                    .conflict,
                    "the format of the \(track.kind) changes at \(when) from \(described[index]) to \(text), which one file can't hold: "
                        + "ask for the time before and the time from then on by itself")
            }
        }
    }

    private mutating func read(_ key: String, _ node: String) async throws -> ClipTrack {
        if let track = known["\(node)/\(key)"] { return track }
        let stream = try await fetch(key, node)
        var bytes: [UInt8] = []
        while let piece = try await stream.next() {
            bytes += piece
            guard bytes.count <= Self.bytesMax else { throw HTTPError(.badGateway, "\(key) is no initialization segment") }
        }
        do throws(ClipError) {
            let track = try ClipTrack(initialization: bytes)
            known["\(node)/\(key)"] = track
            return track
        } catch {
            throw HTTPError(.badGateway, "\(key) is no initialization segment: \(error)")
        }
    }
}
