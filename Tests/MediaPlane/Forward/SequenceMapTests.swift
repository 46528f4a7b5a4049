import Testing

@testable import MediaPlane

@Suite("A viewer's numbering: never a number twice (RFC 3550 §5.1, RFC 7714 §8.1)")
struct SequenceMapTests {
    @Test("over loss, reordering, pauses and switches numbers are unique and reversible", arguments: sequenceStarts, 0..<30)
    func unique(start: Int, seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed * 7 + start))
        let initial = UInt16(start & 0x7FFF)
        var map = SequenceMap(initial: initial)
        var position: UInt64 = UInt64.random(in: 1...100_000, using: &random)
        var owner: [UInt64: UInt64] = [:]
        var held: [UInt64] = []
        var highest: UInt64?
        var newest: UInt64?
        for _ in 0..<1500 {
            switch Int.random(in: 0..<100, using: &random) {
            case 0:
                map.end()
            case 1, 2:
                // A switch: everything from a position ahead, or (refused) from one already passed.
                let first = position + UInt64.random(in: 0...50, using: &random)
                let isStarted = map.begin(at: first)
                if let last = newest { #expect(isStarted == (first > last)) }
                if isStarted {
                    position = first
                }
            case 3...10: held.append(position)
            default:
                for index in [position] + (Int.random(in: 0..<5, using: &random) == 0 ? held : []) {
                    guard let sequence = map.sequence(sending: index) else { continue }
                    if let known = owner[sequence] { #expect(known == index, "\(sequence) for \(known) and \(index)") }
                    owner[sequence] = index
                    newest = max(newest ?? 0, index)
                    if let top = highest { highest = max(top, sequence) } else { highest = sequence }
                    #expect(map.index(of: sequence) == index)
                    if let top = highest, top - sequence < 30_000 {
                        #expect(map.extend(UInt16(truncatingIfNeeded: sequence)) == sequence)
                    }
                }
                if Int.random(in: 0..<10, using: &random) == 0 { held = [] }
            }
            position += 1
        }
        let inOrder = owner.sorted { $0.key < $1.key }.map(\.value)
        #expect(inOrder == inOrder.sorted(), "numbers follow positions")
        if let first = owner.keys.min(), !owner.isEmpty { #expect(first >= UInt64(initial)) }
    }

    @Test("switching to and fro between layers no number means two packets, and each is found in its layer", arguments: 0..<20)
    func layers(seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        var map = SequenceMap(initial: UInt16.random(in: 0...32767, using: &random))
        var positions = (0..<3).map { _ in UInt64.random(in: 1...100_000, using: &random) }
        var owner: [UInt64: (track: Int, index: UInt64)] = [:]
        var held: [(track: Int, index: UInt64)] = []
        var faults: [String] = []
        var current = 0
        func send(_ track: Int, _ index: UInt64) {
            guard let sequence = map.sequence(sending: index) else { return }
            if let known = owner[sequence], known != (track, index) { faults.append("\(sequence) is \(known)") }
            owner[sequence] = (track, index)
        }
        _ = map.begin(at: positions[0])
        for _ in 0..<1000 {
            for track in positions.indices {
                if Int.random(in: 0..<100, using: &random) < 10 {
                    held.append((track, positions[track]))
                } else if track == current {
                    send(track, positions[track])
                }
                positions[track] += 1
            }
            if Int.random(in: 0..<10, using: &random) == 0 {
                for late in held.shuffled(using: &random) where late.track == current { send(late.track, late.index) }
                held = []
            }
            if Int.random(in: 0..<30, using: &random) == 0 {
                let next = Int.random(in: 0..<3, using: &random)
                let first = positions[next] - UInt64.random(in: 0...2, using: &random)
                if map.begin(at: first, shift: LayerShift(track: UInt8(next), timestamp: UInt32(next))) { current = next }
            }
        }
        for (number, sent) in owner where map.index(of: number) != nil {
            if map.index(of: number) != sent.index || Int(map.shift(of: number).track) != sent.track {
                faults.append("\(number)")
            }
        }
        #expect(faults.isEmpty)
        #expect(owner.count > 500)
    }

    @Test("what is shown again has new numbers, and the old ones still mean what they meant")
    func again() {
        var map = SequenceMap(initial: 100)
        #expect(map.begin(at: 1) == true)
        let first = (1...50).map { map.sequence(sending: $0) }
        let isBack = map.begin(at: 20)
        let isAgain = map.begin(at: 20, shift: LayerShift(take: 1, timestamp: 7))
        #expect(!isBack && isAgain)
        let second = (20...60).map { map.sequence(sending: $0) }
        #expect(first == (100..<150).map { $0 } && second == (150..<191).map { $0 })
        #expect(map.index(of: 125) == 26 && map.shift(of: 125).timestamp == 0)
        #expect(map.index(of: 156) == 26 && map.shift(of: 156).timestamp == 7)
        let before = map.sequence(sending: 19)
        #expect(before == nil, "what was not shown again has no place among what was")
    }

    @Test("numbers follow positions over the 16-bit wrap", arguments: sequenceStarts)
    func wraps(start: Int) {
        var map = SequenceMap(initial: UInt16(start & 0x7FFF))
        #expect(map.begin(at: 1) == true)
        for index in 1...70_000 {
            guard let sequence = map.sequence(sending: UInt64(index)) else {
                Issue.record("no number for \(index)")
                return
            }
            if sequence != UInt64(start & 0x7FFF) + UInt64(index) - 1 {
                Issue.record("\(sequence)")
                return
            }
        }
        #expect(map.extend(UInt16(truncatingIfNeeded: map.highest)) == map.highest)
        #expect(map.extend(UInt16(truncatingIfNeeded: map.highest + 1)) == map.highest - 65535)
    }

    @Test("what was never sent has no position")
    func unknown() {
        var map = SequenceMap(initial: 100)
        #expect(map.extend(100) == nil)
        #expect(map.sequence(sending: 5) == nil)
        #expect(map.begin(at: 10) == true)
        #expect(map.sequence(sending: 9) == nil)
        #expect(map.sequence(sending: 10) == 100)
        #expect(map.index(of: 101) == nil)
        #expect(map.index(of: 99) == nil)
        map.end()
        #expect(map.sequence(sending: 11) == nil)
        #expect(map.begin(at: 20) == true)
        #expect(map.sequence(sending: 20) == 101)
        #expect(map.sequence(sending: 12) == nil)
        #expect(map.begin(at: 20) == false)
    }
}

@Suite("Resend limits (RFC 4585 §6.2)")
struct ResendLimiterTests {
    @Test("a track of which nothing is asked again takes two kilobytes at most, as most of many thousands do")
    func small() {
        #expect(MemoryLayout<OutgoingTrack>.size <= 2048)
    }

    @Test("once in a round trip, ten times at most, within the byte budget")
    func limits() {
        var limiter = ResendLimiter()
        var now: UInt64 = 1_000_000_000
        #expect(limiter.take(5, bytes: 1000, now: now, rttNs: 0) == true)
        #expect(limiter.take(5, bytes: 1000, now: now + 39_000_000, rttNs: 0) == false)
        #expect(limiter.take(5, bytes: 1000, now: now + 60_000_000, rttNs: 100_000_000) == false)
        for _ in 0..<9 {
            now += 40_000_000
            #expect(limiter.take(5, bytes: 1000, now: now, rttNs: 0) == true)
        }
        #expect(limiter.take(5, bytes: 1000, now: now + 1_000_000_000, rttNs: 0) == false)
        var spent = 0
        for sequence in 1000..<3000 where limiter.take(UInt64(sequence), bytes: 1000, now: now, rttNs: 0) { spent += 1 }
        #expect(spent == ResendLimiter.burstBytes / 1000 - 10)
        limiter.earn(2000)
        #expect(limiter.take(4000, bytes: 1000, now: now, rttNs: 0) == true)
    }

    @Test("numbers that share a place in the table don't make each other forgotten", arguments: [32, 64, 128, 1024])
    func neighbours(apart: UInt64) {
        var limiter = ResendLimiter()
        var taken: [Bool] = []
        for (step, sequence) in [5, 5 + apart, 5 + 2 * apart, 5 + 3 * apart, 5, 5 + apart].enumerated() {
            taken.append(limiter.take(sequence, bytes: 1000, now: 1_000_000_000 + UInt64(step), rttNs: 0))
        }
        #expect(taken == [true, true, true, true, false, false])
    }
}

@Suite("A track's timeline over sources")
struct FanoutTrackTests {
    @Test("a group begins at the parameter sets of its keyframe's picture, however late; those of other pictures begin nothing")
    func sets() {
        var track = FanoutTrack(kind: .video, codec: .h264, clockRate: 90_000)
        let payload: [UInt8] = [0x65, 1, 2]
        func packet(_ sequence: UInt64, _ timestamp: UInt32, _ flags: PacketFlags) -> IncomingPacket {
            IncomingPacket(
                sequence: sequence, timestamp: timestamp, arrivalNs: 1, flags: flags, extensions: ForwardedExtensions())
        }
        var begins: [UInt64] = []
        for arrived in [
            packet(10, 100, .parameterSets), packet(11, 100, []), packet(12, 200, .parameterSets),
            packet(13, 200, .keyframeStart), packet(16, 300, .keyframeStart), packet(15, 300, .parameterSets),
            packet(17, 400, .parameterSets),
        ] {
            _ = payload.withUnsafeBytes { track.store(arrived, payload: $0, wallNs: 0) }
            begins.append(track.keyframeIndex)
        }
        // The first packet is at position 1.
        #expect(begins == [0, 0, 0, 3, 7, 6, 6])
        let leadIn = track.leadIn(to: packet(18, 400, .keyframeStart))
        let none = track.leadIn(to: packet(18, 500, .keyframeStart))
        #expect(leadIn == 8..<9 && none == nil)
    }

    private func store(_ track: inout FanoutTrack, _ sequence: UInt64, _ timestamp: UInt32, at ms: UInt64, key: Bool = false)
        -> Bool
    {
        let packet = IncomingPacket(
            sequence: sequence, timestamp: timestamp, arrivalNs: ms * 1_000_000, flags: key ? .keyframeStart : [],
            extensions: ForwardedExtensions())
        if track.isPendingFull { track.clearPending() }
        let payload: [UInt8] = [1, 2, 3]
        guard case .stored = payload.withUnsafeBytes({ track.store(packet, payload: $0, wallNs: ms * 1_000_000) }) else {
            return false
        }
        return true
    }

    @Test("positions and timestamps go on by the time that passed", arguments: [0, 1, 0xFFFF_FFFF, 0x8000_0000] as [UInt32])
    func switches(start: UInt32) throws {
        var track = FanoutTrack(kind: .video, codec: .h264, clockRate: 90000)
        var results = [store(&track, 70_000, start, at: 1000, key: true), store(&track, 70_001, start &+ 3000, at: 1033)]
        let keyframe = track.keyframeIndex
        let before = track.lastTimestamp
        track.beginSource(codec: .h264, clockRate: 90000)
        let afterSwitch = track.keyframeIndex
        results.append(store(&track, 65_600, start &- 77, at: 3033, key: true))
        let jump = track.lastTimestamp &- before
        let highest = track.ring.highest
        results.append(store(&track, 65_599, start &- 80, at: 3034))
        #expect(results == [true, true, true, false], "late ones of before the switch have no place")
        #expect(keyframe == 1 && afterSwitch == 0)
        #expect(jump == 180_000)
        #expect(highest == 3)
    }

    @Test(
        "a source that makes no keyframes on request: the whole group of pictures is kept, as far as memory goes",
        arguments: [true, false])
    func keepsGroup(isDeaf: Bool) {
        var track = FanoutTrack(kind: .video, codec: .h264, clockRate: 90000)
        track.keepsGroup = isDeaf
        var found: [Int: Bool] = [:]
        for index in 0..<10_000 {
            _ = store(&track, UInt64(70_000 + index), UInt32(index), at: UInt64(index), key: index == 100)
            if [1500, 2500, 7500, 9999].contains(index) { found[index] = track.cachedKeyframe(packetsMax: 8000) == 101 }
        }
        #expect(found == [1500: true, 2500: isDeaf, 7500: isDeaf, 9999: false])
        let capacity = track.ring.capacity
        #expect(capacity == (isDeaf ? MediaLimits.videoRingSlotsMax : MediaLimits.videoRingSlots))
    }

    @Test("a keyframe's first packet counts even when it comes second")
    func reorderedKeyframe() {
        var track = FanoutTrack(kind: .video, codec: .h264, clockRate: 90000)
        _ = store(&track, 100, 1, at: 1)
        _ = store(&track, 103, 2, at: 2, key: true)
        _ = store(&track, 102, 2, at: 2, key: true)
        let index = track.keyframeIndex
        #expect(index == 3)
        let cached = (track.cachedKeyframe(packetsMax: 10), track.cachedKeyframe(packetsMax: 1))
        #expect(cached.0 == 3 && cached.1 == nil)
    }
}
