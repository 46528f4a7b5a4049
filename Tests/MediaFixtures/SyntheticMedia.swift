import Foundation

/// Encoded pictures and sound with known times, made by ffmpeg once a test run.
package enum SyntheticMedia {
    /// One H.264 picture: its NAL units, without start codes.
    package typealias Picture = [[UInt8]]

    /// 30 pictures a second, a key frame each `gop`, parameter sets with each key frame, several slices.
    package static func h264(
        frames: Int, gop: Int = 60, size: String = "320x180", bFrames: Int = 0, profile: String = "baseline"
    ) throws -> [Picture] {
        let bytes = try Tool.run(
            "ffmpeg",
            [
                "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=\(size):rate=30", "-frames:v", String(frames), "-pix_fmt",
                "yuv420p",
                "-c:v", "libx264", "-preset", "ultrafast", "-profile:v", profile, "-bf", String(bFrames), "-x264-params",
                "keyint=\(gop):min-keyint=\(gop):scenecut=0:slices=2:repeat-headers=1:aud=1:threads=1", "-f", "h264", "-",
            ])
        return pictures(annexB: [UInt8](bytes))
    }

    /// 20 ms stereo packets of a tone.
    package static func opus(packets: Int) throws -> [[UInt8]] {
        let bytes = try Tool.run(
            "ffmpeg",
            [
                "-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t",
                String(Double(packets) / 50 + 1), "-ac", "2",
                "-c:a", "libopus", "-b:a", "64k", "-f", "ogg", "-",
            ])
        return Array(oggPackets([UInt8](bytes)).dropFirst(2).prefix(packets))
    }

    /// Splits at access unit delimiters.
    private static func pictures(annexB bytes: [UInt8]) -> [Picture] {
        var pictures: [Picture] = []
        for nal in nalUnits(bytes) {
            if nal[0] & 0x1F == 9 {
                pictures.append([])
            } else if !pictures.isEmpty {
                pictures[pictures.count - 1].append(nal)
            }
        }
        return pictures
    }

    /// NAL units of an Annex B stream.
    package static func nalUnits(_ bytes: [UInt8]) -> [[UInt8]] {
        var units: [[UInt8]] = []
        var start: Int?
        var index = 0
        while index + 3 <= bytes.count {
            if bytes[index] == 0, bytes[index + 1] == 0, bytes[index + 2] == 1 {
                if let start { units.append(trimmed(bytes[start..<index])) }
                start = index + 3
                index += 3
            } else {
                index += 1
            }
        }
        if let start { units.append(trimmed(bytes[start...])) }
        return units.filter { !$0.isEmpty }
    }

    private static func trimmed(_ unit: ArraySlice<UInt8>) -> [UInt8] {
        var unit = unit
        while unit.last == 0 { unit.removeLast() }
        return Array(unit)
    }

    private static func oggPackets(_ bytes: [UInt8]) -> [[UInt8]] {
        var packets: [[UInt8]] = []
        var current: [UInt8] = []
        var position = 0
        while position + 27 <= bytes.count, bytes[position] == 0x4F {
            let segments = Int(bytes[position + 26])
            var body = position + 27 + segments
            for index in 0..<segments {
                let size = Int(bytes[position + 27 + index])
                current += bytes[body..<body + size]
                body += size
                if size < 255 {
                    packets.append(current)
                    current = []
                }
            }
            position = body
        }
        return packets
    }
}

/// One RTP packet without a header: what a depacketiser or the recorder's tap sees.
package struct FixturePacket: Sendable {
    package var payload: [UInt8]
    package var timestamp: UInt32
    package var marker: Bool
    package var extendedSequence: UInt64
    /// Index of the picture or sound packet it belongs to.
    package var unit: Int
}

/// Packs pictures as their codec's payload format says; H.264 as RFC 6184 mode 1: parameter sets as STAP-A, large units as FU-A.
package struct FixturePacketizer {
    package var extendedSequence: UInt64
    package let payloadMax: Int
    package let codec: FixtureCodec

    package init(extendedSequence: UInt64, payloadMax: Int = 400, codec: FixtureCodec = .h264) {
        self.extendedSequence = extendedSequence
        self.payloadMax = payloadMax
        self.codec = codec
    }

    package mutating func picture(_ picture: [[UInt8]], timestamp: UInt32, unit: Int) -> [FixturePacket] {
        let payloads = codec == .h264 ? h264(picture) : codec.payloads(picture, max: payloadMax, unit: unit)
        return payloads.enumerated().map { index, payload in
            defer { extendedSequence += 1 }
            return FixturePacket(
                payload: payload, timestamp: timestamp, marker: index == payloads.count - 1, extendedSequence: extendedSequence,
                unit: unit)
        }
    }

    private func h264(_ nals: [[UInt8]]) -> [[UInt8]] {
        let sets = nals.filter { [7, 8].contains($0[0] & 0x1F) }
        var payloads: [[UInt8]] = []
        if sets.count > 1, sets.map(\.count).reduce(0, +) + 8 < payloadMax {
            payloads.append([0x78] + sets.flatMap { [UInt8($0.count >> 8), UInt8($0.count & 0xFF)] + $0 })
        } else {
            payloads += sets
        }
        for nal in nals where ![7, 8].contains(nal[0] & 0x1F) { payloads += fragments(nal) }
        return payloads
    }

    package mutating func sound(_ packet: [UInt8], timestamp: UInt32, unit: Int) -> FixturePacket {
        defer { extendedSequence += 1 }
        return FixturePacket(
            payload: packet, timestamp: timestamp, marker: unit == 0, extendedSequence: extendedSequence, unit: unit)
    }

    private func fragments(_ nal: [UInt8]) -> [[UInt8]] {
        guard nal.count > payloadMax + 1 else { return [nal] }
        var out: [[UInt8]] = []
        var position = 1
        while position < nal.count {
            let end = min(nal.count, position + payloadMax)
            let bits: UInt8 = (position == 1 ? 0x80 : 0) | (end == nal.count ? 0x40 : 0)
            out.append([nal[0] & 0xE0 | 28, bits | nal[0] & 0x1F] + nal[position..<end])
            position = end
        }
        return out
    }
}

/// The deterministic generator of every randomised test (SplitMix64).
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

extension [UInt8] {
    /// A copy with a few bytes changed, removed or added.
    package func mutated(by generator: inout SeededGenerator) -> [UInt8] {
        var copy = self
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            let at = Int.random(in: 0...Swift.max(0, copy.count - 1), using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0 where !copy.isEmpty: copy[at] = UInt8.random(in: 0...255, using: &generator)
            case 1 where !copy.isEmpty: copy[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2 where !copy.isEmpty:
                copy.removeSubrange(at..<Swift.min(copy.count, at + Int.random(in: 1...9, using: &generator)))
            default: copy.insert(UInt8.random(in: 0...255, using: &generator), at: Swift.min(at, copy.count))
            }
        }
        return copy
    }
}
