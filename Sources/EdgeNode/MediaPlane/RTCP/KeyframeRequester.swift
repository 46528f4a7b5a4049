/// Joins any number of wishes for a keyframe into few requests to one source (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
///
/// A wish is remembered until a keyframe starts to arrive. Sources that ignore requests (OBS, ffmpeg) are asked ever more rarely.
struct KeyframeRequester {
    static let intervalNs: UInt64 = 500_000_000
    static let intervalMaxNs: UInt64 = 8_000_000_000
    /// A keyframe that comes this soon after a request is taken for its answer.
    static let answerMaxNs: UInt64 = 1_000_000_000

    private(set) var isWanted = false
    private var sentNs: UInt64 = 0
    private var unanswered = 0
    /// Requests sent since the start.
    private(set) var sent: UInt64 = 0

    /// Someone needs a keyframe.
    mutating func want() { isWanted = true }

    /// When the next request may go out; `UInt64.max` when nobody wants one.
    var dueNs: UInt64 {
        guard isWanted else { return .max }
        guard sentNs != 0 else { return 0 }
        // 500 ms three times, then 1, 2, 4, 8 s.
        let doublings = UInt64(max(0, min(unanswered - 3, 4)))
        return sentNs &+ min(Self.intervalNs << doublings, Self.intervalMaxNs)
    }

    /// Whether to send a request now; counts it as sent.
    mutating func take(now: UInt64) -> Bool {
        guard isWanted, now >= dueNs else { return false }
        sentNs = now
        unanswered += 1
        sent &+= 1
        return true
    }

    /// Whether a keyframe that starts to arrive now was made because we asked for it, as far as time tells.
    func isAnswer(now: UInt64) -> Bool { unanswered > 0 && now &- sentNs <= Self.answerMaxNs }

    /// A keyframe starts to arrive.
    mutating func keyframeArrived() {
        isWanted = false
        unanswered = 0
    }

    /// Whether the source seems to ignore requests.
    var isIgnored: Bool { unanswered > 2 }
    /// Whether the last request repeats one that may be under way. Later ones are new: an answer may have got lost as a whole.
    var isRepeat: Bool { unanswered == 2 || unanswered == 3 }
}
