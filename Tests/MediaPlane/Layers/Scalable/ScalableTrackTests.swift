import Testing

@testable import MediaPlane

@Suite("Layers within a source: what a viewer of a cell gets (AV1 RTP appendix A, RFC 9628)")
struct ScalableTrackTests {
    struct Case: CustomTestStringConvertible {
        let mode: ScalabilityMode
        let codec: CodecID
        var testDescription: String { "\(codec) \(mode.testDescription)" }

        static let all = ScalabilityMode.all.flatMap { [Case(mode: $0, codec: .av1), Case(mode: $0, codec: .vp9)] }
    }

    /// Frames of a cell among pictures of which the first is a keyframe.
    private func belongs(_ frame: ScalableFrame, to cell: UInt8, _ mode: ScalabilityMode) -> Bool {
        let (spatial, temporal) = (Int(cell) / 3, Int(cell) % 3)
        guard frame.spatial <= spatial, frame.temporal <= temporal else { return false }
        return frame.isKey || !mode.isKey || frame.spatial == spatial
    }

    /// Numbers without hole or repetition, one marker a picture and that at its end, and no frame without what it refers to.
    private func check(_ bed: CellBed, missing: Set<Int> = [], isLossless: Bool = true) {
        let ordered = bed.sent.sorted { $0.sequence < $1.sequence }
        for (before, next) in zip(ordered, ordered.dropFirst()) {
            #expect(next.sequence > before.sequence, "a number twice")
            if isLossless { #expect(next.sequence == before.sequence + 1, "a hole at \(next.position)") }
        }
        var packets: [Int: Int] = [:]
        for each in ordered where !each.isFiller { packets[each.frame, default: 0] += 1 }
        for (frame, count) in packets where !missing.contains(frame) {
            let encoded = bed.encoder.frames[frame]
            #expect(count == encoded.positions.count, "a part of frame \(frame)")
            for reference in encoded.references { #expect(packets[reference] != nil, "\(frame) without \(reference)") }
        }
        guard missing.isEmpty else { return }
        let media = ordered.filter { !$0.isFiller }
        for (packet, next) in zip(media, media.dropFirst()) {
            let isLast = bed.encoder.frames[packet.frame].picture != bed.encoder.frames[next.frame].picture
            #expect(packet.marker == isLast, "frame \(packet.frame) of picture \(bed.encoder.frames[packet.frame].picture)")
        }
    }

    @Test("each cell, from the first picture on: its frames, all of them and no others", arguments: Case.all)
    func cells(sample: Case) throws {
        for cell in sample.mode.cells {
            let bed = CellBed(sample.mode, sample.codec)
            bed.pictures(9, keyAt: 0)
            bed.viewer.wantedCell = cell
            bed.pictures(1, keyAt: 0)
            bed.forget()
            bed.pictures(12)
            let first = try #require(bed.sent.first).frame
            let expected = bed.encoder.frames.filter { $0.number >= first && belongs($0, to: cell, sample.mode) }.map(\.number)
            #expect(Set(bed.sent.map(\.frame)) == Set(expected), "\(LayerGrid.name(Int(cell)))")
            #expect(bed.viewer.cell == cell)
        }
    }

    @Test("what can be chosen, with its size", arguments: Case.all)
    func offers(sample: Case) throws {
        let bed = CellBed(sample.mode, sample.codec)
        bed.pictures(8, keyAt: 0)
        let scalable = try #require(bed.scalable)
        #expect(bed.cells == sample.mode.cells.reduce(0) { $0 | LayerGrid.bit(Int($1)) })
        #expect(bed.offersCells && bed.top == sample.mode.cells.last)
        scalable.pointee.update(bed.track, of: 0, count: 1, now: 6_000_000_000)
        bed.pictures(8)
        scalable.pointee.update(bed.track, of: 0, count: 1, now: 6_250_000_000)
        let layers = scalable.pointee.board.snapshots
        #expect(layers.map(\.rid).sorted() == sample.mode.cells.map { LayerGrid.name(Int($0)) }.sorted())
        #expect(layers.allSatisfy { $0.isActive && $0.bitrate > 0 && $0.width > 0 })
        #expect(layers.last?.rid == LayerGrid.name(Int(sample.mode.cells.last ?? 0)), "everything is the most")
        var follower = LayerFollower()
        let board = scalable.pointee.board
        #expect(follower.target(on: board, current: nil, now: 1) == sample.mode.cells.last.map { Int($0) })
        follower.bitsPerSecondMax = 1
        #expect(follower.target(on: board, current: Int(sample.mode.cells.last ?? 0), now: 2) == 0, "down at once")
        let single = CellBed(ScalabilityMode(spatial: 1, temporal: 1), sample.codec)
        single.pictures(4, keyAt: 0)
        #expect(single.scalable == nil && single.sent.count == single.encoder.frames.reduce(0) { $0 + $1.positions.count })
    }

    @Test("up at what the source allows, down at the next picture; every frame can be decoded", arguments: Case.all)
    func switches(sample: Case) {
        let bed = CellBed(sample.mode, sample.codec)
        var random = SeededGenerator(seed: 11)
        bed.pictures(5, keyAt: 0)
        for _ in 0..<150 {
            bed.viewer.wantedCell = sample.mode.cells.randomElement(using: &random) ?? 0
            bed.pictures(Int.random(in: 1...6, using: &random), keyAt: Int.random(in: 0..<12, using: &random))
        }
        check(bed)
    }

    @Test("without a keyframe: a higher frame rate within four pictures, a larger picture not at all", arguments: Case.all)
    func climbs(sample: Case) {
        let bed = CellBed(sample.mode, sample.codec)
        bed.viewer.wantedCell = 0
        bed.pictures(9, keyAt: 0)
        if sample.mode.isKey { bed.pictures(1, keyAt: 0) }
        #expect(bed.viewer.cell == 0)
        let faster = UInt8(sample.mode.temporal - 1)
        bed.viewer.wantedCell = faster
        bed.pictures(5)
        #expect(bed.viewer.cell == faster)
        check(bed)
        guard sample.mode.spatial > 1 else { return }
        #expect(bed.needsKeyframe(from: faster, to: faster + 3) == true)
        #expect(sample.mode.temporal == 1 || bed.needsKeyframe(from: 0, to: faster) == false)
        bed.viewer.wantedCell = faster + 3
        bed.pictures(12)
        #expect(bed.viewer.cell == faster)
        bed.pictures(1, keyAt: 0)
        #expect(bed.viewer.cell == faster + 3)
        // Down again: where lower layers were left out, only a keyframe brings them back.
        bed.viewer.wantedCell = faster
        bed.pictures(1)
        #expect(bed.viewer.cell == (sample.mode.isKey ? faster + 3 : faster))
        #expect(bed.needsKeyframe(from: faster + 3, to: faster) == sample.mode.isKey)
        bed.pictures(1, keyAt: 0)
        #expect(bed.viewer.cell == faster)
        check(bed)
    }

    @Test("what comes late or out of order keeps its place; the place of what is left out is filled", arguments: Case.all)
    func late(sample: Case) {
        let bed = CellBed(sample.mode, sample.codec)
        var random = SeededGenerator(seed: 5)
        var held: [ScalablePacket] = []
        bed.pictures(5, keyAt: 0)
        for round in 0..<60 {
            bed.viewer.wantedCell = sample.mode.cells.randomElement(using: &random) ?? 0
            bed.pictures(4, keyAt: round % 3 == 0 ? 0 : nil) { packets in
                let (late, now) = (held, packets)
                held = []
                let kept = now.filter { packet in
                    guard !packet.incoming.flags.contains(.keyframeStart), Int.random(in: 0..<6, using: &random) == 0 else {
                        return true
                    }
                    held.append(packet)
                    return false
                }
                return kept.prefix(1) + late + kept.dropFirst()
            }
        }
        for packet in held { bed.pass(packet) }
        check(bed, missing: Set(bed.encoder.frames.map(\.number)), isLossless: false)
        // All that is missing are numbers kept for what came too late for its stretch.
        let numbers = Set(bed.sent.map(\.sequence))
        #expect(numbers.count == bed.sent.count)
        if sample.mode.spatial * sample.mode.temporal > 2 { #expect(bed.sent.contains { $0.isFiller }) }
    }

    @Test("a number leads back to its packet", arguments: Case.all)
    func back(sample: Case) {
        let bed = CellBed(sample.mode, sample.codec)
        bed.pictures(5, keyAt: 0)
        for cell in sample.mode.cells.reversed() {
            bed.viewer.wantedCell = cell
            bed.pictures(9, keyAt: 1)
        }
        for each in bed.sent {
            guard let number = bed.viewer.map.index(of: each.sequence) else { continue }
            let cell = bed.viewer.map.shift(of: each.sequence).cell
            #expect(bed.position(of: number, in: cell) == each.position)
        }
        #expect(bed.position(of: 1 << 40, in: 0) == 0)
    }

    @Test("a layer comes however long its pictures are apart; it is gone when the encoder leaves it out", arguments: Case.all)
    func silence(sample: Case) {
        let bed = CellBed(sample.mode, sample.codec)
        let all = sample.mode.cells.map { LayerGrid.name(Int($0)) }
        bed.encoder.intervalNs = 2_000_000_000
        bed.pictures(9, keyAt: 0)
        for _ in 0..<4 {
            bed.pictures(1)
            #expect(bed.active() == all)
        }
        bed.encoder.intervalNs = 33_000_000
        bed.pictures(120) {
            $0.filter { bed.encoder.frames[$0.frame].temporal == 0 && bed.encoder.frames[$0.frame].spatial == 0 }
        }
        #expect(bed.active() == ["S0T0"])
    }

    @Test("places outlive the ring's growth")
    func growth() throws {
        let bed = CellBed(.l1t3, .vp9)
        bed.viewer.wantedCell = 0
        bed.pictures(20, keyAt: 0)
        let scalable = try #require(bed.scalable)
        let numbers = bed.numbers(in: 0)
        scalable.pointee.grow(to: 8192)
        #expect(bed.numbers(in: 0) == numbers && numbers.count == 5)
    }
}

@Suite("Dependency descriptors as they come (AV1 RTP appendix A.8)")
struct DescriptorReaderTests {
    private static func read(_ bytes: [UInt8], _ structure: inout DependencyStructure) -> FrameDependencies? {
        bytes.withUnsafeBytes { FrameDependencies($0, &structure) }
    }

    /// L1T2, written out bit by bit.
    private static let structure: [UInt8] = [
        // First packet of frame 0x1234, template 0; a structure follows.
        0x80, 0x12, 0x34, 0x80,
        // Ids from 0, two decode targets; layers T0, T0, T1; indications SS, SS, -D; referring to none, 2 back, 1 back.
        0x01, 0x1E, 0xA8, 0x51, 0x41, 0x01,
        // One chain; 640 by 360.
        0x0C, 0x09, 0xFC, 0x05, 0x9C,
    ]

    @Test("a structure, a frame of it, and frames that say their own")
    func vectors() throws {
        var structure = DependencyStructure()
        let key = try #require(Self.read(Self.structure, &structure))
        #expect(key.startsFrame && !key.endsFrame && key.number == 0x1234)
        #expect(key.frame.targets == 0b11 && key.frame.switches == 0b11 && key.frame.references == 0)
        #expect(structure.targetCount == 2 && structure.templateCount == 3 && structure.activeTargets == 0b11)
        #expect(structure.sizes[0] == PictureSize(width: 640, height: 360))
        #expect(structure.layers(ofTarget: 0) == (0, 0) && structure.layers(ofTarget: 1) == (0, 1))
        #expect(structure.contains(1, 0) && !structure.contains(0, 1))
        let upper = try #require(Self.read([0xC2, 0x12, 0x35], &structure))
        #expect(upper.startsFrame && upper.endsFrame && upper.frame.targets == 0b10 && upper.frame.switches == 0)
        #expect(upper.frame.references == 0b1)
        // Flags 01110: active targets 01, indications SD, references 3, 20 and 400 back.
        var writer = DescriptorWriter()
        for (width, value) in [
            (8, 0x42), (16, 0x1236), (5, 0b01110), (2, 0b01), (2, 2), (2, 1), (2, 1), (4, 2), (2, 2), (8, 19), (2, 3), (12, 399),
            (2, 0),
        ] { writer.bits(width, value) }
        let own = try #require(Self.read(writer.bytes, &structure))
        #expect(!own.startsFrame && own.endsFrame && own.frame.targets == 0b11 && own.frame.switches == 0b01)
        #expect(own.frame.references == 1 << 2 | 1 << 19 && own.refersFar && structure.activeTargets == 0b01)
        #expect(Self.read([0xC3, 0, 0], &structure) == nil, "a template of another structure")
    }

    @Test("cut anywhere it is nothing, and what was known stays")
    func cut() {
        for count in 0..<Self.structure.count {
            var structure = DependencyStructure()
            let isRead = Self.read(Array(Self.structure.prefix(count)), &structure) != nil
            #expect(!isRead && !structure.isKnown, "\(count)")
        }
    }

    @Test("under damage nothing traps, and a viewer's numbers stay in order", arguments: [CodecID.av1, .vp9])
    func damage(codec: CodecID) {
        var random = SeededGenerator(seed: 77)
        let bed = CellBed(.l3t3, codec)
        for _ in 0..<400 {
            bed.viewer.wantedCell = UInt8.random(in: 0..<9, using: &random)
            bed.pictures(1, keyAt: Int.random(in: 0..<4, using: &random)) { packets in
                packets.map { packet in
                    var (payload, descriptor) = (packet.payload, packet.descriptor)
                    for _ in 0..<Int.random(in: 0...3, using: &random) {
                        if let place = descriptor.indices.randomElement(using: &random) {
                            descriptor[place] = .random(in: 0...255, using: &random)
                        }
                        if codec == .vp9, let place = payload.indices.randomElement(using: &random) {
                            payload[place] = .random(in: 0...255, using: &random)
                        }
                    }
                    if Bool.random(using: &random) {
                        descriptor = Array(descriptor.prefix(.random(in: 0...descriptor.count, using: &random)))
                    }
                    return ScalablePacket(
                        incoming: packet.incoming, payload: payload, descriptor: descriptor, frame: packet.frame)
                }
            }
        }
        for (before, next) in zip(bed.sent, bed.sent.dropFirst()) { #expect(next.sequence == before.sequence + 1) }
        #expect(bed.sent.count > 100)
    }
}
