/// The data channels' numbers in one place, with where they come from.
package enum SCTPLimits {
    /// Largest message, either way: what a peer assumes that is told nothing (RFC 8841 section 6.1), and live777's.
    package static let messageBytes = 65_536
    /// SCTP's port on our side (RFC 8841 section 5.1).
    package static let port: UInt16 = 5000
    /// What one peer may have waiting in its association: a whole message and one more. A viewer past it loses messages or is closed.
    static let sendBufferBytes = 2 * messageBytes
    static let receiveBufferBytes = 2 * messageBytes
    /// SCTP packet without its common header of 12 bytes; with DTLS (13 + 8 + 16) it stays under ``Limits/dtlsDatagramBytes``.
    static let pathMTU: UInt32 = 1128
    /// Streams each way. A browser counts its channels up from 0 or 1 in steps of two; each costs about 100 bytes for as long as
    /// the association lives.
    static let streams: UInt16 = 128
    /// Channels open at a time for one peer.
    static let channelsPerPeer = 32
    /// Longest label and protocol kept.
    static let labelBytes = 256
    /// Associations that one peer may begin, one after the other.
    static let associationsPerPeer = 8
    /// Packets of one peer, and of all, that wait for the thread.
    static let waitingBytesPerPeer = 256 * 1024
    static let waitingBytes = 32 << 20
    /// Packets that wait for a media loop.
    static let outgoingBytes = 8 << 20
    /// Records that a loop encrypts between two batches: 256 take less than a millisecond.
    static let recordsPerBatch = 256
    /// Datagrams with application data taken from one peer: 20 Mb/s, and a message of the largest size at once with others.
    static let recordsPerSecond: UInt64 = 2000
    static let recordBurst: UInt64 = 500
    /// Messages from one viewer to the publisher, who may have a thousand of them.
    static let viewerMessagesPerSecond: UInt64 = 200
    static let viewerMessageBurst: UInt64 = 100
    /// usrsctp's clock: how often while there is traffic, and otherwise.
    static let busyTickMs: Int32 = 10
    static let idleTickMs: Int32 = 100
    static let busyNs: UInt64 = 2_000_000_000
    /// Retransmission time-outs in ms: at first, least, most. The defaults (3 s, 1 s, 60 s) are the Internet's of 2000.
    static let rtoInitialMs: UInt32 = 500
    static let rtoMinMs: UInt32 = 200
    static let rtoMaxMs: UInt32 = 10_000
    static let delayedAcknowledgementMs: UInt32 = 20
}
