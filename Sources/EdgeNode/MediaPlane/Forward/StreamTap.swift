/// A track as the recorder sees it.
public struct TapTrack: Sendable, Equatable {
    /// The number packets carry.
    public var index: UInt8
    /// Audio or video.
    public var kind: TrackKind
    /// The codec.
    public var codec: CodecID
    /// RTP clock in Hz.
    public var clockRate: UInt32
    /// The `a=fmtp` parameters as text.
    public var fmtp: String
    /// Channels as in `a=rtpmap`.
    public var channels: UInt8
    /// The simulcast layer that it is; empty for a track that comes once. A reader is given one layer at a time.
    public var rid: String

    /// All fields by name.
    public init(
        index: UInt8, kind: TrackKind, codec: CodecID, clockRate: UInt32, fmtp: String, channels: UInt8, rid: String = ""
    ) {
        self.index = index
        self.kind = kind
        self.codec = codec
        self.clockRate = clockRate
        self.fmtp = fmtp
        self.channels = channels
        self.rid = rid
    }
}

/// One thing that happened in a stream, in order of arrival.
public enum TapEvent {
    /// A new publisher, or one whose encoder restarted: sequence numbers and timestamps start anew.
    case source(epoch: UInt32, tracks: [TapTrack])
    /// A packet after decryption, retransmission unwrap and removal of duplicates. The payload is valid during the call only.
    ///
    /// `extendedSequence` counts up without the gaps that padding-only packets would leave; `arrivalNs` is monotonic.
    case packet(
        track: UInt8, extendedSequence: UInt64, timestamp: UInt32, arrivalNs: UInt64, marker: Bool,
        payload: UnsafeRawBufferPointer)
    /// The publisher's own clock mapping: `ntp` in 32.32 fixed point belongs to `timestamp` (RFC 3550 §6.4.1).
    case senderReport(track: UInt8, ntp: UInt64, timestamp: UInt32, arrivalNs: UInt64)
    /// The reader was too slow and this many packets are missing here.
    case gap(lost: Int)
    /// The publisher is gone.
    case sourceEnded(epoch: UInt32)
}

/// The reader's end of a stream: everything the publisher sends, whole and in order of arrival, never slowing the loop.
///
/// One thread drains it; any thread may close it.
public final class StreamTap: Sendable {
    private let pipe: PacketPipe
    private let onClose: @Sendable () -> Void

    init(pipe: PacketPipe, onClose: @escaping @Sendable () -> Void) {
        self.pipe = pipe
        self.onClose = onClose
    }

    deinit { close() }

    /// An eventfd that becomes readable when there is something; reading it is ``drain(_:)``'s business.
    public var wakeDescriptor: Int32 { pipe.wake.descriptor }

    /// Hands over everything that has arrived, oldest first, and re-arms ``wakeDescriptor``. One thread only. Doesn't block.
    public func drain(_ body: (borrowing TapEvent) -> Void) {
        pipe.wake.clear()
        while let entry = pipe.front() {
            switch entry.pointee.kind {
            case .source: body(.source(epoch: entry.pointee.epoch, tracks: pipe.tracks(of: entry.pointee.epoch)))
            case .packet:
                let payload = Self.primary(
                    UnsafeRawBufferPointer(start: pipe.payload(of: entry), count: Int(entry.pointee.payloadCount)),
                    entry.pointee.flags)
                body(
                    .packet(
                        track: entry.pointee.track, extendedSequence: entry.pointee.sequence,
                        timestamp: entry.pointee.timestamp, arrivalNs: entry.pointee.arrivalNs,
                        marker: entry.pointee.flags.contains(.marker), payload: payload))
            case .senderReport:
                body(
                    .senderReport(
                        track: entry.pointee.track, ntp: entry.pointee.sequence, timestamp: entry.pointee.timestamp,
                        arrivalNs: entry.pointee.arrivalNs))
            case .gap: body(.gap(lost: Int(clamping: entry.pointee.sequence)))
            case .sourceEnded: body(.sourceEnded(epoch: entry.pointee.epoch))
            case .padding: break
            }
            pipe.pop()
        }
    }

    /// The primary block of redundant audio data; any other payload as it is.
    private static func primary(_ payload: UnsafeRawBufferPointer, _ flags: PacketFlags) -> UnsafeRawBufferPointer {
        guard flags.contains(.redundant),
            let blocks = RedundantAudio(payload.bindMemory(to: UInt8.self).span, payloadType: nil)
        else { return payload }
        return UnsafeRawBufferPointer(rebasing: payload[blocks.primaryOffset...])
    }

    /// Ends the tap; the loop stops filling it. More calls do nothing.
    public func close() {
        if pipe.close() { onClose() }
    }
}
