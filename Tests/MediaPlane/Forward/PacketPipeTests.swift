import Foundation
import TestThreads
import Testing

@testable import MediaPlane

@Suite("Pipe between two threads", .offThePool)
struct PacketPipeTests {
    private func push(_ pipe: PacketPipe, _ sequence: UInt64, bytes: Int = 8) {
        let payload = (0..<bytes).map { UInt8(truncatingIfNeeded: Int(sequence) + $0) }
        _ = payload.withUnsafeBytes { pipe.push(PipeEntry(sequence: sequence), payload: $0) }
    }

    @Test("what goes in comes out, in order, once published")
    func order() throws {
        let pipe = PacketPipe(slots: 64, wake: try WakeDescriptor())
        #expect(pipe.front() == nil)
        for sequence in 0..<20 { push(pipe, UInt64(sequence)) }
        #expect(pipe.front() == nil, "nothing is seen before the batch ends")
        pipe.publish()
        for sequence in 0..<20 {
            let entry = try #require(pipe.front())
            #expect(entry.pointee.sequence == UInt64(sequence))
            #expect(entry.pointee.payloadCount == 8)
            #expect(pipe.payload(of: entry).load(as: UInt8.self) == UInt8(sequence))
            pipe.pop()
        }
        #expect(pipe.front() == nil)
    }

    @Test("a consumer that keeps up never loses a packet, however long it lasts", arguments: [1, 3, 40])
    func endurance(batch: UInt64) throws {
        let pipe = PacketPipe(slots: 64, wake: try WakeDescriptor())
        for sequence in 0..<1000 as Range<UInt64> {
            push(pipe, sequence)
            guard sequence % batch == batch - 1 else { continue }
            pipe.publish()
            while pipe.front() != nil { pipe.pop() }
        }
        #expect(pipe.droppedTotal == 0)
    }

    @Test(
        "payloads stay whole whatever the consumer leaves waiting, and one that keeps up needs little memory", arguments: 0..<20)
    func payloads(seed: UInt64) throws {
        var random = Mutator.Random(seed: seed)
        let waitingMax = seed < 10 ? UInt64(30) : 1000
        let pipe = PacketPipe(slots: 1024, wake: try WakeDescriptor())
        var (pushed, popped) = (UInt64(0), UInt64(0))
        var highest: UInt32 = 0
        for _ in 0..<2000 {
            let room = waitingMax - (pushed - popped)
            for _ in 0..<UInt64.random(in: 0...min(room, 100), using: &random) {
                push(pipe, pushed, bytes: 16)
                pushed += 1
            }
            pipe.publish()
            for _ in 0..<UInt64.random(in: 0...min(pushed - popped, 110), using: &random) {
                let entry = try #require(pipe.front())
                highest = max(highest, entry.pointee.payloadSlot)
                let payload = UnsafeRawBufferPointer(start: pipe.payload(of: entry), count: Int(entry.pointee.payloadCount))
                #expect(entry.pointee.sequence == popped && payload.count == 16)
                #expect(payload.indices.allSatisfy { payload[$0] == UInt8(truncatingIfNeeded: Int(popped) + $0) })
                pipe.pop()
                popped += 1
            }
        }
        #expect(pipe.droppedTotal == 0 && pushed > 5000)
        #expect(waitingMax > 30 || highest < 128)
    }

    @Test("a full pipe drops, tells how many, and still takes source changes", arguments: [64, 128])
    func overflow(slots: Int) throws {
        let pipe = PacketPipe(slots: slots, wake: try WakeDescriptor())
        pipe.pushSource(epoch: 1, tracks: [], restarted: .max)
        for sequence in 0..<1000 { push(pipe, UInt64(sequence)) }
        pipe.pushSourceEnded(epoch: 1)
        pipe.pushSource(
            epoch: 2, tracks: [TapTrack(index: 0, kind: .audio, codec: .opus, clockRate: 48000, fmtp: "", channels: 2)],
            restarted: .max)
        for extra in 0..<40 { pipe.pushSource(epoch: UInt32(3 + extra), tracks: [], restarted: .max) }
        pipe.publish()
        var kinds: [PipeKind] = []
        var packets: UInt64 = 0
        var lost: UInt64 = 0
        var epochs: [UInt32] = []
        while true {
            while let entry = pipe.front() {
                kinds.append(entry.pointee.kind)
                if entry.pointee.kind == .packet { packets += 1 }
                if entry.pointee.kind == .gap { lost += entry.pointee.sequence }
                if entry.pointee.kind == .source { epochs.append(entry.pointee.epoch) }
                if entry.pointee.epoch == 2 { #expect(pipe.tracks(of: 2).count == 1) }
                pipe.pop()
            }
            pipe.publish()
            if pipe.front() == nil { break }
        }
        #expect(packets + lost == 1000)
        #expect(packets == UInt64(slots - MediaLimits.pipeControlReserve - 2))
        #expect(pipe.droppedTotal == lost)
        #expect(epochs == (1...42).map { UInt32($0) }, "no source change may get lost")
        #expect(kinds.first == .source)
    }

    @Test("two threads: every packet arrives whole and in order, or is counted as lost")
    func threads() throws {
        let pipe = PacketPipe(slots: 256, wake: try WakeDescriptor())
        let total: UInt64 = 30_000
        let producer = Thread {
            for sequence in 0..<total {
                let count = Int(sequence % 1400)
                let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: sequence), count: count)
                _ = payload.withUnsafeBytes { pipe.push(PipeEntry(sequence: sequence), payload: $0) }
                if sequence % 7 == 0 { pipe.publish() }
            }
            pipe.pushSourceEnded(epoch: 9)
            pipe.publish()
        }
        producer.start()
        var next: UInt64 = 0
        var isOver = false
        var faults = 0
        while !isOver {
            var descriptor = pollfd(fd: pipe.wake.descriptor, events: Int16(POLLIN), revents: 0)
            poll(&descriptor, 1, 100)
            pipe.wake.clear()
            while let entry = pipe.front() {
                switch entry.pointee.kind {
                case .packet:
                    if entry.pointee.sequence != next { faults += 1 }
                    let payload = UnsafeRawBufferPointer(start: pipe.payload(of: entry), count: Int(entry.pointee.payloadCount))
                    if payload.count != Int(next % 1400) || !payload.allSatisfy({ $0 == UInt8(truncatingIfNeeded: next) }) {
                        faults += 1
                    }
                    next += 1
                case .gap: next += entry.pointee.sequence
                case .sourceEnded: isOver = true
                default: faults += 1
                }
                pipe.pop()
            }
        }
        #expect(faults == 0)
        #expect(next <= total)
    }
}

@Suite("Reader of a stream", .offThePool, .serialized)
struct StreamTapTests {
    /// A tap event without its borrowed payload.
    enum Seen: Equatable {
        case source(UInt32, [CodecID])
        case packet(UInt8, UInt64, UInt32, Bool, [UInt8])
        case report(UInt8, UInt64, UInt32)
        case gap(Int)
        case ended(UInt32)
    }

    static func drain(_ tap: StreamTap, into seen: inout [Seen]) {
        var found: [Seen] = []
        tap.drain { event in
            switch event {
            case .source(let epoch, let tracks): found.append(.source(epoch, tracks.map(\.codec)))
            case .packet(let track, let sequence, let timestamp, _, let marker, let payload):
                found.append(.packet(track, sequence, timestamp, marker, Array(payload)))
            case .senderReport(let track, let ntp, let timestamp, _): found.append(.report(track, ntp, timestamp))
            case .gap(let lost): found.append(.gap(lost))
            case .sourceEnded(let epoch): found.append(.ended(epoch))
            }
        }
        seen += found
    }

    @Test("sources, packets, reports and ends in order, over two publishers on two loops")
    func events() async throws {
        let bed = try LoopBed(loops: 2)
        let tap = try await bed.plane.tap(stream: LoopBed.stream)
        var seen: [Seen] = []
        func wait(_ peer: TestPeer, _ done: ([Seen]) -> Bool) -> Bool {
            peer.run { _ in
                Self.drain(tap, into: &seen)
                return done(seen)
            }
        }
        let (first, handle) = try await bed.publisher(loop: 0)
        #expect(first.run { $0.feedbackCount(.pictureLoss) > 0 }, "a reader makes us ask for a keyframe")
        var encoder = Encoder()
        encoder.frame(first, key: true, packets: 2)
        first.sendReports {
            $0.senderReport(SenderReport(ssrc: LoopBed.videoSSRC, ntp: 77 << 32, timestamp: 90_000, packets: 1, octets: 1))
        }
        #expect(wait(first) { $0.count == 4 })
        let epoch: UInt32 = if case .source(let epoch, _) = seen.first { epoch } else { 0 }
        let ntp: UInt64 = 77 << 32
        let expected: [Seen] = [
            .source(epoch, [.opus, .h264]), .packet(1, 66536, 90_000, false, encoder.sentPayloads[0]),
            .packet(1, 66537, 90_000, true, encoder.sentPayloads[1]), .report(1, ntp, 90_000),
        ]
        #expect(seen == expected)
        await bed.plane.remove(handle)
        let (second, _) = try await bed.publisher(loop: 1)
        var other = Encoder()
        other.audio(second)
        #expect(wait(second) { $0.count == 7 })
        #expect(seen[4] == .ended(epoch))
        if case .source(let next, _) = seen[5] { #expect(next > epoch) } else { Issue.record("\(seen[5])") }
        tap.close()
        other.audio(second)
        second.run(seconds: 0.05) { _ in false }
        let before = seen.count
        Self.drain(tap, into: &seen)
        #expect(seen.count <= before + 1)
        await bed.plane.shutdown()
    }
}
