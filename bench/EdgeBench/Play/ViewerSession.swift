import CLinux
import MediaPlane
import SDP
import SampleMedia

/// One WHEP viewer: its socket, its transport, and what came in.
final class ViewerSession {
    private static let reportEveryNs: UInt64 = 1_000_000_000
    private static let keyframeEveryNs: UInt64 = 1_000_000_000

    let session: String
    let socket: PeerSocket
    private let stayNs: UInt64?
    private let transport: PeerTransport
    private let ssrc = UInt32.random(in: 1 ... .max)
    private let videoPayloadTypes: Set<UInt8>
    private let startNs: UInt64
    private(set) var streams: [IncomingStream] = []
    /// From the POST to ICE and DTLS done, to the first media, and to the first picture that decodes.
    private(set) var connectedMs: Double?
    private(set) var mediaMs: Double?
    private(set) var keyframeMs: Double?
    private(set) var closed: TransportCloseReason?
    private var leavesAtNs: UInt64 = .max
    private var nextReportNs: UInt64 = 0
    private var nextKeyframeNs: UInt64 = 0

    /// - Parameter stayNs: how long after its first picture it leaves; nil for not by itself.
    init(_ joined: Joined, stayNs: UInt64?) throws(TransportError) {
        guard let socket = PeerSocket() else { throw .crypto("no UDP socket") }
        self.socket = socket
        self.stayNs = stayNs
        tributary_note_arrivals(socket.descriptor)
        session = joined.session
        startNs = joined.startNs
        videoPayloadTypes = Set(joined.negotiated.tracks.filter { $0.kind == .video }.map(\.payloadType))
        transport = try joined.identity.transport(joined.negotiated, now: tributary_monotonic_ns())
    }

    /// Has what it came for, or has gone.
    func isSettled(_ options: PlayOptions) -> Bool {
        closed != nil || (options.expectsNothing || options.isDeaf ? connectedMs : keyframeMs) != nil
    }

    private func elapsedMs(_ now: UInt64) -> Double { Double(now - startNs) / 1_000_000 }

    /// Timers: retransmission, reports, NACKs, key frame requests.
    func tick(now: UInt64, output: inout TransportOutput, scratch: UnsafeMutableRawBufferPointer) {
        guard closed == nil else { return }
        if now >= leavesAtNs {
            close(output: &output)
            return
        }
        if transport.nextDeadlineNs <= now {
            transport.handleTimeout(now: now, output: &output)
            socket.flush(&output)
        }
        if case .closed(let reason) = transport.state { closed = reason }
        guard transport.state == .connected else { return }
        for index in streams.indices {
            let missing = streams[index].due(now: now)
            if !missing.isEmpty { send(ControlPackets.nack(from: ssrc, of: streams[index].ssrc, missing: missing), scratch) }
        }
        if now >= nextReportNs, !streams.isEmpty {
            nextReportNs = now + Self.reportEveryNs
            let reports = streams.indices.map { streams[$0].report(now: now) }
            send(ControlPackets.receiverReport(ssrc: ssrc, cname: "bench", reports: reports), scratch)
        }
        if keyframeMs == nil, now >= nextKeyframeNs, let video = streams.first(where: \.isVideo) {
            nextKeyframeNs = now + Self.keyframeEveryNs
            send(ControlPackets.pictureLoss(from: ssrc, of: video.ssrc), scratch)
        }
    }

    private func send(_ packet: [UInt8], _ scratch: UnsafeMutableRawBufferPointer) {
        guard let address = transport.selectedAddress, let base = scratch.baseAddress,
            packet.count + Limits.srtpTrailerBytes <= scratch.count
        else { return }
        // A feedback packet alone is allowed: the offer asks for reduced-size RTCP (RFC 5506).
        let count = packet.withUnsafeBytes { transport.protectRTCP($0, into: base) }
        if count > 0 { socket.send(UnsafeRawBufferPointer(start: base, count: count), to: address) }
    }

    /// Reads what is there, at most one batch so that other viewers get their turn.
    func receive(now: UInt64, batch: DatagramBatch, delays: inout Samples, output: inout TransportOutput) {
        for slot in 0..<batch.receive(socket.descriptor) {
            guard let from = batch.source(slot) else { continue }
            let datagram = batch.datagram(slot)
            switch transport.receive(datagram, from: from, now: now, output: &output) {
            case .rtp(let count):
                let packet = UnsafeRawBufferPointer(rebasing: datagram[..<count])
                if let sentNs = take(packet, now: now) {
                    let arrivalNs = batch.arrivalNs(slot)
                    if arrivalNs > sentNs { delays.add(arrivalNs - sentNs) }
                }
            case .rtcp(let count):
                ControlPackets.parse(UnsafeRawBufferPointer(rebasing: datagram[..<count])) { note($0, now: now) }
            case .none, .dropped: break
            }
        }
        if !output.isEmpty { socket.flush(&output) }
        if connectedMs == nil || transport.state != .connected { follow(now) }
    }

    private func follow(_ now: UInt64) {
        switch transport.state {
        case .connected where connectedMs == nil:
            connectedMs = elapsedMs(now)
            nextKeyframeNs = now + Self.keyframeEveryNs
        case .closed(let reason): closed = reason
        case .new, .checking, .handshaking, .connected: break
        }
    }

    private func note(_ packet: ControlPackets.Incoming, now: UInt64) {
        guard case .senderReport(let ssrc, let middleNTP) = packet,
            let index = streams.firstIndex(where: { $0.ssrc == ssrc })
        else { return }
        streams[index].lastSenderReport = (middleNTP, now)
    }

    /// One plain RTP packet; its authenticity is proven, its form is not. Returns its delay stamp, if it has one.
    private func take(_ packet: UnsafeRawBufferPointer, now: UInt64) -> UInt64? {
        guard packet.count >= 12 else { return nil }
        var offset = 12 + 4 * Int(packet[0] & 15)
        if packet[0] & 0x10 != 0 {
            guard packet.count >= offset + 4 else { return nil }
            offset += 4 + 4 * (Int(packet[offset + 2]) << 8 | Int(packet[offset + 3]))
        }
        var end = packet.count
        if packet[0] & 0x20 != 0, let padding = packet.last { end -= Int(padding) }
        guard offset <= end else { return nil }
        let sequence = UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        let timestamp = UInt32(bigEndian: packet.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let source = UInt32(bigEndian: packet.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        let index: Int
        if let known = streams.firstIndex(where: { $0.ssrc == source }) {
            index = known
        } else {
            streams.append(
                IncomingStream(ssrc: source, isVideo: videoPayloadTypes.contains(packet[1] & 0x7F), sequence: sequence))
            index = streams.count - 1
        }
        let payload = UnsafeRawBufferPointer(rebasing: packet[offset..<end])
        streams[index].take(sequence, timestamp: timestamp, payload: payload, now: now)
        if mediaMs == nil { mediaMs = elapsedMs(now) }
        if keyframeMs == nil, streams[index].counts.keyframes > 0 {
            keyframeMs = elapsedMs(now)
            if let stayNs { leavesAtNs = now + stayNs }
        }
        return streams[index].isVideo ? DelayStamp.time(in: payload) : nil
    }

    /// Of all its sources together.
    var counts: PacketCounts { streams.reduce(into: PacketCounts()) { $0 += $1.counts } }

    func close(output: inout TransportOutput) {
        transport.close(output: &output)
        socket.flush(&output)
        closed = .local
    }
}
