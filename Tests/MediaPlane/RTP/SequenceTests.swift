import Testing

@testable import MediaPlane

/// Where wraps happen; every numbering test starts at each of these.
let sequenceStarts = [0, 1, 32767, 32768, 65534, 65535]

@Suite("Sequence numbers: unwrapping, duplicates, padding (RFC 3550 A.1)")
struct SequenceTests {
    @Test("numbers never wrap, whatever is lost or reordered", arguments: sequenceStarts, 0..<4)
    func unwraps(start: Int, seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        var unwrapper = SequenceUnwrapper()
        let first = unwrapper.unwrap(UInt16(start))
        #expect(first == 1 << 16 | UInt64(start))
        for step in 1..<70_000 {
            let jitter = Int.random(in: -100...100, using: &random)
            let index = max(0, step + jitter)
            let number = unwrapper.unwrap(UInt16(truncatingIfNeeded: start + index))
            if number != first + UInt64(index) {
                Issue.record("\(number) at step \(step)")
                return
            }
        }
    }

    @Test("packets from before the first one have numbers too", arguments: sequenceStarts)
    func unwrapsBackwards(start: Int) {
        var unwrapper = SequenceUnwrapper()
        let first = unwrapper.unwrap(UInt16(start))
        #expect(unwrapper.unwrap(UInt16(truncatingIfNeeded: start - 5)) == first - 5)
        #expect(unwrapper.highest == first)
    }

    @Test("the receive window is exact against a set", arguments: 0..<8)
    func window(seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        var window = ReceiveWindow()
        var seen: Set<UInt64> = []
        var highest: UInt64 = 100_000
        var newest: UInt64 = 0
        for step in 0..<5000 {
            if step % 997 == 996 { highest += 3000 }
            let sequence = highest &+ UInt64(Int.random(in: 0...3, using: &random)) &- UInt64.random(in: 0...40, using: &random)
            let isOld = newest > 0 && sequence + ReceiveWindow.size <= newest
            let outcome = window.insert(sequence)
            if isOld {
                #expect(outcome == .tooOld)
            } else {
                #expect(outcome == (seen.contains(sequence) ? .duplicate : .new))
            }
            seen.insert(sequence)
            newest = max(newest, sequence)
            highest = max(highest, sequence)
        }
    }

    @Test("padding closed and packets put in: no gap in order, numbers stay unique and keep their order", arguments: 0..<40)
    func padding(seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        var closer = PaddingCloser()
        var stream = (0..<3000).map { (sequence: UInt64(65536 + $0), isPadding: Int.random(in: 0..<5, using: &random) == 0) }
        if seed > 4 {
            // Reorder by up to three places, and lose some for good.
            for index in stream.indices.dropLast(3) where Int.random(in: 0..<6, using: &random) == 0 {
                stream.swapAt(index, index + Int.random(in: 1...3, using: &random))
            }
            stream.removeAll { _ in Int.random(in: 0..<40, using: &random) == 0 }
        }
        var given: [UInt64: UInt64] = [:]
        for packet in stream {
            let isPreceded =
                !packet.isPadding && Int.random(in: 0..<30, using: &random) == 0 && closer.insert(before: packet.sequence)
            let number = packet.isPadding ? closer.padding(packet.sequence) : closer.media(packet.sequence)
            guard let number else {
                #expect(packet.isPadding, "media is only dropped when far too old")
                continue
            }
            #expect(given.updateValue(packet.sequence, forKey: number) == nil, "number \(number) given twice")
            if isPreceded { #expect(given.updateValue(packet.sequence, forKey: number - 1) == nil) }
        }
        let inOrder = given.sorted { $0.key < $1.key }.map(\.value)
        #expect(inOrder == inOrder.sorted(), "numbers must keep the order of the source")
        if seed <= 4 {
            let numbers = given.keys.sorted()
            #expect(numbers == Array((numbers[0])...(numbers[numbers.count - 1])), "no gap without loss")
        }
    }
}

@Suite("Packet ring")
struct PacketRingTests {
    private func store(_ ring: inout PacketRing, _ index: UInt64) -> Bool {
        let payload = withUnsafeBytes(of: index) { Array($0) }
        return payload.withUnsafeBytes { ring.store(PacketSlot(index: index, timestamp: UInt32(index)), payload: $0) }
    }

    private func read(_ ring: borrowing PacketRing, _ index: UInt64) -> UInt64? {
        ring.slot(at: index).map { ring.payload(of: $0).loadUnaligned(as: UInt64.self) }
    }

    @Test("a larger copy holds the same packets, and refuses the same old ones", arguments: [10, 64, 200] as [UInt64])
    func copies(count: UInt64) {
        var ring = PacketRing(slots: 64)
        for index in 1...count where index % 7 != 3 { _ = store(&ring, index) }
        var copy = PacketRing(slots: 128, copying: ring)
        for index in 0...(count + 1) {
            let (original, copied) = (read(ring, index), read(copy, index))
            #expect(original == copied, "\(index)")
        }
        let isTaken = (store(&copy, count + 1), store(&copy, ring.highest))
        #expect(isTaken.0 && !isTaken.1)
    }

    @Test("holds the last packets, refuses what is there and what is too old", arguments: 0..<4)
    func model(seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        var ring = PacketRing(slots: 64)
        var model: [UInt64: Bool] = [:]
        var highest: UInt64 = 0
        for _ in 0..<1000 {
            let index = UInt64(max(1, Int(highest) + Int.random(in: -80...4, using: &random)))
            let isFresh = model[index] == nil && (highest == 0 || index + 64 > highest)
            let stored = store(&ring, index)
            #expect(stored == isFresh, "\(index) with \(highest)")
            if stored {
                model[index] = true
                highest = max(highest, index)
            }
            for probe in [index, highest, highest &- 10, highest &- 100] {
                let value = read(ring, probe)
                #expect(value == nil || value == probe)
            }
            #expect(read(ring, highest) == highest)
        }
    }

    @Test("payloads of every size stay whole as long as the ring reaches", arguments: 0..<4)
    func payloads(seed: UInt64) {
        var random = Mutator.Random(seed: seed)
        var ring = PacketRing(slots: 256)
        var counts: [UInt64: Int] = [:]
        var highest: UInt64 = 0
        // Alternately as large as they get and small, so that runs of both kinds follow each other.
        for step in 0..<20_000 {
            let index = UInt64(max(1, Int(highest) + Int.random(in: -20...3, using: &random)))
            let isBig = step / 1500 % 2 == 0
            let count = isBig ? MediaLimits.payloadBytesMax - Int(seed) : Int.random(in: 0...200, using: &random)
            let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: index &* 7), count: count)
            let isStored = bytes.withUnsafeBytes { ring.store(PacketSlot(index: index), payload: $0) }
            #expect(isStored == (counts[index] == nil && index + 256 > highest))
            if isStored { counts[index] = count }
            highest = max(highest, index)
            guard step % 97 == 0 else { continue }
            for probe in (highest > 256 ? highest - 255 : 1)...highest {
                let expected = counts[probe]
                let slot = ring.slot(at: probe)
                #expect((slot == nil) == (expected == nil))
                guard let slot else { continue }
                let payload = ring.payload(of: slot)
                let value = UInt8(truncatingIfNeeded: probe &* 7)
                if payload.count != expected || !payload.allSatisfy({ $0 == value }) { Issue.record("\(probe) of \(highest)") }
            }
        }
    }

    @Test("an empty ring and oversized payloads")
    func limits() {
        var ring = PacketRing(slots: 64)
        #expect(read(ring, 0) == nil)
        #expect(read(ring, 1) == nil)
        let big = [UInt8](repeating: 0, count: MediaLimits.payloadBytesMax + 1)
        let stored = big.withUnsafeBytes { ring.store(PacketSlot(index: 1), payload: $0) }
        #expect(!stored)
    }
}
