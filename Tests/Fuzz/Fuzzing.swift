import CLinux
import Foundation
import MediaFixtures

/// Feeds one parser with damaged bytes: for a moment in every test run, and for `FUZZ_SECONDS` in a long one (`make fuzz`).
///
/// What is kept in `Corpus/<name>` comes first, whole; damage begins with that, too. `FUZZ_SEED` chooses the damage and is printed, so that
/// what a run found can be had again; without it a short run always does the same. In a long run an input is written to `FUZZ_DIRECTORY/<name>` before
/// it is tried, so a crash leaves it behind; what goes well leaves nothing.
struct Fuzzing {
    let name: String
    let seeds: [[UInt8]]
    private static let rounds = 1500

    /// - Parameter seeds: well-formed inputs to be damaged.
    init(_ name: String, seeds: [[UInt8]]) {
        self.name = name
        self.seeds = seeds
    }

    func run(_ body: ([UInt8]) async throws -> Void) async rethrows {
        let tape = InputTape(name)
        defer { tape?.remove() }
        let environment = ProcessInfo.processInfo.environment
        let seconds = environment["FUZZ_SECONDS"].flatMap(UInt64.init)
        let endNs = seconds.map { tributary_monotonic_ns() + $0 * 1_000_000_000 }
        let seed = environment["FUZZ_SEED"].flatMap(UInt64.init) ?? (endNs == nil ? 1 : UInt64.random(in: .min ... .max))
        if seed != 1 { print("\(name): FUZZ_SEED=\(seed)") }
        var generator = SeededGenerator(seed: seed)
        let inputs = Self.kept(name) + seeds
        for input in inputs {
            tape?.note(input)
            try await body(input)
        }
        var round = 0
        while endNs.map({ tributary_monotonic_ns() < $0 }) ?? (round < Self.rounds) {
            let input = Self.damaged(inputs, &generator)
            tape?.note(input)
            try await body(input)
            round += 1
        }
        if endNs != nil { print("\(name): \(round) inputs") }
    }

    /// A seed with small damages, sometimes continued by a piece of another one.
    private static func damaged(_ seeds: [[UInt8]], _ generator: inout SeededGenerator) -> [UInt8] {
        guard var input = seeds.randomElement(using: &generator) else { return [] }
        if Int.random(in: 0..<4, using: &generator) == 0, let other = seeds.randomElement(using: &generator), !other.isEmpty {
            let end = Int.random(in: 0...input.count, using: &generator)
            input = Array(input[..<end] + other[Int.random(in: 0..<other.count, using: &generator)...])
        }
        for _ in 0..<Int.random(in: 1...4, using: &generator) { input = input.mutated(by: &generator) }
        return input
    }

    /// The inputs in a target's folder: lines of a `.hex` file, any other file as a whole.
    static func kept(_ name: String) -> [[UInt8]] {
        guard let folder = Bundle.module.url(forResource: "Corpus", withExtension: nil)?.appending(path: name),
            let files = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        else { return [] }
        return files.sorted { $0.path < $1.path }.flatMap { file -> [[UInt8]] in
            guard let bytes = try? [UInt8](Data(contentsOf: file)) else { return [] }
            return file.pathExtension == "hex" ? lines(String(decoding: bytes, as: UTF8.self)) : [bytes]
        }
    }

    /// An input a line; a line that begins with # is for readers.
    private static func lines(_ text: String) -> [[UInt8]] {
        text.split(separator: "\n", omittingEmptySubsequences: true).filter { !$0.hasPrefix("#") }.map { line in
            let digits = line.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
            return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        }
    }
}

/// The file that holds the input being tried; nil where no long run asked for it.
private struct InputTape {
    private let descriptor: Int32
    private let path: String

    init?(_ name: String) {
        guard let directory = ProcessInfo.processInfo.environment["FUZZ_DIRECTORY"] else { return nil }
        path = directory + "/" + name
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        if descriptor < 0 { return nil }
    }

    func note(_ input: [UInt8]) {
        _ = input.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        _ = ftruncate(descriptor, input.count)
    }

    func remove() {
        close(descriptor)
        unlink(path)
    }
}

/// Splits an input into the packets of a stream, for parsers that remember: a byte of flags and a byte of length before each.
struct PacketTape {
    /// What a packet comes with.
    struct Packet {
        let payload: [UInt8]
        let marker: Bool
        let afterLoss: Bool
    }

    static func packets(_ input: [UInt8]) -> [Packet] {
        var packets: [Packet] = []
        var offset = 0
        while offset + 2 <= input.count {
            let (flags, count) = (input[offset], Int(input[offset + 1]))
            let end = min(input.count, offset + 2 + count)
            packets.append(
                Packet(payload: Array(input[(offset + 2)..<end]), marker: flags & 1 != 0, afterLoss: flags & 6 == 6))
            offset = end
        }
        return packets
    }

    /// The tape of packets none of which is longer than a byte can say.
    static func tape(_ packets: some Collection<FixturePacket>) -> [UInt8] {
        packets.flatMap { packet -> [UInt8] in
            let payload = packet.payload.prefix(255)
            return [packet.marker ? 1 : 0, UInt8(payload.count)] + payload
        }
    }
}
