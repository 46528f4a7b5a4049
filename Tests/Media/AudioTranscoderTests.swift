import Foundation
import MediaFixtures
import TestThreads
import Testing

@testable import Media

@Suite("Telephone sound to Opus and AAC (RFC 3551 4.5)", .offThePool)
struct AudioTranscoderTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let source: TelephoneCodec
        let target: SoundTarget
        var testDescription: String { "\(source) to \(target)" }
    }

    static let cases = TelephoneCodec.allCases.flatMap { source in
        SoundTarget.allCases.map { Case(source: source, target: $0) }
    }

    /// Five seconds as ffmpeg encodes them: a beep of 100 ms begins at 0.5 s of each second, all else is silent.
    private static func payloads(_ source: TelephoneCodec) throws -> [[UInt8]] {
        let (codec, format, rate) =
            switch source {
            case .pcmu: ("pcm_mulaw", "mulaw", 8000)
            case .pcma: ("pcm_alaw", "alaw", 8000)
            case .g722: ("g722", "g722", 16_000)
            }
        let beep = "aevalsrc=if(between(mod(t\\,1)\\,0.5\\,0.6)\\,0.5*sin(2*PI*1000*(t-0.5))\\,0):s=\(rate):d=5"
        let bytes = [UInt8](
            try Tool.run("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", beep, "-c:a", codec, "-f", format, "-"]))
        return stride(from: 0, to: bytes.count, by: 160).map { Array(bytes[$0..<min($0 + 160, bytes.count)]) }
    }

    /// When the sound begins after half a second of silence, in milliseconds.
    private func onsets(_ samples: [Float]) -> [Double] {
        var list: [Double] = []
        var quiet = 0
        for (index, sample) in samples.enumerated() {
            if abs(sample) > 0.2 {
                if quiet > 20_000 { list.append(Double(index) / 48) }
                quiet = 0
            } else {
                quiet += 1
            }
        }
        return list
    }

    private func continues(_ units: [AccessUnit]) -> Bool {
        zip(units, units.dropFirst()).allSatisfy { $1.timestamp == $0.timestamp + ($0.duration ?? 0) }
    }

    @Test("what is heard is heard when it was said, and nothing is lost", arguments: cases)
    func inTime(of one: Case) throws {
        let payloads = try Self.payloads(one.source)
        #expect(payloads.count == 250)
        let transcoder = try AudioTranscoder(one.source, to: one.target)
        var units: [AccessUnit] = []
        let origin: Int64 = 7_000_003 * AudioTranscoder.timestampMultiple
        for (index, payload) in payloads.enumerated() {
            transcoder.push(payload, timestamp: origin + Int64(index) * 960, marker: index == 0, afterLoss: false, into: &units)
        }
        #expect(continues(units) && transcoder.droppedUnits == 0)
        let first = try #require(units.first).timestamp
        #expect(first <= origin && first > origin - 2048)
        // What an encoder still holds back at the end is less than three of its frames.
        let last = try #require(units.last)
        #expect(last.timestamp + (last.duration ?? 0) > origin + 240_000 - 3 * 1024)
        // In a file that begins a little earlier, because no time in it may be below 0.
        let file = try Sound.file(units, transcoder.format, origin: origin - 4800)
        #expect(try Probe.decodeErrors(file) == "")
        let heard = onsets(try Sound.decode(file))
        #expect(heard.count == 5)
        for (index, at) in heard.enumerated() { #expect(abs(at - Double(index) * 1000 - 600) < 3, "\(at)") }
    }

    @Test("holes are silence of the same length, overlaps are cut off", arguments: SoundTarget.allCases)
    func holes(target: SoundTarget) throws {
        let payloads = try Self.payloads(.pcmu)
        let transcoder = try AudioTranscoder(.pcmu, to: target)
        var units: [AccessUnit] = []
        for (index, payload) in payloads.enumerated() where !(60..<100).contains(index) {
            transcoder.push(payload, timestamp: 48_000 + Int64(index) * 960, marker: false, afterLoss: index == 100, into: &units)
            // Some come twice.
            if index % 10 == 3 {
                transcoder.push(payload, timestamp: 48_000 + Int64(index) * 960, marker: false, afterLoss: false, into: &units)
            }
        }
        #expect(continues(units))
        let heard = onsets(try Sound.decode(try Sound.file(units, transcoder.format, origin: 0)))
        // The second beep was never sent.
        #expect(heard.map { Int(($0 / 10).rounded()) } == [150, 350, 450, 550])
    }

    @Test("at a jump it begins anew, where it belongs", arguments: [-40_000_000, 400_000_000] as [Int64])
    func jump(by ticks: Int64) throws {
        let payloads = try Self.payloads(.pcma)
        let transcoder = try AudioTranscoder(.pcma, to: .opus)
        var units: [AccessUnit] = []
        let origin: Int64 = 50_000_000
        for (index, payload) in payloads.enumerated() {
            let moved = index < 125 ? 0 : ticks
            transcoder.push(
                payload, timestamp: origin + Int64(index) * 960 + moved, marker: false, afterLoss: false, into: &units)
        }
        let cut = try #require(units.firstIndex { abs($0.timestamp - origin) > 1_000_000 })
        let (before, after) = (Array(units[..<cut]), Array(units[cut...]))
        #expect(continues(before) && continues(after))
        #expect(after.first?.timestamp == origin + 125 * 960 + ticks - 312)
        // Of the first half at most what the encoder held back is missing.
        #expect(before.count >= 123)
    }

    @Test("bytes that are no sound never trap", arguments: TelephoneCodec.allCases)
    func fuzz(source: TelephoneCodec) throws {
        var generator = SeededGenerator(seed: 4)
        let transcoder = try AudioTranscoder(source, to: .opus)
        var units: [AccessUnit] = []
        var timestamp: Int64 = 1 << 33
        for _ in 0..<600 {
            let payload = (0..<Int.random(in: 0..<400, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator)
            }
            timestamp += Int64.random(in: -3000...6000, using: &generator)
            if Int.random(in: 0..<50, using: &generator) == 0 {
                timestamp += Int64.random(in: -1 << 31...1 << 31, using: &generator)
            }
            transcoder.push(payload, timestamp: timestamp, marker: false, afterLoss: false, into: &units)
        }
        #expect(units.count > 100)
    }
}
