import HTTP
import Presentation

/// How much one manifest holds at most; a wider range is refused rather than cut in silence. Counted as it is collected.
public struct ManifestBound: Sendable {
    /// About two months of two tracks.
    public static let segmentsMax = 3_000_000
    /// What a period costs beside its segments, as segments.
    public static let segmentsAPeriod = 50
    /// More cannot be within the bound.
    public static let recordingsMax = segmentsMax / segmentsAPeriod

    private var segments = 0

    /// Nothing yet.
    public init() {}

    /// Counts what is added. Throws 400 when it is too much.
    public mutating func add(_ periods: [IndexedPeriod]) throws(HTTPError) {
        segments += periods.reduce(0) { $0 + Self.segmentsAPeriod + $1.tracks.reduce(0) { $0 + $1.segments.count } }
        guard segments <= Self.segmentsMax else { throw Self.tooMuch }
    }

    /// What the client is told.
    public static let tooMuch = HTTPError(
        .badRequest, "too much is recorded in this range for one manifest: give a smaller one by from and to")
}
