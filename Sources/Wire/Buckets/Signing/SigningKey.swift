import Synchronization

/// The key that signatures of version 4 are made with, AWS's and Alibaba Cloud's alike: it follows from the secret, the day and where the
/// bucket is, and so stays the same for a day.
struct SigningKey: Sendable {
    /// What the key is derived from, one after the other; the first is the secret with its prefix.
    private let steps: [String]
    /// 32 bytes.
    let bytes: [UInt8]

    init(_ steps: [String]) {
        self.steps = steps
        bytes = steps.dropFirst().reduce(Array((steps.first ?? "").utf8)) { Digest.hmacSHA256($0, Array($1.utf8)) }
    }

    /// Remembers the last one.
    final class Memo: Sendable {
        private let last = Mutex<SigningKey?>(nil)

        /// The key that follows from these steps.
        func key(_ steps: [String]) -> SigningKey {
            if let last = last.withLock({ $0 }), last.steps == steps { return last }
            let key = SigningKey(steps)
            last.withLock { $0 = key }
            return key
        }
    }
}
