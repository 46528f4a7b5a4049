import CLinux
import Streams

/// Gives the system back what sessions needed only while they came and went.
///
/// A DTLS handshake takes 60 KB for a moment. What is allocated then and stays lies between those blocks, so that after a few hundred
/// viewers have come a third of the heap is holes.
enum FreedMemory {
    private static let interval = Duration.seconds(2)
    /// Sessions more or fewer than last time that make it worth looking through the heap.
    private static let sessionsMin = 50

    /// Follows the number of sessions, and acts once it has moved and then rests.
    static func follow(_ registry: StreamRegistry) async {
        var settled = 0
        var last = 0
        while !Task.isCancelled {
            try? await Task.sleep(for: interval)
            let counts = await registry.counts
            let count = counts.publishers + counts.viewers
            if abs(count - last) <= last / 50, abs(count - settled) >= sessionsMin {
                tributary_return_freed_memory()
                settled = count
            }
            last = count
        }
    }
}
