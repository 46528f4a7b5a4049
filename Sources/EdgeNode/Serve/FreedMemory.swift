import CLinux
import Streams

/// Gives the system back what sessions needed only while they came and went.
///
/// A DTLS handshake takes 60 KB for a moment. What is allocated then and stays lies between those blocks, so that after a few hundred
/// viewers have come a third of the heap is holes.
enum FreedMemory {
    private static let interval = Duration.seconds(2)
    /// Follows the number of sessions, and acts once it has moved and then rests.
    static func follow(_ registry: StreamRegistry) async {
        var rest = Rest()
        while !Task.isCancelled {
            try? await Task.sleep(for: interval)
            let counts = await registry.counts
            if rest.isTime(sessions: counts.publishers + counts.viewers) { tributary_return_freed_memory() }
        }
    }

    /// When it is time: sessions count from their offers on, so that the handshakes of many may still be under way when the number rests.
    struct Rest {
        /// Sessions more or fewer than last time that make it worth looking through the heap.
        private static let sessionsMin = 50
        /// For so many looks the number has to rest.
        private static let looks = 3

        private var settled = 0
        /// How many there were when the number began to rest: a slow climb is none.
        private var resting = 0
        private var quiet = 0

        mutating func isTime(sessions: Int) -> Bool {
            if abs(sessions - resting) <= resting / 50 { quiet += 1 } else { (resting, quiet) = (sessions, 0) }
            guard quiet >= Self.looks, abs(sessions - settled) >= Self.sessionsMin else { return false }
            settled = sessions
            return true
        }
    }
}
