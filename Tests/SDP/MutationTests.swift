import Testing

@testable import SDP

/// Bytes from outside must never trap. A deterministic mutator works on the corpus; whatever is still accepted has to keep the
/// answer's invariants. A failure names the seed.
@Suite("SDP under mutation")
struct MutationTests {
    private static let iterations = 500

    @Test("descriptions, answers and fragments survive", arguments: 0..<8)
    func mutate(_ seed: Int) throws {
        var generator = SeededGenerator(state: UInt64(seed) &* 7919 &+ 1)
        let samples = (OfferCorpus.publishers + OfferCorpus.players).map { Array($0.text.utf8) }
        var accepted = 0
        for _ in 0..<Self.iterations {
            var bytes = samples[Int.random(in: 0..<samples.count, using: &generator)]
            for _ in 0..<Int.random(in: 1...4, using: &generator) { Self.change(&bytes, samples, &generator) }
            _ = try? SDPFragment(parsing: bytes)
            guard let description = try? SessionDescription(parsing: bytes) else { continue }
            #expect(try SessionDescription(parsing: description.serialized()) == description, "seed \(seed)")
            accepted += Self.answer(description, seed)
        }
        #expect(accepted > Self.iterations / 10)
    }

    @Test("a client survives any answer", arguments: 0..<4)
    func answers(_ seed: Int) throws {
        var generator = SeededGenerator(state: UInt64(seed) &* 104_729 &+ 3)
        let publish = PublishOffer(codecs: [.opus, .h264]) { 7 }
        let subscribe = SubscribeOffer(codecs: [.opus, .h264])
        let stream = [SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus)]
        let samples = [
            try PublishAnswer(offer: SessionDescription(parsing: publish.sdp(local: OfferCorpus.local))).sdp(
                local: OfferCorpus.local),
            try SubscribeAnswer(
                offer: SessionDescription(parsing: subscribe.sdp(local: OfferCorpus.local)), stream: stream, randomSSRC: { 9 }
            ).sdp(local: OfferCorpus.local),
        ].map { Array($0.utf8) }
        var accepted = 0
        for _ in 0..<Self.iterations {
            var bytes = samples[Int.random(in: 0..<samples.count, using: &generator)]
            for _ in 0..<Int.random(in: 1...3, using: &generator) { Self.change(&bytes, samples, &generator) }
            guard let answer = try? SessionDescription(parsing: bytes) else { continue }
            for session in [try? publish.accept(answer: answer), try? subscribe.accept(answer: answer)].compactMap({ $0 }) {
                accepted += 1
                #expect(
                    !session.tracks.isEmpty && session.remote.ice.isValid && !session.remote.fingerprints.isEmpty, "seed \(seed)")
            }
        }
        #expect(accepted > Self.iterations / 10)
    }

    @Test("prefixes of every offer is read or refused", arguments: OfferCorpus.publishers)
    func prefixes(_ sample: ClientOfferSample) {
        let bytes = Array(sample.text.utf8)
        for count in stride(from: 0, through: bytes.count, by: 5) {
            guard let description = try? SessionDescription(parsing: Array(bytes[..<count])) else { continue }
            _ = Self.answer(description, count)
        }
    }

    private static func answer(_ description: SessionDescription, _ seed: Int) -> Int {
        var count = 0
        if let answer = try? PublishAnswer(offer: description, supported: .all) {
            count = 1
            check(answer.sdp(local: OfferCorpus.local), answer.tracks, seed)
        }
        let stream = [SourceTrack(kind: .video, codec: .h264), SourceTrack(kind: .audio, codec: .opus)]
        if let answer = try? SubscribeAnswer(offer: description, stream: stream, randomSSRC: { 9 }) {
            count = 1
            check(answer.sdp(local: OfferCorpus.local), answer.tracks, seed)
        }
        return count
    }

    private static func check(_ text: String, _ tracks: [NegotiatedTrack], _ seed: Int) {
        let reread = try? SessionDescription(parsing: text)
        #expect(reread?.media.filter { $0.port == 9 }.count == tracks.count, "seed \(seed)")
        #expect(
            !tracks.isEmpty && tracks.allSatisfy { $0.payloadType < 128 && !(64...95).contains($0.payloadType) }, "seed \(seed)")
    }

    /// One change: a byte, a cut, a doubled or foreign line, a huge number, a swapped pair of lines.
    private static func change(_ bytes: inout [UInt8], _ samples: [[UInt8]], _ generator: inout SeededGenerator) {
        guard !bytes.isEmpty else { return }
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<7, using: &generator) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes[at] = UInt8.random(in: 0x20...0x7E, using: &generator)
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...20, using: &generator)))
        case 3: bytes.insert(contentsOf: Array("99999999999999999999".utf8), at: at)
        case 4: insertLine(of: bytes, into: &bytes, &generator)
        case 5: insertLine(of: samples[Int.random(in: 0..<samples.count, using: &generator)], into: &bytes, &generator)
        default: swapLines(&bytes, &generator)
        }
    }

    private static func insertLine(of source: [UInt8], into bytes: inout [UInt8], _ generator: inout SeededGenerator) {
        let lines = source.split(separator: 0x0A)
        guard let line = lines.randomElement(using: &generator) else { return }
        let ends = bytes.indices.filter { bytes[$0] == 0x0A }
        guard let end = ends.randomElement(using: &generator) else { return }
        bytes.insert(contentsOf: line + [0x0A], at: end + 1)
    }

    private static func swapLines(_ bytes: inout [UInt8], _ generator: inout SeededGenerator) {
        var lines = bytes.split(separator: 0x0A)
        guard lines.count > 1 else { return }
        let (left, right) = (
            Int.random(in: 0..<lines.count, using: &generator), Int.random(in: 0..<lines.count, using: &generator)
        )
        lines.swapAt(left, right)
        bytes = Array(lines.joined(separator: [0x0A])) + [0x0A]
    }
}
