import HTTP
import Presentation

/// The bytes of a recorded object, piece by piece; one reader, once.
public struct ObjectStream: Sendable {
    /// The next piece; nil at the end. Throws what broke it. Letting go of the stream gives it up.
    public let next: @Sendable () async throws -> [UInt8]?

    /// A stream of what `next` brings.
    public init(_ next: @escaping @Sendable () async throws -> [UInt8]?) { self.next = next }
}

/// What a program has recorded, as playback needs it: the coordinator's index over all nodes, or a node's own.
/// Every method may be called from any task; errors that clients should see are `HTTPError`.
public protocol PlaybackSource: Sendable {
    /// Names of the streams that have recordings, sorted.
    func streams() async throws -> [String]
    /// A page of a stream's recordings, newest first.
    func page(_ query: RecordingQuery) async throws -> PlaybackPage
    /// What is recorded of a stream in a range, oldest first; with `toUs` nothing of it grows. Throws 400 when it is too much.
    func material(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [RecordedMaterial]
    /// What of a stream is being written now; nil when nothing is, or nobody can tell.
    func liveEdge(of stream: String) async -> LiveEdge?
    /// Waits until `liveEdge` is of another version; false when it is not in time, or too many wait.
    func awaitChange(of stream: String, past version: Int64, seconds: Double) async -> Bool
    /// The longest segment there can be, in seconds, where `liveEdge` doesn't say.
    var segmentSecondsMax: Double { get }
    /// When a recording began, Unix microseconds: the one of this identifier, or the stream's first. Nil when there is none.
    func recordingStart(stream: String, id: String?) async throws -> Int64?
    /// An object's bytes. Throws 404 when it is not there.
    func object(_ key: String, node: String, for request: HTTPRequest) async throws -> ObjectStream
    /// Whether object addresses must say which node has the object.
    var namesNodes: Bool { get }
}

extension PlaybackSource {
    /// How far a stream that is being recorded has come, roughly, Unix microseconds; nil when it is not.
    func newestUs(of stream: String, _ live: LiveEdge?) async throws -> Int64? {
        if let newest = live?.recent.map(\.recording.updatedUs).max() { return newest }
        let newest = try await page(RecordingQuery(stream: stream, limit: 1)).rows.first
        return newest?.status == .active ? WallClock.seconds() * 1_000_000 : nil
    }

    /// The recordings of a range on one line; nil `gaps` leaves them out of what is finished. While its last recording grows, gaps are
    /// kept whatever is asked for: the line must agree with the clock then. Throws 404 when there is nothing.
    func timeline(
        stream: String, fromUs: Int64?, toUs: Int64?, gaps: GapRule?, live: LiveEdge? = nil
    ) async throws -> Timeline {
        var found = try await material(stream: stream, fromUs: fromUs, toUs: toUs)
        if let live, toUs == nil { found = RecordedMaterial.merge(found, live.recent, fromUs: fromUs, toUs: toUs) }
        guard let timeline = Timeline(found, gaps: gaps ?? .collapse) else {
            throw HTTPError(.notFound, "nothing of \(stream) is recorded in this range")
        }
        guard timeline.isGrowing, gaps != .keep else { return timeline }
        return Timeline(found, gaps: .keep) ?? timeline
    }
}

/// Lines of streams that grow, kept until a segment comes: players near the live edge ask several times a second, all for the same.
actor LiveLines {
    private struct Key: Hashable {
        let stream: String
        let fromUs: Int64?
        let gaps: GapRule?
    }

    private struct Entry {
        let session: String
        let revision: Int64
        let line: Task<Timeline, any Error>
    }

    private var entries: [Key: Entry] = [:]
    /// Where lines begin that are asked for without saying it, and how far the stream was when one last was.
    private var starts: [String: (fromUs: Int64, askedUs: Int64)] = [:]
    /// A day's line may have some megabytes.
    private static let entriesMax = 32
    /// Of streams whose recorders make longer segments than is usual: the longest there can be, in seconds.
    private var longest: [String: Double] = [:]
    /// What players of a playlist have been told last.
    private var origins: [Told: Newer] = [:]

    private struct Told: Hashable {
        let stream: String
        let fromUs: Int64?
        let origin: PlaylistOrigin
    }

    private struct Newer {
        /// Of a period behind whose beginning there is enough for a list.
        let far: PlaylistOrigin
        /// Of the last one.
        let near: PlaylistOrigin
    }

    /// Where a line that grows begins when a player does not say: the last midnight or noon (UTC) that is at least an hour ago. So it stays
    /// short however long a stream runs, and what retention removes next lies half a day before it even where only a day is kept.
    ///
    /// Players are led to addresses that say it, so that it stays. Of those that come without again and again it stays as long as they come,
    /// a day and a half at most.
    func start(of stream: String, newestUs: Int64, isPolled: Bool) -> Int64 {
        let halfDayUs: Int64 = 43_200_000_000
        let freshUs = max(0, (newestUs - 3_600_000_000) / halfDayUs * halfDayUs)
        guard isPolled else { return freshUs }
        var startUs = freshUs
        if let known = starts[stream], newestUs - known.askedUs < 600_000_000, newestUs - known.fromUs < 3 * halfDayUs {
            startUs = min(known.fromUs, freshUs)
        }
        if starts.count >= Self.startsMax { starts = [:] }
        starts[stream] = (startUs, newestUs)
        return startUs
    }

    static let startsMax = 4_096

    /// The longest segment there can be on a stream's lines, in seconds: what was ever heard of, since a playlist must go on saying it
    /// when its recorder can't be asked for a moment, and when it has ended (`EXT-X-TARGETDURATION`, RFC 8216bis 6.2.1).
    /// - Parameter usual: what it is where nothing was heard.
    func segmentSecondsMax(of stream: String, _ live: LiveEdge?, otherwise usual: Double) -> Double {
        let known = longest[stream] ?? usual
        guard let told = live?.segmentSecondsMax, told > known else { return known }
        if longest.count >= Self.startsMax { longest = [:] }
        longest[stream] = told
        return told
    }

    /// What a playlist is counted from: what its address says as long as all is where its players were told, else the oldest of what
    /// they were told since that is still right. A process that has not told them notices only what went from in front of their address's.
    func origin(_ told: PlaylistOrigin?, of stream: String, fromUs: Int64?, on line: Timeline) -> PlaylistOrigin? {
        guard let told else { return nil }
        let key = Told(stream: stream, fromUs: fromUs, origin: told)
        let known = origins[key] ?? Newer(far: told, near: told)
        // An index may not have heard yet of what its node told of itself.
        let newest = line.counts(known.near, from: known.near) ? known.near : known.far
        let origin = [told, known.far].first { $0 == newest || line.counts(newest, from: $0) } ?? newest
        let seconds = Double(origin.targetSeconds)
        if let far = line.playlistOrigin(segmentSecondsMax: seconds, after: origin),
            let near = line.playlistOrigin(segmentSecondsMax: seconds, after: origin, targets: 0),
            far != known.far || near != known.near
        {
            // One who comes with many makes no room at the cost of all.
            if origins[key] == nil, origins.count >= Self.startsMax, let other = origins.keys.first { origins[other] = nil }
            origins[key] = Newer(far: far, near: near)
        }
        return origin
    }

    /// The line as of `live`, or younger; throws what `source` throws.
    func line(
        of stream: String, fromUs: Int64?, gaps: GapRule?, live: LiveEdge, source: any PlaybackSource
    ) async throws -> Timeline {
        let key = Key(stream: stream, fromUs: fromUs, gaps: gaps)
        if let known = entries[key], known.revision == live.revision, known.session == live.session {
            return try await known.line.value
        }
        let line = Task { try await source.timeline(stream: stream, fromUs: fromUs, toUs: nil, gaps: gaps, live: live) }
        if entries.count >= Self.entriesMax { entries = [:] }
        entries[key] = Entry(session: live.session, revision: live.revision, line: line)
        do {
            return try await line.value
        } catch {
            entries[key] = nil
            throw error
        }
    }
}
