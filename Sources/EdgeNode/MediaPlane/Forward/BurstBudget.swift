/// How much of one tick of a loop goes to newcomers, who are sent a group of pictures from before they came: what they get in one burst,
/// those who watch have to wait for.
struct BurstBudget {
    private var tick: UInt64 = 0
    private var left = 0

    /// How many packets may still go in the tick that `now` falls into.
    ///
    /// - Parameter perTick: how many in the whole of it.
    mutating func room(now: UInt64, perTick: Int) -> Int {
        let current = now / TimerWheel.tickNs
        if current != tick { (tick, left) = (current, perTick) }
        return left
    }

    /// So many went.
    mutating func use(_ packets: Int) { left -= packets }
}
