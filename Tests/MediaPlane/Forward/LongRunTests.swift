import Testing

@testable import MediaPlane

/// A source's track, its place on the stream's timeline and one viewer's numbering of it, one behind the other as in a loop.
private struct Chain: ~Copyable {
    var incoming: IncomingTrack
    var fanout: FanoutTrack
    var outgoing: OutgoingTrack
    private let header = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 16)
    /// A keyframe, a small one.
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: 3, alignment: 1)
    private var payload: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: 3) }

    init(kind: TrackKind, initialSequence: UInt16, timestampOffset: UInt32) {
        memory.storeBytes(of: 0x65, as: UInt8.self)
        let isVideo = kind == .video
        let (codec, rate): (CodecID, UInt32) = isVideo ? (.h264, 90_000) : (.opus, 48_000)
        incoming = IncomingTrack(
            TrackConstants(
                IncomingTrackSpec(
                    kind: kind, codec: codec, clockRate: rate, payloadType: 96, rtxPayloadType: 97,
                    feedback: FeedbackFlags(nack: isVideo, pli: isVideo))))
        fanout = FanoutTrack(kind: kind, codec: codec, clockRate: rate)
        outgoing = OutgoingTrack(
            OutgoingTrackSpec(
                kind: kind, codec: codec, payloadType: 102, ssrc: 1, rtxPayloadType: 112, rtxSSRC: 2, clockRate: rate, cname: "c"),
            initialSequence: initialSequence, timestampOffset: timestampOffset)
    }

    deinit {
        header.deallocate()
        memory.deallocate()
    }

    /// What a viewer is sent for a packet: the number, and the 16 bits and timestamp in its header; nil when nothing.
    mutating func pass(
        sequence: UInt16, timestamp: UInt32, now: UInt64, isRepair: Bool = false
    ) -> (sequence: UInt64, wire: UInt16, timestamp: UInt32)? {
        let place = RTPHeader(payloadType: 96, sequence: sequence, timestamp: timestamp)
        let verdict = incoming.receive(
            sequence: sequence, header: place, payload: payload.bindMemory(to: UInt8.self).span,
            extensions: ForwardedExtensions(), now: now,
            isRepair: isRepair)
        guard case .deliver(let packet) = verdict else { return nil }
        if fanout.isPendingFull { fanout.clearPending() }
        guard case .stored = fanout.store(packet, payload: payload, wallNs: now) else { return nil }
        let index = fanout.pendingIndex(fanout.pendingCount - 1)
        if outgoing.packets == 0, !outgoing.begin(at: index, shift: outgoing.firstShift(track: 0)) { return nil }
        guard let number = outgoing.map.sequence(sending: index), let slot = fanout.ring.slot(at: index) else { return nil }
        _ = outgoing.writeHeader(
            slot, sequence: number, shift: outgoing.map.shift(of: number), mark: .none, to: header)
        outgoing.countSent(slot, bytes: payload.count, octets: payload.count)
        let bytes = UnsafeRawBufferPointer(start: header, count: 12).bindMemory(to: UInt8.self).span
        return (number, bytes.bigEndian16(at: 2), bytes.bigEndian32(at: 4))
    }

    /// The position that a NACK for this 16-bit number finds in the ring.
    func findsNacked(_ sequence: UInt16) -> Bool {
        guard let number = outgoing.map.extend(sequence), let index = outgoing.map.index(of: number) else { return false }
        return fanout.ring.slot(at: index) != nil
    }
}

@Suite(
    "Long runs on injected time: every wrap of sixteen and thirty-two bits, days of media (RFC 3550 A.1, §6.4, RFC 3711 §3.3.1)")
struct LongRunTests {
    /// From packet to packet, so that timestamps wrap as often as sequence numbers.
    private static let ticks: UInt64 = 160_000_003

    @Test(
        "10,000 wraps of sequence numbers, and as many of timestamps, in three runs, with reordering at each",
        arguments: [(65_500, UInt32.max - 89_999, 32_767), (0, 0, 0), (32_768, 0x7FFF_FFFF, 1)] as [(UInt64, UInt32, UInt16)])
    func wraps(start: UInt64, timestamp: UInt32, initial: UInt16) {
        var chain = Chain(kind: .video, initialSequence: initial, timestampOffset: 0xFFFF_0000)
        var random = Mutator.Random(seed: start)
        var position = start
        var step: UInt64 = 0
        var faults: [String] = []
        func send(_ position: UInt64) {
            step += 1
            let media = step &* Self.ticks
            let own = timestamp &+ UInt32(truncatingIfNeeded: media)
            let now = 1_000_000_000 + media * 1_000_000 / 90
            guard let sent = chain.pass(sequence: UInt16(truncatingIfNeeded: position), timestamp: own, now: now) else {
                faults.append("nothing sent for \(position)")
                return
            }
            let expected = position - start + UInt64(initial)
            if sent.sequence != expected || sent.wire != UInt16(truncatingIfNeeded: expected) {
                faults.append("number of \(position)")
            }
            if sent.timestamp != own &+ 0xFFFF_0000 { faults.append("timestamp of \(position)") }
            if step % 64 == 0, !chain.findsNacked(sent.wire) { faults.append("NACK of \(position)") }
            let wall = chain.fanout.clock.wall(of: own, clockRate: 90_000)
            if max(wall, now) - min(wall, now) > 1_000_000 { faults.append("clock at \(position)") }
        }
        send(position)
        let wraps: UInt64 = 3_400
        while position < start + wraps << 16, faults.count < 5 {
            let next = position + UInt64.random(in: 2_500...2_990, using: &random)
            let wrap = (next >> 16) << 16
            if wrap > position + 3 {
                for near in [wrap - 2, wrap - 1, wrap + 1, wrap, wrap + 2] { send(near) }
                position = wrap + 2
            } else {
                send(next)
                position = next
            }
        }
        #expect(faults.isEmpty)
        #expect((step * Self.ticks) >> 32 >= wraps - wraps / 20, "timestamps wrapped as often")
    }

    @Test(
        "10,000 wraps in two runs, at each of which two packets are lost and come as retransmissions",
        arguments: [65_500, 1] as [UInt64])
    func repairedWraps(start: UInt64) {
        var chain = Chain(kind: .video, initialSequence: 9, timestampOffset: 7)
        var faults: [String] = []
        var step: UInt64 = 0
        func send(_ position: UInt64, isRepair: Bool = false) {
            step += 1
            let sent = chain.pass(
                sequence: UInt16(truncatingIfNeeded: position), timestamp: UInt32(truncatingIfNeeded: position &* 3000),
                now: 1_000_000_000 + step * 10_000_000, isRepair: isRepair)
            if sent?.sequence != position - start + 9 { faults.append("number of \(position)") }
        }
        var position = start
        send(position)
        let end = start + 5_000 << 16
        while position < end, faults.count < 5 {
            let wrap = (position >> 16 + 1) << 16
            if position + 2_990 < wrap {
                position += 2_900
                send(position)
            } else {
                for near in [wrap - 2, wrap + 1] { send(near) }
                for late in [wrap, wrap - 1] { send(late, isRepair: true) }
                position = wrap + 1
            }
        }
        #expect(faults.isEmpty)
    }

    @Test("1,000 wraps of a repair stream's own numbers: none comes twice, whatever it begins with")
    func repairWraps() {
        var repair = RepairStream(ssrc: 1, initial: 0xFFFF)
        var expected: UInt64 = 0x7FFF
        var isEach = true
        while expected < 1_000 << 16 {
            let number = repair.nextSequence()
            isEach = isEach && number == expected
            expected += 1
        }
        #expect(isEach)
    }

    @Test("a day of picture and sound: numbers, reports, feedback and lips as at the beginning", arguments: [80, -80])
    func day(driftPPM: Int) {
        var run = DayRun(driftPPM: driftPPM)
        run.pass(seconds: 24 * 3600)
        #expect(run.faults.prefix(5) == [])
        #expect(run.reported == run.numbered)
        #expect(run.repaired == 86)
    }
}

/// A day of a publisher whose clock runs wrong by some parts in a million: a picture and a sound each second.
private struct DayRun: ~Copyable {
    private var video = Chain(kind: .video, initialSequence: 32_767, timestampOffset: 7)
    private var audio = Chain(kind: .audio, initialSequence: 1, timestampOffset: 0xFFFF_FFFF)
    private var feedback = TransportFeedback()
    private let driftPPM: Int64
    private let scratch = UnsafeMutableRawPointer.allocate(byteCount: 2048, alignment: 16)
    private var offset: UInt64?
    private var next: UInt64 = 0
    private var lostCount: Int64 = 0
    private(set) var faults: [String] = []
    /// Transport-wide numbers given, and told of in feedback.
    private(set) var numbered = 0
    private(set) var reported = 0
    private(set) var repaired = 0

    private static let startNs: UInt64 = 5_000_000_000
    /// Close to where NTP seconds wrap (2036).
    private static let ntpNs: UInt64 = 4_294_960_000 * 1_000_000_000
    private static let second: UInt64 = 1_000_000_000

    init(driftPPM: Int) { self.driftPPM = Int64(driftPPM) }

    deinit { scratch.deallocate() }

    /// What the publisher's clock shows after `ns` of ours.
    private func publisher(_ ns: UInt64) -> UInt64 { UInt64(Int64(ns) + Int64(ns) / 1_000_000 * driftPPM) }

    private func timestamp(_ ns: UInt64, rate: UInt64) -> UInt32 {
        let own = publisher(ns)
        return 0xFFFF_8000 &+ UInt32(truncatingIfNeeded: own / 1_000_000_000 * rate + own % 1_000_000_000 * rate / 1_000_000_000)
    }

    mutating func pass(seconds: Int) {
        for second in 0..<UInt64(seconds) where faults.count < 5 {
            let ns = second * Self.second
            send(second, ns)
            guard second % 2 == 1 else { continue }
            report(ns)
            tell(Self.startNs + ns)
            if second % 200 == 199 { check(second, ns) }
        }
    }

    private mutating func send(_ number: UInt64, _ ns: UInt64) {
        let now = Self.startNs + ns
        let isLost = number % 1000 == 500
        let sequence = UInt16(truncatingIfNeeded: 65_500 + number)
        if isLost {
            lostCount += 1
        } else {
            pass(sequence, ns, now, isRepair: false)
        }
        if number % 1000 == 501 {
            pass(sequence &- 1, ns - Self.second, now, isRepair: true)
            repaired += 1
        }
        let sound = audio.pass(
            sequence: UInt16(truncatingIfNeeded: 65_535 + number), timestamp: timestamp(ns, rate: 48_000), now: now)
        if sound?.sequence != number + 1 { faults.append("sound \(number)") }
        count(now)
    }

    private mutating func pass(_ sequence: UInt16, _ ns: UInt64, _ now: UInt64, isRepair: Bool) {
        let own = timestamp(ns, rate: 90_000)
        let sent = video.pass(sequence: sequence, timestamp: own, now: now, isRepair: isRepair)
        if sent?.sequence != ns / Self.second + 32_767 || sent?.timestamp != own &+ 7 { faults.append("picture at \(ns)") }
        count(now)
    }

    private mutating func count(_ now: UInt64) {
        feedback.record(UInt16(truncatingIfNeeded: numbered), arrivalNs: now)
        numbered += 1
    }

    /// A sender report of each track, both placed by the offset of the first one.
    private mutating func report(_ ns: UInt64) {
        let ntp = Self.ntpNs &+ publisher(ns)
        let now = Self.startNs + ns
        let offset = self.offset ?? now &- ntp
        self.offset = offset
        let verdicts =
            (
                video.fanout.clock.report(
                    timestamp: timestamp(ns, rate: 90_000), ntpNs: ntp, wallNs: ntp &+ offset, arrivalNs: now, clockRate: 90_000,
                    mayJump: false),
                audio.fanout.clock.report(
                    timestamp: timestamp(ns, rate: 48_000), ntpNs: ntp, wallNs: ntp &+ offset, arrivalNs: now, clockRate: 48_000,
                    mayJump: false)
            )
        if verdicts != (.taken, .taken) { faults.append("report at \(ns)") }
        video.incoming.recordSenderReport(ntp: NTP.fixed(ns: ntp), arrivalNs: now)
    }

    private mutating func tell(_ now: UInt64) {
        var writer = RTCPWriter(scratch)
        while feedback.pending > 0 {
            guard feedback.write(to: &writer, sender: 1, media: 2, now: now) else { break }
        }
        var reader = RTCPReader()
        let bytes = writer.bytes.bindMemory(to: UInt8.self).span
        while let part = reader.next(in: bytes) {
            let items = ((part.bodyOffset + 8)..<(part.bodyOffset + part.bodyCount)).map { bytes[$0] }
            guard let message = TransportFeedbackDecoder(items), message.lost.isEmpty,
                message.base == UInt16(truncatingIfNeeded: reported)
            else {
                faults.append("feedback \(reported)")
                return
            }
            reported += message.arrivals.count
        }
    }

    private mutating func check(_ number: UInt64, _ ns: UInt64) {
        let block = video.incoming.reportBlock(now: Self.startNs + ns + 1_000_000_000)
        if block.highestSequence != UInt32(truncatingIfNeeded: 65_500 + number) { faults.append("highest at \(number)") }
        if Int64(block.cumulativeLost) != lostCount { faults.append("lost at \(number)") }
        if block.delaySinceLastReport != 65_536 { faults.append("delay at \(number)") }
        let picture = video.fanout.clock.wall(of: timestamp(ns, rate: 90_000), clockRate: 90_000)
        let sound = audio.fanout.clock.wall(of: timestamp(ns, rate: 48_000), clockRate: 48_000)
        if max(picture, sound) - min(picture, sound) > 1_000_000 { faults.append("lips at \(number)") }
    }
}
