/// Chooses a layer for one who follows a stream: down at once, up slowly.
struct LayerFollower {
    enum Wish: Equatable {
        case automatic
        case pinned(ShortText)
        case off
    }

    /// A layer has to come, and its bit rate to fit, for so long before an automatic follower goes up to it.
    static let upNs: UInt64 = 2_000_000_000
    /// Where the bit rate is limited: a switch up that fails costs more than waiting, but the limit only rises this far when packets at that
    /// rate have come through.
    static let limitedUpNs: UInt64 = 2_500_000_000

    /// Eighths of the limit that a layer may take for one who goes up to it.
    private static let climbShare: UInt64 = 7

    var wish = Wish.automatic
    /// What all tracks together may take, in bits per second; `UInt64.max` while nobody knows.
    var bitsPerSecondMax: UInt64 = .max
    private let upNs: UInt64
    private var upSinceNs: UInt64 = 0

    /// - Parameter upNs: how long a higher layer must have come while the bit rate is no matter.
    init(upNs: UInt64 = Self.upNs) { self.upNs = upNs }

    /// The fanout track to send; nil for none, or while none is known.
    ///
    /// - Parameter current: the one that is sent, or that is on its way to be; nil while there is none.
    mutating func target(on board: LayerBoard, current: Int?, now: UInt64) -> Int? {
        switch wish {
        case .off: return nil
        case .pinned(let rid):
            if let track = board.track(rid: rid) { return board.nearest(to: track) ?? current }
            // A publisher without that layer: as if nothing was chosen.
            return automatic(board, current, now)
        case .automatic: return automatic(board, current, now)
        }
    }

    private mutating func automatic(_ board: LayerBoard, _ current: Int?, _ now: UInt64) -> Int? {
        let limit = room(board)
        guard let current, let rank = board.rank(of: current), board[rank].isActive else {
            upSinceNs = 0
            return board.best(within: limit)
        }
        if board[rank].meter.bitsPerSecond > limit, let lower = board.best(within: limit), lower != current {
            upSinceNs = 0
            return lower
        }
        // Some room above the layer's own rate, so that two layers are not changed to and fro.
        let isLimited = limit != .max
        guard let higher = board.best(within: isLimited ? limit / 8 * Self.climbShare : limit),
            let wanted = board.rank(of: higher),
            wanted > rank
        else {
            upSinceNs = 0
            return current
        }
        if upSinceNs == 0 { upSinceNs = now }
        guard now &- max(upSinceNs, board[wanted].activeSinceNs) >= (isLimited ? Self.limitedUpNs : upNs) else {
            return current
        }
        upSinceNs = 0
        return higher
    }

    /// The room for video that it takes to go up to a layer of this bit rate.
    static func roomToClimb(to bitsPerSecond: UInt64) -> UInt64 { (bitsPerSecond / climbShare + 1) * 8 }

    /// What is left for video.
    private func room(_ board: LayerBoard) -> UInt64 {
        guard bitsPerSecondMax != .max else { return .max }
        let others = board.otherBitsPerSecond
        return bitsPerSecondMax > others ? bitsPerSecondMax - others : 0
    }
}

extension LayerFollower.Wish {
    init(_ choice: LayerChoice) {
        switch choice {
        case .automatic: self = .automatic
        case .pinned(let rid): self = .pinned(ShortText(rid))
        case .off: self = .off
        }
    }

    var choice: LayerChoice {
        switch self {
        case .automatic: .automatic
        case .pinned(let rid): .pinned(rid: rid.text)
        case .off: .off
        }
    }
}
