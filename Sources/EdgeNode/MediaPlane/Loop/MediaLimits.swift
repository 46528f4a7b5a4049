/// The plane's numbers in one place, with where they come from.
package enum MediaLimits {
    /// Tracks one session may carry: audio, and video in up to ``layersPerTrack`` layers, with a few to spare. Tables per viewer are
    /// this wide; so are the `InlineArray<8, …>`, whose count must be a literal.
    package static let tracksPerStream = 8
    /// Formats that a viewer may take a track in.
    package static let formatsPerTrack = 16
    /// Simulcast layers of one track: browsers send three, OBS up to four.
    package static let layersPerTrack = 4
    /// Slots a track's ring has. 5 Mb/s of 1200-byte packets is about 520 packets/s, so video is held for about 4 s,
    /// which covers NACKs (1 s asked) and one group of pictures for a joiner.
    package static let videoRingSlots = 2048
    /// Opus sends 50 packets/s, 100 at 10 ms frames: 512 slots are more than 5 s.
    package static let audioRingSlots = 512
    /// UDP payload that fits an Ethernet frame: 1500 - 20 (IPv4) - 8 (UDP).
    package static let datagramBytesMax = 1472
    /// The same over IPv6, whose header is 40 bytes.
    package static let datagramBytesMaxIPv6 = 1452
    /// What IPv4 and UDP add to a packet, for rates as the path sees them.
    package static let networkHeaderBytes = 28
    /// Padding counts itself in one byte (RFC 3550 section 5.1).
    package static let paddingBytesMax = 255
    /// What one publisher may send in a second: 100 Mb/s of media is beyond any encoder meant for viewers.
    package static let publisherPacketsPerSecond = 15_000
    package static let publisherBytesPerSecond = 12_500_000
    /// Receive slots hold what a jumbo or broken sender may send without us cutting it unseen.
    package static let receiveSlotBytes = 2048
    /// Datagrams taken by one recvmmsg: 64 × 2 KiB stays in the second-level cache.
    package static let receiveBatch = 64
    /// Payload room of a ring or pipe slot: a full datagram less the smallest RTP header and SRTP tag (12 + 10).
    package static let payloadBytesMax = 1472
    /// Slots of a pipe between two loops. Of the payloads' memory only what waits is ever touched.
    package static let loopPipeSlots = 8192
    /// What of them a joining loop's group of pictures may take: 27 s of a 2.5 Mb/s stream; layers share them.
    package static let replayPackets = loopPipeSlots / 8 * 7
    /// Of a publisher that makes a keyframe when asked, a joining loop only gets a group of pictures that is shorter.
    package static let shortGroupPackets = 512
    /// Slots of a video ring that keeps whole groups of pictures for joiners, at most.
    package static let videoRingSlotsMax = 8192
    /// Packets that waited longer in a pipe between loops are dropped: viewers are better served by what is current.
    package static let pipeAgeMaxNs: UInt64 = 1_000_000_000
    /// Slots of a pipe to the recorder: 4096 packets are 8 s of a 5 Mb/s stream, for a disk that hesitates.
    package static let tapPipeSlots = 4096
    /// Slots that packets leave free in a pipe, so that source changes always get in.
    package static let pipeControlReserve = 16
    /// Datagrams of media from unknown addresses that a loop looks at, in a second and at once, and how many sessions' keys it tries on
    /// one: a NAT that is restarted moves a hundred viewers at a time, and whoever is not seen here is known by its next check.
    static let strangersPerSecond: UInt64 = 50
    static let strangersBurst: UInt64 = 100
    static let strangerTrials = 4
    /// Commands waiting for one loop; a burst of joins waits, nothing is lost but the sender's time.
    package static let mailboxCommands = 4096
    /// TCP connections of one loop, and those of one host among them: a fallback for networks without UDP, whose people share an address.
    package static let tcpConnections = 1024
    package static let tcpConnectionsPerHost = 64
    /// Connections that wait to be accepted, and how many one wake accepts; buffers read from one of them before others get their turn.
    static let tcpBacklog = 128
    static let tcpAccepts = 16
    static let tcpReads = 4
    /// What the kernel may hold unsent of a connection: what waits there can't be dropped any more.
    static let tcpUnsentBytes = 32 * 1024
    /// A connection that is not a session's by then is closed.
    static let tcpPatienceNs: UInt64 = 10_000_000_000
    /// Read room of a connection: some packets of the longest kind.
    static let frameBufferBytes = 16 * 1024
    /// Packets that wait for a connection: 0.4 s of 5 Mb/s; a slower peer is better served by a later key frame.
    static let frameQueueBytes = 256 * 1024
    /// Handshake steps of one loop that are with the pool at once, and those of one host among them: at 0.5 ms each the last of them waits
    /// 32 ms, and a crowd behind one address leaves room for others.
    package static let handshakesUnderWay = 64
    package static let handshakesPerHost = 16
    /// Sessions of one loop whose handshakes may wait for that; with those under way more than can be served before the peers give up.
    package static let handshakesWaiting = 4096
    /// Send arena: 64 segments × 1472 B for some dozens of viewers before a sendmmsg.
    package static let arenaBytes = 1 << 20
    /// Socket buffers of a dialed session: one stream of 20 Mb/s for 400 ms each way.
    package static let dialedBufferBytes = 1 << 20
    /// Sockets of dialed sessions looked at in one wake; epoll names the others in the next.
    package static let readyEvents = 64
    /// Messages in one sendmmsg.
    package static let sendBatch = 256
    /// The kernel's UDP_MAX_SEGMENTS before 6.9.
    package static let segmentsMax = 64
    /// A run must stay under the largest UDP datagram (65507) with room for its header.
    package static let runBytesMax = 64000
    /// Jump in sequence numbers that means a restarted sender rather than loss (RFC 3550 A.1: MAX_DROPOUT).
    package static let sequenceJumpMax: Int64 = 3000
    /// Missing packets remembered for one track; past it a keyframe is cheaper.
    package static let nackListMax = 1000
    /// Times one packet is asked for.
    package static let nackTries = 10
    /// Unknown SSRCs a publisher may show (RFC 9143 §9.2 leaves it open; a browser shows two per layer).
    package static let ssrcsPerPublisher = 32
    /// Lost packets of one viewer looked up in a second: five times what 10 Mb/s with every tenth packet lost asks for, each ten times.
    package static let nackedPerSecond = 5_000
    /// A loop this busy takes no more viewers while another is less so. What comes in waits 1 / (1 - share) times as long as on an idle
    /// loop, seven times here, and a burst of handshakes needs room too.
    static let saturationPermille: UInt32 = 850
    /// How often that is judged: 200 joins in a second add a twentieth of a loop in this time.
    static let loadWindowNs: UInt64 = 250_000_000
    /// How long a loop runs before others of the same priority do: the least that the kernel takes. A loop that has slept then runs before those
    /// with longer turns, which is 3 ms by default.
    static let turnNs: UInt64 = 100_000
    /// A session that was heard, and whose published sign of life is this old, is published anew even if nothing else has changed: longer than
    /// consent checks lie apart (RFC 7675 section 5.1), shorter than the silence after which a session is shown as disconnected.
    static let heardAgainNs: UInt64 = 7_000_000_000
    /// A session that hasn't finished ICE and DTLS by then is freed.
    package static let setupTimeoutNs: UInt64 = 30_000_000_000
}
