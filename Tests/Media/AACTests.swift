import Foundation
import MediaFixtures
import TestThreads
import Testing

@testable import Media

@Suite("AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1)", .offThePool)
struct AudioSpecificConfigTests {
    struct Vector: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let bytes: [UInt8]
        let rate: Int
        let channels: Int
        let frame: Int
        let codecs: String
    }

    static let vectors = [
        Vector(
            testDescription: "44.1 kHz stereo", bytes: [0x12, 0x10], rate: 44_100, channels: 2, frame: 1024, codecs: "mp4a.40.2"),
        Vector(
            testDescription: "48 kHz stereo", bytes: [0x11, 0x90], rate: 48_000, channels: 2, frame: 1024, codecs: "mp4a.40.2"),
        Vector(testDescription: "48 kHz mono", bytes: [0x11, 0x88], rate: 48_000, channels: 1, frame: 1024, codecs: "mp4a.40.2"),
        Vector(testDescription: "960 samples", bytes: [0x11, 0x94], rate: 48_000, channels: 2, frame: 960, codecs: "mp4a.40.2"),
        Vector(
            testDescription: "rate written out", bytes: [0x17, 0x80, 0x5D, 0xC0, 0x10], rate: 48_000, channels: 2, frame: 1024,
            codecs: "mp4a.40.2"),
        Vector(
            testDescription: "HE-AAC, explicit", bytes: [0x2B, 0x11, 0x88, 0x00], rate: 24_000, channels: 2, frame: 1024,
            codecs: "mp4a.40.5"),
        Vector(
            testDescription: "HE-AAC, told behind", bytes: [0x13, 0x10, 0x56, 0xE5, 0x98], rate: 24_000, channels: 2, frame: 1024,
            codecs: "mp4a.40.5"),
        Vector(
            testDescription: "HE-AAC denied behind", bytes: [0x13, 0x10, 0x56, 0xE5, 0x00], rate: 24_000, channels: 2,
            frame: 1024,
            codecs: "mp4a.40.2"),
        Vector(
            testDescription: "HE-AAC v2, explicit", bytes: [0xEB, 0x09, 0x88, 0x00], rate: 24_000, channels: 1, frame: 1024,
            codecs: "mp4a.40.29"),
        Vector(
            testDescription: "HE-AAC v2, told behind", bytes: [0x13, 0x08, 0x56, 0xE5, 0x9D, 0x48, 0x80], rate: 24_000,
            channels: 1,
            frame: 1024, codecs: "mp4a.40.29"),
        Vector(testDescription: "7.1", bytes: [0x11, 0xB8], rate: 48_000, channels: 8, frame: 1024, codecs: "mp4a.40.2"),
    ]

    @Test("golden configurations", arguments: vectors)
    func golden(vector: Vector) throws {
        let config = try AudioSpecificConfig(vector.bytes)
        #expect(config.sampleRate == vector.rate && config.channels == vector.channels)
        #expect(config.frameLength == vector.frame && config.codecs == vector.codecs && config.bytes == vector.bytes)
    }

    @Test(
        "what is torn, no AAC LC, or of unknown channels or rate is refused",
        arguments: [
            [], [0x12], [0x0A, 0x10], [0x12, 0x00], [0x16, 0x90], [0x17, 0x80, 0x00, 0x00, 0x10], [0xFF, 0xFF, 0xFF],
            [UInt8](repeating: 0x12, count: 65),
        ] as [[UInt8]])
    func refused(bytes: [UInt8]) {
        #expect(throws: BitstreamError.self) { try AudioSpecificConfig(bytes) }
    }

    @Test("made from a rate and channels", arguments: [8000, 44_100, 48_000, 96_000], [1, 2, 3, 4, 5, 6, 8])
    func made(sampleRate: Int, channels: Int) throws {
        let made = try #require(AudioSpecificConfig(sampleRate: sampleRate, channels: channels))
        #expect(try AudioSpecificConfig(made.bytes) == made)
        #expect(made.sampleRate == sampleRate && made.channels == channels && made.codecs == "mp4a.40.2")
        #expect(AudioSpecificConfig(sampleRate: sampleRate + 1, channels: channels) == nil)
        #expect(AudioSpecificConfig(sampleRate: sampleRate, channels: 7) == nil)
    }

    @Test("made with spectral band replication and parametric stereo")
    func madeHighEfficiency() throws {
        #expect(AudioSpecificConfig(sampleRate: 24_000, channels: 2, objectType: 5)?.bytes == [0x2B, 0x11, 0x88, 0x00])
        #expect(AudioSpecificConfig(sampleRate: 24_000, channels: 1, objectType: 29)?.bytes == [0xEB, 0x09, 0x88, 0x00])
        #expect(AudioSpecificConfig(sampleRate: 24_000, channels: 2, objectType: 29) == nil)
        #expect(AudioSpecificConfig(sampleRate: 88_200, channels: 2, objectType: 5) == nil)
        #expect(AudioSpecificConfig(sampleRate: 24_000, channels: 2, objectType: 1) == nil)
    }

    @Test("silence decodes to silence, with any number of channels", arguments: 1...7)
    func silence(channels: Int) throws {
        let config = try AudioSpecificConfig([0x11, 0x80 | UInt8(channels << 3)])
        let format = TrackFormat.aac(config, timescale: 48_000)
        let silence = try #require(format.silence)
        let writer = try FragmentWriter(format: format)
        for index in 0..<20 {
            try writer.append(
                Sample(data: silence.data, time: Int64(index) * silence.duration, duration: silence.duration, isSync: true))
        }
        let file = writer.initSegment + writer.flush(beginsSegment: true)
        #expect(try Probe.decodeErrors(file) == "")
        let samples = try Sound.decode(file)
        #expect(samples.count >= 19 * 1024 && samples.allSatisfy { $0 == 0 })
    }
}

/// What ffmpeg hears: one channel at 48 kHz, from time 0 on.
enum Sound {
    static func decode(_ file: [UInt8]) throws -> [Float] {
        let directory = try TemporaryDirectory()
        let path = directory.url.appendingPathComponent("track.mp4")
        try Data(file).write(to: path)
        let data = try Tool.run(
            "ffmpeg",
            [
                "-v", "error", "-copyts", "-i", path.path, "-af", "aresample=48000:async=1:first_pts=0", "-ac", "1", "-f",
                "f32le", "-",
            ])
        return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    /// A track of access units that follow each other; times are counted from `origin`.
    static func file(_ units: [AccessUnit], _ format: TrackFormat, origin: Int64) throws -> [UInt8] {
        let writer = try FragmentWriter(format: format)
        for (unit, next) in zip(units, units.dropFirst()) {
            try writer.append(
                Sample(
                    data: unit.data, time: unit.timestamp - origin, duration: next.timestamp - unit.timestamp, isSync: true))
        }
        return writer.initSegment + writer.flush(beginsSegment: true)
    }
}

@Suite("AAC over RTP (RFC 3640)", .offThePool)
struct AACDepacketizerTests {
    static let fmtp =
        "streamtype=5; profile-level-id=1; mode=AAC-hbr; config=1210; sizeLength=13; indexLength=3; indexDeltaLength=3"

    private static let units = encoded(rate: 44_100)

    /// Access units of a tone as ffmpeg encodes it, stereo.
    private static func encoded(rate: Int) -> [[UInt8]] {
        guard
            let bytes = try? [UInt8](
                Tool.run(
                    "ffmpeg",
                    [
                        "-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=\(rate)", "-t", "2", "-ac", "2",
                        "-c:a",
                        "aac",
                        "-b:a", "96k", "-f", "adts", "-",
                    ]))
        else { return [] }
        var units: [[UInt8]] = []
        var position = 0
        while position + 7 <= bytes.count {
            let length = Int(bytes[position + 3] & 3) << 11 | Int(bytes[position + 4]) << 3 | Int(bytes[position + 5]) >> 5
            guard length > 7, position + length <= bytes.count else { break }
            units.append(Array(bytes[position + 7..<position + length]))
            position += length
        }
        return units
    }

    /// A payload with whole access units.
    private func payload(_ units: some Sequence<[UInt8]>) -> [UInt8] {
        let units = Array(units)
        let bits = units.count * 16
        let headers = units.flatMap { [UInt8(truncatingIfNeeded: $0.count >> 5), UInt8(truncatingIfNeeded: $0.count << 3)] }
        return [UInt8(bits >> 8), UInt8(bits & 0xFF)] + headers + units.flatMap { $0 }
    }

    @Test("a packet of the RFC's form, byte by byte")
    func golden() throws {
        var depacketizer = try #require(AACDepacketizer(fmtp: Self.fmtp, clockRate: 44_100))
        var units: [AccessUnit] = []
        // Two headers of 13 + 3 bits: sizes 3 and 2.
        depacketizer.push(
            [0x00, 0x20, 0x00, 0x18, 0x00, 0x10, 0x21, 0x10, 0x05, 0x21, 0x2B], timestamp: 5000, marker: true, afterLoss: false,
            into: &units)
        #expect(
            units == [
                AccessUnit(timestamp: 5000, data: [0x21, 0x10, 0x05], isSync: true, duration: 1024),
                AccessUnit(timestamp: 6024, data: [0x21, 0x2B], isSync: true, duration: 1024),
            ])
    }

    @Test("whole, gathered and fragmented access units come out as they went in", arguments: [1, 3, 7])
    func gathered(each: Int) throws {
        var depacketizer = try #require(AACDepacketizer(fmtp: Self.fmtp, clockRate: 44_100))
        var units: [AccessUnit] = []
        #expect(Self.units.count > 80)
        var timestamp: Int64 = 77
        for start in stride(from: 0, to: Self.units.count, by: each) {
            let group = Self.units[start..<min(start + each, Self.units.count)]
            if each == 1, start % 2 == 1 {
                // In fragments of 50 bytes, each with the header of the whole.
                let whole = payload(group)
                for at in stride(from: 4, to: whole.count, by: 50) {
                    let end = min(at + 50, whole.count)
                    depacketizer.push(
                        Array(whole[..<4] + whole[at..<end]), timestamp: timestamp, marker: end == whole.count, afterLoss: false,
                        into: &units)
                }
            } else {
                depacketizer.push(payload(group), timestamp: timestamp, marker: true, afterLoss: false, into: &units)
            }
            timestamp += Int64(group.count) * 1024
        }
        #expect(units.map(\.data) == Self.units && depacketizer.droppedUnits == 0)
        #expect(units.map(\.timestamp) == Self.units.indices.map { 77 + Int64($0) * 1024 })

        let format = TrackFormat.aac(depacketizer.config, timescale: 44_100)
        let file = try Sound.file(units, format, origin: 77)
        let probe = try Probe(file)
        #expect(probe.codec == "aac" && probe.profile == "LC" && probe.timeBase == "1/44100")
        // ffprobe 5.1 does not know how long the first lasts.
        #expect(probe.packets.dropFirst().allSatisfy { $0.duration == 1024 } && probe.packets.count == Self.units.count - 1)
        #expect(try Probe.decodeErrors(file) == "")
        let rules = try CMAFCheck.initialization(try FragmentWriter(format: format).initSegment, timescale: 44_100)
        #expect(rules == [])
    }

    @Test(
        "spectral band replication is told in the track, whichever of the two rates the clock has",
        arguments: [(24_000, "2B118800"), (48_000, "131056E598")])
    func highEfficiency(clockRate: Int, config: String) throws {
        let fmtp = "mode=AAC-hbr; config=\(config); sizeLength=13; indexLength=3; indexDeltaLength=3"
        var depacketizer = try #require(AACDepacketizer(fmtp: fmtp, clockRate: clockRate))
        var units: [AccessUnit] = []
        let duration = Int64(1024 * clockRate / 24_000)
        for (index, unit) in Self.encoded(rate: 24_000).enumerated() {
            let timestamp = Int64(index) * duration
            depacketizer.push(payload([unit]), timestamp: timestamp, marker: true, afterLoss: false, into: &units)
        }
        #expect(units.count > 40 && units.allSatisfy { $0.duration == duration })
        let format = TrackFormat.aac(depacketizer.config, timescale: clockRate)
        #expect(format.codecs == "mp4a.40.5")
        let file = try Sound.file(units, format, origin: 0)
        let probe = try Probe(file)
        #expect(probe.codec == "aac" && probe.timeBase == "1/\(clockRate)")
        #expect(try Probe.decodeErrors(file) == "")
        #expect(try CMAFCheck.initialization(try FragmentWriter(format: format).initSegment, timescale: Int64(clockRate)) == [])
        // Twice the core's samples: all of it is heard at 48 kHz.
        #expect(abs(try Sound.decode(file).count - (units.count - 1) * 2048) <= 2048)
    }

    @Test("an access unit that lost a fragment is left out, and only that one")
    func lost() throws {
        var depacketizer = try #require(AACDepacketizer(fmtp: Self.fmtp, clockRate: 44_100))
        var units: [AccessUnit] = []
        let whole = payload([Self.units[3]])
        depacketizer.push(Array(whole[..<40]), timestamp: 0, marker: false, afterLoss: false, into: &units)
        depacketizer.push(payload([Self.units[4]]), timestamp: 1024, marker: true, afterLoss: true, into: &units)
        #expect(units.map(\.timestamp) == [1024] && depacketizer.droppedUnits == 1)
        // Interleaved: the second access unit is not the next in time.
        depacketizer.push(
            [0x00, 0x20, 0x00, 0x18, 0x00, 0x11, 1, 2, 3, 4, 5], timestamp: 0, marker: true, afterLoss: false, into: &units)
        #expect(units.count == 1 && depacketizer.droppedUnits == 2)
    }

    @Test(
        "parameters that describe something else make no track",
        arguments: [
            "", "mode=AAC-hbr", "mode=CELP-cbr;config=1210;sizeLength=13", "mode=AAC-hbr;config=12;sizeLength=13",
            "mode=AAC-hbr;config=1210;sizeLength=0", "mode=AAC-hbr;config=1210;sizeLength=33",
            "mode=AAC-hbr;config=xy10;sizeLength=13",
            "mode=AAC-hbr;config=1210;sizeLength=13;indexLength=-1",
        ])
    func otherParameters(fmtp: String) {
        #expect(AACDepacketizer(fmtp: fmtp, clockRate: 44_100) == nil)
    }

    @Test("damaged payloads never trap", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let more = ["", "; CTSDeltaLength=9", "; DTSDeltaLength=4; randomAccessIndication=1", "; auxiliaryDataSizeLength=5"]
        var depacketizer = try #require(
            AACDepacketizer(fmtp: Self.fmtp + more[Int(seed) % more.count], clockRate: 44_100))
        var units: [AccessUnit] = []
        let valid = payload(Self.units[5..<8])
        for round in 0..<3000 {
            let bytes = round % 3 == 0 ? Array(valid.prefix(Int.random(in: 0..<60, using: &generator))) : valid
            depacketizer.push(
                bytes.mutated(by: &generator), timestamp: Int64(round) * 3072, marker: round % 2 == 0, afterLoss: round % 7 == 0,
                into: &units)
            _ = try? AudioSpecificConfig(Array(bytes.mutated(by: &generator).prefix(8)))
        }
        #expect(units.allSatisfy { $0.data.count > 1 && $0.duration == 1024 })
    }
}
