/// What manifests and shipped journals may cost beside the media they describe.
///
/// A day's manifest grows with every segment, so writing it at a fixed interval costs more and more. Instead it is written when what
/// has been spent, this one and a last one of the same size stay within a hundredth of the media.
struct ManifestBudget: Equatable, Sendable {
    /// So much is free, or a short recording would have no manifest until it ends.
    static let free: Int64 = 64 << 10
    static let share: Int64 = 100

    private(set) var media: Int64 = 0
    private(set) var spent: Int64 = 0

    mutating func add(media bytes: Int64) { media += bytes }
    mutating func spend(_ bytes: Int64) { spent += bytes }

    /// Whether one of so many bytes may be written now.
    func allows(_ bytes: Int64) -> Bool {
        spent + 2 * bytes <= max(Self.free, media / Self.share)
    }
}
