/// One remote address of a peer and what is known of it.
struct ICEPath {
    let address: SocketAddress
    /// An authenticated request came from it, or it answered a check of ours.
    var isValidated = false
    /// It answered us, or something only our real peer could make with what we sent came from it.
    var isProven = false
    /// Known by media alone, which may be somebody's copy: it stands for nothing until a check was answered or came from there.
    var needsAnswer = false
    /// Monotonic time of the last authenticated packet.
    var lastHeardNs: UInt64 = 0
    /// PRIORITY and NOMINATION of the last nominating request.
    var priority: UInt32 = 0
    var nomination: UInt32 = 0
    /// Different nominating requests in a row, none on another path between them.
    var streak = 0
    var lastNominating: STUNTransaction?
    /// Limits the requests taken from this address.
    var bucket = TokenBucket(perSecond: Limits.stunPerSecond, burst: Limits.stunBurst)

    /// Our own check in flight, repeated with the same transaction until answered.
    var check: STUNTransaction?
    var nextCheckNs: UInt64 = .max
    /// How often the check in flight was sent.
    var checkCount = 0
    /// Probes a lite agent may still send before the peer speaks again.
    var probesLeft = 0

    /// What may be sent in any case while the address is not proven, in bytes on the wire.
    private let allowance: Int
    /// Bytes on the wire, each way, while the address is not proven.
    private var receivedBytes = 0
    private var sentBytes = 0

    /// Counts a datagram that was authentic, or is for the handshake.
    mutating func received(_ count: Int) { receivedBytes &+= count + Limits.datagramHeaderBytes }

    mutating func sent(_ count: Int) { sentBytes &+= count + Limits.datagramHeaderBytes }

    /// Whether so long a datagram may be sent: who knows the credentials can have us write to anybody's address.
    func mayBeSent(_ count: Int) -> Bool {
        isProven
            || sentBytes &+ count &+ Limits.datagramHeaderBytes
                <= max(Limits.unprovenFactor &* receivedBytes, allowance)
    }

    /// - Parameter allowance: what may be sent there in any case before the address is proven.
    init(address: SocketAddress, allowance: Int) {
        self.address = address
        self.allowance = allowance
        // Nobody completes a TCP handshake for an address he does not hear.
        isProven = address.stream != 0
    }
}
