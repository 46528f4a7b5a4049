/// The one layer that readers of a stream, such as the recorder, are given; looked after on the publisher's loop.
///
/// It changes with a keyframe only, and readers are told of a new source then: sizes differ, and with them all that a file says of its
/// pictures. So a layer has to come for a while before it is gone up to.
struct TapLayer {
    /// How long a higher layer must have come.
    static let upNs: UInt64 = 5_000_000_000

    private var follower = LayerFollower(upNs: Self.upNs)
    /// The fanout track that is given; -1 while the stream has no layers.
    private(set) var track = -1
    private(set) var target = -1
    /// A keyframe of this source was given.
    private var isStarted = false

    init() {}

    /// A source begins; until a keyframe comes, its first layer is as good as any.
    mutating func begin(_ board: LayerBoard, restarted: UInt64) {
        let isThere = board.rank(of: track) != nil
        if isThere, restarted & (1 << UInt64(track)) == 0 { return }
        if !isThere { track = board.isLayered ? Int(board[0].track) : -1 }
        target = track
        isStarted = false
    }

    /// Looks at what comes; true when the keyframe of another layer is wanted.
    mutating func follow(_ board: LayerBoard, now: UInt64) -> Bool {
        guard let wanted = follower.target(on: board, current: target, now: now) else { return false }
        target = wanted
        return isStarted && target != track
    }

    enum Verdict {
        case give
        /// From this packet on another layer is given.
        case change
        case leave
    }

    /// What to do with a packet of one of the layers.
    mutating func take(_ layer: Int, isKeyframe: Bool) -> Verdict {
        guard isKeyframe, layer != track else {
            if layer == track, isKeyframe { isStarted = true }
            return layer == track ? .give : .leave
        }
        guard layer == target || !isStarted else { return .leave }
        track = layer
        isStarted = true
        return .change
    }
}
