/// Whether a node can be asked about what it recorded.
public enum NodePresence: Sendable, Hashable {
    /// It answers.
    case here
    /// It does not, and may do so again any moment.
    case away
    /// It has not been heard of for a minute, or nobody knows it: nobody waits for it.
    case gone
}

/// Which nodes answer, and which have been silent for so long that they are not waited for.
public struct NodePresences: Sendable, Equatable {
    static let goneNs: UInt64 = 60_000_000_000

    var here: Set<String> = []
    var away: Set<String> = []
    /// False shortly after the start, when a node that nobody has heard of may still turn up.
    let knowsAll: Bool

    /// - Parameters:
    ///   - here: aliases that answer.
    ///   - away: those that were heard of within the minute.
    ///   - knowsAll: whether the others have been listened for long enough.
    public init(here: Set<String> = [], away: Set<String> = [], knowsAll: Bool) {
        (self.here, self.away, self.knowsAll) = (here, away, knowsAll)
    }

    /// How a node is.
    public subscript(alias: String) -> NodePresence {
        here.contains(alias) ? .here : away.contains(alias) || !knowsAll ? .away : .gone
    }
}
