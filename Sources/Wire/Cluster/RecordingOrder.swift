/// What a recording is asked for with: the body of `POST /api/record/{stream}`.
public struct RecordingOrder: Sendable, Hashable, Codable {
    /// The directory, where `%Y`, `%m` and `%d` are the day's; nil: the node's own layout says where.
    public var baseDirectory: String?
    /// After so many seconds the node begins the next recording, without losing a picture, unless its own limit is shorter; nil, or 0: that
    /// alone holds. Nodes of releases that don't know it leave it out of their answer.
    public var secondsMax: Int?

    /// What `secondsMax` may be if it is not 0: a minute, because each recording costs a journal that all others in its directory are shown
    /// with, up to a year.
    public static let secondsRange = 60...31_536_000

    /// Whether so many seconds may be asked for.
    public static func accepts(seconds: Int) -> Bool { seconds == 0 || secondsRange.contains(seconds) }

    enum CodingKeys: String, CodingKey {
        case baseDirectory = "base_dir"
        case secondsMax = "max_recording_seconds"
    }

    /// What is left out is up to the node.
    public init(baseDirectory: String? = nil, secondsMax: Int? = nil) {
        self.baseDirectory = baseDirectory
        self.secondsMax = secondsMax
    }
}
