/// What a player of a line that grows was told once and must not find changed (RFC 8216 6.2.1, 6.2.2): where media sequence numbers and
/// discontinuities are counted from, and the target duration. It stands in the addresses that a multivariant playlist leads to, so it
/// holds in every process, whatever is deleted on the line meanwhile.
///
/// Everything is counted from one segment of each rendition, the first ones of a period: of the newest one that three target durations
/// of media begin with. Of a list that begins there no less is left (6.2.2), and not only the node that records knows of it.
public struct PlaylistOrigin: Sendable, Hashable {
    /// The first segment of the period in one rendition.
    struct First: Sendable, Hashable {
        /// Its media sequence number.
        var sequence: Int
        /// The number in its object's name.
        var number: Int64
    }

    /// What `EXT-X-TARGETDURATION` is at least, seconds.
    public var targetSeconds: Int
    /// Discontinuities in front of the period.
    var discontinuity: Int
    /// Nil where the line has no such rendition.
    var video: First?
    var audio: First?
    /// `TimelinePeriod.source` of the period.
    var source: String

    init(targetSeconds: Int, discontinuity: Int, video: First?, audio: First?, source: String) {
        (self.targetSeconds, self.discontinuity, self.source) = (targetSeconds, discontinuity, source)
        (self.video, self.audio) = (video, audio)
    }

    /// Whether the line had this rendition.
    public func has(_ rendition: Timeline.Rendition) -> Bool { first(rendition) != nil }

    func first(_ rendition: Timeline.Rendition) -> First? {
        switch rendition {
        case .video: video
        case .audio: audio
        }
    }

    // MARK: Text

    /// `{target}.{discontinuity}.{sequence}.{number}.{sequence}.{number}.{node}.{session}.{period}`: video first, 0 for what is not there.
    public var text: String {
        let firsts = [video, audio].map { "\($0?.sequence ?? 0).\($0?.number ?? 0)" }
        return "\(targetSeconds).\(discontinuity).\(firsts[0]).\(firsts[1]).\(source)"
    }

    /// Reads what `text` wrote; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", maxSplits: 6, omittingEmptySubsequences: false)
        let numbers = parts.prefix(6).compactMap { Int64($0) }
        guard parts.count == 7, numbers.count == 6, !parts[6].isEmpty, numbers.allSatisfy((0...Self.numberMax).contains),
            (1...Self.targetSecondsMax).contains(Int(numbers[0]))
        else { return nil }
        func first(_ place: Int) -> First? {
            numbers[place] == 0 ? nil : First(sequence: Int(numbers[place]), number: numbers[place + 1])
        }
        self.init(
            targetSeconds: Int(numbers[0]), discontinuity: Int(numbers[1]), video: first(2), audio: first(4),
            source: String(parts[6]))
    }

    /// Further than any line reaches.
    private static let numberMax: Int64 = 1 << 40
    /// The longest segment there can be: what is configured is a minute at most, and a segment ends after three times as much.
    fileprivate static let targetSecondsMax = 180
}

extension Timeline {
    /// What players of this line's playlists rely on from now on; nil when it doesn't grow, for then nobody asks again, and when what
    /// they were told to count from is gone.
    /// - Parameters:
    ///   - segmentSecondsMax: the longest segment there can be.
    ///   - earlier: what they were told before; it may have been of fewer renditions, and they know of no others.
    ///   - targets: how many target durations of media it begins.
    public func playlistOrigin(
        segmentSecondsMax: Double, after earlier: PlaylistOrigin? = nil, targets: Int = 3
    ) -> PlaylistOrigin? {
        guard isGrowing else { return nil }
        var lists: [Rendition: MediaPlaylist] = [:]
        for rendition in Rendition.allCases where earlier.map({ $0.has(rendition) }) ?? has(rendition) {
            lists[rendition] = MediaPlaylist(
                self, rendition, addresses: ObjectAddresses(), live: nil, segmentSecondsMax: segmentSecondsMax, origin: earlier)
            if lists[rendition] == nil { return nil }
        }
        // In the newest period a rendition may come later than the other.
        let places = lists.values.compactMap { list in
            list.lastPlace(before: Double(targets * list.targetSeconds)).map { $0 + list.discontinuitiesGone }
        }
        guard let discontinuity = places.min(), let list = lists[.video] ?? lists[.audio],
            let source = list.source(at: discontinuity - list.discontinuitiesGone)
        else { return nil }
        let firsts = lists.compactMapValues { $0.first(at: discontinuity - $0.discontinuitiesGone) }
        guard firsts.count == lists.count else { return nil }
        return PlaylistOrigin(
            targetSeconds: min(list.targetSeconds, PlaylistOrigin.targetSecondsMax), discontinuity: discontinuity,
            video: firsts[.video], audio: firsts[.audio], source: source)
    }

    /// Whether who counts from one origin finds the other where he was told.
    public func counts(_ other: PlaylistOrigin, from origin: PlaylistOrigin) -> Bool {
        Rendition.allCases.allSatisfy { rendition in
            guard let first = other.first(rendition) else { return true }
            let list = MediaPlaylist(
                self, rendition, addresses: ObjectAddresses(), live: nil, segmentSecondsMax: Double(origin.targetSeconds),
                origin: origin)
            return list?.agrees(with: other, first) ?? false
        }
    }
}
