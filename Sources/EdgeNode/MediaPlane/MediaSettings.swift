/// How the plane meets the network.
public struct MediaSettings: Sendable {
    /// Port of loop 0; loop i uses `udpPort + i`. 0 lets the system choose each.
    public var udpPort: UInt16 = 0
    /// TCP port of loop 0 for peers without UDP, loop i uses the i-th after it; 0 lets the system choose each; nil: no TCP.
    public var tcpPort: UInt16?
    /// IP literal to bind to; `::` takes IPv4 and IPv6 where the machine has IPv6.
    public var bindAddress = "::"
    /// IP literals announced in answers (NAT 1:1); empty announces what `bindAddress` says, or every address of the machine.
    public var publicIPs: [String] = []
    /// Threads with a socket each; 0 is one for each core.
    public var loops = 0
    /// Socket buffers asked of the kernel, in bytes; it may grant less (net.core.rmem_max).
    public var socketBufferBytes = 8 << 20
    /// Whether to use UDP_SEGMENT; turned off by itself where the kernel or a device refuses it.
    public var usesSegmentation = true

    /// What publishers without transport-wide feedback are told to keep below (REMB), in bit/s; no estimate, a cap against absurd rates.
    public var publisherBitrateMax: UInt64 = 20_000_000
    /// Less stops some encoders altogether (draft-alvestrand-rmcat-remb-03 §2.2 gives 0 no other meaning).
    public static let publisherBitrateMin: UInt64 = 100_000
    /// Whether peers may have data channels.
    public var hasDataChannels = true

    /// Loopback-friendly defaults.
    public init() {}
}
