import Presentation

/// Nodes' clocks as they were: what to add to a node's times to get the coordinator's.
extension RecordingIndex {
    /// Less than this is as good as none: networks and schedulers take that long, and media of one node must not move for it.
    static let offsetUsMin: Int64 = 250_000

    /// Notes how far off a node's clock is, when that has changed.
    public func noteClock(node: String, offsetUs: Int64, atUs: Int64) throws(IndexError) {
        let last = try clockOffset(node: node, atUs: .max)
        guard abs(offsetUs - last) >= ClockKeeper.stepUs else { return }
        try database().query(
            """
            INSERT INTO clocks (node, at_us, offset_us) VALUES (?1, ?2, ?3)
            ON CONFLICT (node, at_us) DO UPDATE SET offset_us = ?3
            """,
            [.text(node), .integer(atUs), .integer(offsetUs)])
    }

    /// How far off a node's clock was, microseconds; 0 when nothing is known.
    public func clockOffset(node: String, atUs: Int64) throws(IndexError) -> Int64 {
        try database().rows(
            "SELECT offset_us FROM clocks WHERE node = ?1 ORDER BY at_us <= ?2 DESC, abs(at_us - ?2) LIMIT 1",
            [.text(node), .integer(min(atUs, 1 << 53))]
        ) { $0.integer(0) }.first ?? 0
    }

    /// What to add to a recording's times; 0 unless its node's clock was plainly wrong.
    public func correctionUs(of recording: IndexedRecording) throws(IndexError) -> Int64 {
        let offsetUs = try clockOffset(node: recording.node, atUs: recording.endUs ?? recording.updatedUs)
        return abs(offsetUs) < Self.offsetUsMin ? 0 : offsetUs
    }

    /// The largest correction there is: so much wider a range has to be looked for.
    public func correctionUsMax() throws(IndexError) -> Int64 {
        let largest = try database().rows("SELECT max(abs(offset_us)) FROM clocks") { $0.integer(0) }.first ?? 0
        return largest < Self.offsetUsMin ? 0 : largest
    }
}
