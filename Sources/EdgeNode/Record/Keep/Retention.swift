import Cluster

/// How long recordings are kept.
public struct Retention: Sendable, Equatable {
    /// Another time for the streams that fit a pattern.
    public struct Rule: Sendable, Equatable {
        /// Which streams.
        public var pattern: StreamPattern
        /// Days after its end until a recording is removed; 0: never.
        public var days: Int

        /// Both fields.
        public init(pattern: StreamPattern, days: Int) {
            self.pattern = pattern
            self.days = days
        }
    }

    /// For streams that no rule fits; 0: for ever.
    public var days: Int
    /// The first one that fits a stream decides.
    public var rules: [Rule]

    /// Keeps everything for ever unless told otherwise.
    public init(days: Int = 0, rules: [Rule] = []) {
        self.days = days
        self.rules = rules
    }

    /// Recordings of the stream that ended before this are removed, Unix microseconds; nil when they are kept for ever.
    func limitUs(for stream: String, nowUs: Int64) -> Int64? {
        let days = rules.first { $0.pattern.matches(stream) }?.days ?? days
        return days > 0 ? nowUs - Int64(days) * Self.dayUs : nil
    }

    /// No recording of any stream that ended after this is removed, Unix microseconds; nil when none is at all.
    func youngestLimitUs(nowUs: Int64) -> Int64? {
        ([days] + rules.map(\.days)).filter { $0 > 0 }.min().map { nowUs - Int64($0) * Self.dayUs }
    }

    /// Whether a recording that has ended has been kept long enough.
    ///
    /// - Parameter ownUs: the same time by the clock of the node that wrote the row, Unix microseconds.
    func isOver(_ row: RecordingRecord, nowUs: Int64, ownUs: Int64) -> Bool {
        guard let limit = limitUs(for: row.stream, nowUs: nowUs) else { return false }
        // What was recorded before the time of day was right says of itself that it is old; a change that is still to come says nothing.
        let changedUs = row.updatedAt <= ownUs ? row.updatedAt : 0
        return row.endTs.map { max($0, changedUs) < limit } ?? false
    }

    private static let dayUs: Int64 = 86_400_000_000
}
