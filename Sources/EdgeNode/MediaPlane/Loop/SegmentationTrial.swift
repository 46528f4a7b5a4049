import Glibc

/// Whether a socket may be given runs to cut (UDP_SEGMENT), learnt from what the kernel does with them.
///
/// One peer's path may refuse them while all others take them: its route has a smaller MTU, which an ICMP message brings about, or it is
/// no address at all. So only refusals in a row, with nothing taken between them, end it for all, and after a while it is tried again.
struct SegmentationTrial {
    /// Refusals in a row after which runs are no longer made.
    static let refusalsMax = 8
    /// Flushes until they are made again: half a minute of 30 pictures a second.
    static let restFlushes = 1000

    /// Whether a run failed for being one: a device without checksum offload, an old kernel, a route with a smaller MTU.
    static func isRefusal(_ code: Int32) -> Bool {
        switch code {
        case EIO, EINVAL, EOPNOTSUPP, ENOPROTOOPT, EMSGSIZE: true
        default: false
        }
    }

    private let isWanted: Bool
    private var refusals = 0
    private var rest = 0

    init(isWanted: Bool) { self.isWanted = isWanted }

    @inline(__always)
    var isOn: Bool { isWanted && rest == 0 }

    /// A run went out whole.
    @inline(__always)
    mutating func countTaken() { refusals = 0 }

    /// A run was refused whose datagrams went out one by one.
    mutating func countRefused() {
        refusals += 1
        guard refusals >= Self.refusalsMax else { return }
        refusals = 0
        rest = Self.restFlushes
    }

    @inline(__always)
    mutating func countFlush() {
        if rest > 0 { rest -= 1 }
    }
}
