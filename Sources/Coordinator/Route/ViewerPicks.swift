/// The viewers that were sent to nodes a moment ago, counted for each node without going through them.
struct ViewerPicks {
    /// A viewer is one of many, so that its pick lives only about as long as a node's record.
    static let lifeNs: UInt64 = 1_500_000_000

    private struct Pick {
        let alias: String
        let atNs: UInt64
        /// What came of it.
        var session: Session?
        var isTakenBack = false
    }

    private struct Session: Hashable {
        let id: String
        let alias: String
    }

    /// Oldest first; those before `oldest` are forgotten, and number `first` stands at 0.
    private var picks: [Pick] = []
    private var oldest = 0
    private var first = 0
    private var numbers: [Session: Int] = [:]
    /// How many each node was sent.
    private(set) var counts: [String: Int] = [:]

    /// Counts a viewer.
    /// - Returns: its number.
    mutating func add(_ alias: String, nowNs: UInt64) -> Int {
        picks.append(Pick(alias: alias, atNs: nowNs))
        counts[alias, default: 0] += 1
        return first + picks.count - 1
    }

    /// The viewer's session, by the node's name for it.
    mutating func opened(_ session: String, number: Int) {
        guard let place = place(of: number) else { return }
        let session = Session(id: session, alias: picks[place].alias)
        picks[place].session = session
        numbers[session] = number
    }

    /// Takes back what was counted for a session.
    mutating func ended(_ session: String, on alias: String) {
        if let number = numbers[Session(id: session, alias: alias)] { takeBack(number) }
    }

    mutating func takeBack(_ number: Int) {
        guard let place = place(of: number), !picks[place].isTakenBack else { return }
        picks[place].isTakenBack = true
        forget(picks[place])
    }

    mutating func expire(_ nowNs: UInt64) {
        while oldest < picks.count, picks[oldest].atNs &+ Self.lifeNs <= nowNs {
            if !picks[oldest].isTakenBack { forget(picks[oldest]) }
            oldest += 1
        }
        // Rarely, so that on the whole each pick is moved once.
        guard oldest > 64, oldest > picks.count / 2 else { return }
        picks.removeFirst(oldest)
        first += oldest
        oldest = 0
    }

    private func place(of number: Int) -> Int? {
        let place = number - first
        return picks.indices.contains(place) && place >= oldest ? place : nil
    }

    private mutating func forget(_ pick: Pick) {
        if let session = pick.session { numbers[session] = nil }
        guard let count = counts[pick.alias] else { return }
        counts[pick.alias] = count > 1 ? count - 1 : nil
    }
}
