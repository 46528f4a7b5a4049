import CLinux
import Log
import MediaPlane
import SDP
import SampleMedia

/// One WHIP session's media on one thread: pace, packetise, encrypt, report, repair.
final class PublishSession {
    enum End: Sendable, Equatable {
        /// Input or time is over, or the user stopped.
        case finished
        case lost(String)
    }

    private static let reportEveryNs: UInt64 = 1_000_000_000
    private static let lateNs: UInt64 = 500_000_000
    private static let pollNs: UInt64 = 5_000_000

    private let transport: PeerTransport
    private let socket: PeerSocket
    private let feed: SampleFeed
    private let lateness: Lateness
    private let patienceNs: UInt64
    private var heardNs = tributary_monotonic_ns()
    /// By track of the input; nil where the server took none.
    private let streams: [OutgoingStream?]
    private let isVideo: [Bool]
    private var output = TransportOutput()
    private var transportNumber: UInt16 = 0
    /// Monotonic time at which input time 0 is due.
    private var base: Int64?
    private let stamps: Bool
    private let isSilent: Bool
    private var pictures = 0
    private var needsKeyframe = true
    private var nextReportNs: UInt64 = 0
    private var keyframeRequests = 0
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 2048, alignment: 16)

    init(
        _ session: NegotiatedSession, identity: ClientIdentity, tracks: [MediaTrack], feed: SampleFeed, options: PublishOptions,
        lateness: Lateness
    ) throws(TransportError) {
        patienceNs = options.patienceSeconds.map { UInt64($0) * 1_000_000_000 } ?? .max
        stamps = options.stamps
        isSilent = options.isSilent
        guard let socket = PeerSocket() else { throw .crypto("no UDP socket") }
        self.socket = socket
        self.feed = feed
        self.lateness = lateness
        transport = try identity.transport(session, now: tributary_monotonic_ns())
        streams = tracks.map { track in session.tracks.first { $0.kind == track.kind }.map { OutgoingStream($0) } }
        isVideo = tracks.map { $0.kind == .video }
    }

    deinit { scratch.deallocate() }

    /// Runs to the end of the input, to `endNs`, an interrupt, or the loss of the peer.
    func run(endNs: UInt64) -> End {
        let poller = Poller(capacity: 1)
        poller.add(socket.descriptor, tag: 0)
        var isAnnounced = false
        while true {
            let now = tributary_monotonic_ns()
            if Interrupt.isRequested || now >= endNs || feed.isDrained { break }
            transport.handleTimeout(now: now, output: &output)
            socket.flush(&output)
            if case .closed(let reason) = transport.state { return .lost(reason.rawValue) }
            if now &- heardNs > patienceNs, now > heardNs { return .lost("nothing heard") }
            var wake = min(transport.nextDeadlineNs, endNs)
            if transport.state == .connected {
                if !isAnnounced {
                    isAnnounced = true
                    Program.log.info("publishing", ["profile": transport.profile.map { "\($0)" } ?? ""])
                }
                if !isSilent { wake = min(wake, sendDue(now: now), sendReportsIfDue(now: now)) }
            }
            poller.wait(untilNs: wake) { _ in self.receive() }
        }
        finish()
        return .finished
    }

    /// Sends what is due and returns when to look again.
    private func sendDue(now: UInt64) -> UInt64 {
        while let timeUs = feed.nextTimeUs {
            let base = base ?? Int64(now) - timeUs * 1000
            self.base = base
            let due = UInt64(max(0, base + timeUs * 1000))
            if due > now { return due }
            // The input was late: the timeline shifts instead of being caught up in a burst.
            if now - due > Self.lateNs { self.base = base + Int64(now - due) }
            guard let sample = feed.pop() else { break }
            send(sample)
            lateness.add(tributary_monotonic_ns() - due)
        }
        return now + Self.pollNs
    }

    private func send(_ sample: MediaSample) {
        guard let stream = streams[sample.track], let address = transport.selectedAddress else { return }
        if isVideo[sample.track] {
            if needsKeyframe && !sample.isKey { return }
            needsKeyframe = false
        }
        let payloads =
            isVideo[sample.track] ? H264Packetizer.payloads(units(sample), limit: H264Packetizer.payloadLimit) : sample.units
        for (index, payload) in payloads.enumerated() {
            stream.send(
                payload, marker: isVideo[sample.track] && index == payloads.count - 1, timestamp: stream.timestamp(sample.ticks),
                transportNumber: &transportNumber, through: transport
            ) { socket.send($0, to: address) }
        }
    }

    /// The picture's units, with the time in every seventh.
    private func units(_ sample: MediaSample) -> [[UInt8]] {
        pictures += 1
        guard stamps, pictures.isMultiple(of: DelayStamp.interval) else { return sample.units }
        return DelayStamp.stamped(sample.units, ns: tributary_realtime_ns())
    }

    /// A sender report each second for each stream that has sent, on the common wall clock. Returns when the next is due.
    private func sendReportsIfDue(now: UInt64) -> UInt64 {
        guard let base else { return .max }
        guard now >= nextReportNs else { return nextReportNs }
        nextReportNs = now + Self.reportEveryNs
        let wall = tributary_realtime_ns()
        // NTP counts from 1900.
        let seconds = wall / 1_000_000_000 + 2_208_988_800
        let ntp = seconds << 32 | (wall % 1_000_000_000) << 32 / 1_000_000_000
        let mediaUs = (Int64(now) - base) / 1000
        for stream in streams.compactMap({ $0 }) where stream.packets > 0 {
            sendControl(stream.report(ntp: ntp, ticks: mediaUs * stream.clockRate / 1_000_000))
        }
        return nextReportNs
    }

    private func sendControl(_ packet: [UInt8]) {
        guard let address = transport.selectedAddress, let base = scratch.baseAddress,
            packet.count + Limits.srtpTrailerBytes <= scratch.count
        else { return }
        let count = packet.withUnsafeBytes { transport.protectRTCP($0, into: base) }
        if count > 0 { socket.send(UnsafeRawBufferPointer(start: base, count: count), to: address) }
    }

    private func receive() {
        let now = tributary_monotonic_ns()
        for _ in 0..<64 {
            guard let (count, from) = socket.receive(scratch) else { break }
            let datagram = UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])
            let received = transport.receive(datagram, from: from, now: now, output: &output)
            if case .dropped = received {} else { heardNs = now }
            if case .rtcp(let count) = received {
                ControlPackets.parse(UnsafeRawBufferPointer(rebasing: scratch[..<count])) { handle($0) }
            }
        }
        socket.flush(&output)
    }

    private func handle(_ packet: ControlPackets.Incoming) {
        switch packet {
        case .nack(let media, let missing):
            guard let address = transport.selectedAddress else { return }
            streams.compactMap { $0 }.first { $0.ssrc == media }?.resend(missing) { socket.send($0, to: address) }
        case .keyframeRequest:
            // A file cannot make one; its next key frame comes by itself.
            keyframeRequests += 1
        case .senderReport, .bye, .other:
            break
        }
    }

    private func finish() {
        for stream in streams.compactMap({ $0 }) where stream.packets > 0 { sendControl(ControlPackets.bye(stream.ssrc)) }
        transport.close(output: &output)
        socket.flush(&output)
        let totals = streams.compactMap { $0 }
        Program.log.info(
            "published",
            [
                "packets": "\(totals.reduce(0) { $0 + Int($1.packets) })", "resent": "\(totals.reduce(0) { $0 + $1.resent })",
                "keyframe_requests": "\(keyframeRequests)",
            ])
    }
}
