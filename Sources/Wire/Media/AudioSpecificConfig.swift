/// What a decoder must know of an AAC stream (AudioSpecificConfig, ISO/IEC 14496-3 1.6.2.1).
public struct AudioSpecificConfig: Equatable, Sendable {
    /// As it came, for the sample entry.
    public let bytes: [UInt8]
    /// Samples a second of the core, without what spectral band replication adds.
    public let sampleRate: Int
    /// Channel configuration, 1 to 7 (ISO/IEC 14496-3 table 1.19).
    public let channelConfiguration: Int
    /// Samples of the core in an access unit: 1024 or 960.
    public let frameLength: Int
    /// The audio object type of RFC 6381: 2 for AAC LC, 5 with spectral band replication, 29 with parametric stereo too.
    public let objectType: Int

    /// Loudspeakers; parametric stereo counts as one, as in the core.
    public var channels: Int { channelConfiguration == 7 ? 8 : channelConfiguration }
    /// RFC 6381.
    public var codecs: String { "mp4a.40.\(objectType)" }

    /// Throws for what ends early, another profile than Low Complexity, or channels described by a program configuration.
    public init(_ bytes: [UInt8]) throws(BitstreamError) {
        guard bytes.count <= 64 else { throw .invalid(field: "length") }
        self.bytes = bytes
        var reader = BitReader(bytes)
        var type = try Self.objectType(&reader)
        sampleRate = try Self.frequency(&reader)
        channelConfiguration = Int(try reader.bits(4))
        guard (1...7).contains(channelConfiguration) else { throw .invalid(field: "channelConfiguration") }
        var shown = type
        if type == 5 || type == 29 {
            _ = try Self.frequency(&reader)
            type = try Self.objectType(&reader)
        }
        guard type == 2 else { throw .invalid(field: "audioObjectType") }
        // GASpecificConfig (ISO/IEC 14496-3 4.4.1).
        frameLength = try reader.flag() ? 960 : 1024
        if try reader.flag() { try reader.skip(14) }
        _ = try reader.flag()
        if shown == 2 { shown = Self.appended(&reader) }
        objectType = shown
    }

    /// AAC in access units of 1024 samples; nil for a sampling rate without an index, channels other than 1 to 6 and 8, or another
    /// profile.
    /// - Parameters:
    ///   - sampleRate: of the core, samples a second.
    ///   - objectType: 2 for AAC LC; 5 or 29 for a core at half the rate that is heard, and with 29 in one channel.
    public init?(sampleRate: Int, channels: Int, objectType: Int = 2) {
        guard let index = Self.frequencies.firstIndex(of: sampleRate), [1, 2, 3, 4, 5, 6, 8].contains(channels),
            [2, 5, 29].contains(objectType), objectType != 29 || channels == 1
        else { return nil }
        let configuration = min(channels, 7)
        var bits = BitWriter()
        bits.append(UInt32(objectType), count: 5)
        bits.append(UInt32(index), count: 4)
        bits.append(UInt32(configuration), count: 4)
        if objectType != 2 {
            guard let heard = Self.frequencies.firstIndex(of: 2 * sampleRate) else { return nil }
            bits.append(UInt32(heard), count: 4)
            bits.append(2, count: 5)
        }
        bits.append(0, count: 3)
        (bytes, self.sampleRate, channelConfiguration) = (bits.bytes, sampleRate, configuration)
        (frameLength, self.objectType) = (1024, objectType)
    }

    /// The object type that is told behind a configuration of AAC LC, where older decoders don't look (1.6.5.1, 1.6.6.1): 5 or 29 for
    /// what the sound has besides, else 2.
    private static func appended(_ reader: inout BitReader) -> Int {
        do throws(BitstreamError) {
            guard try reader.bits(11) == 0x2B7, try objectType(&reader) == 5, try reader.flag() else { return 2 }
            _ = try frequency(&reader)
        } catch {
            return 2
        }
        do throws(BitstreamError) {
            guard try reader.bits(11) == 0x548 else { return 5 }
            return try reader.flag() ? 29 : 5
        } catch {
            return 5
        }
    }

    private static func objectType(_ reader: inout BitReader) throws(BitstreamError) -> Int {
        let short = try reader.bits(5)
        return short == 31 ? 32 + Int(try reader.bits(6)) : Int(short)
    }

    private static func frequency(_ reader: inout BitReader) throws(BitstreamError) -> Int {
        let index = Int(try reader.bits(4))
        if index < frequencies.count { return frequencies[index] }
        guard index == 15 else { throw .invalid(field: "samplingFrequencyIndex") }
        let hertz = Int(try reader.bits(24))
        guard (4000...192_000).contains(hertz) else { throw .invalid(field: "samplingFrequency") }
        return hertz
    }

    /// Table 1.18.
    private static let frequencies = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350,
    ]

    /// An access unit that decodes to silence: every element codes no spectral line (raw_data_block, ISO/IEC 14496-3 4.4.2.1).
    public var silence: [UInt8] {
        var bits = BitWriter()
        var used: [UInt32: UInt32] = [:]
        for element in Self.elements[channelConfiguration - 1] {
            bits.append(element, count: 3)
            bits.append(used[element, default: 0], count: 4)
            used[element, default: 0] += 1
            let isPair = element == 1
            if isPair { bits.append(1, count: 1) }
            // global_gain stands before ics_info in a single channel, behind the common one in a pair; with no line all is 0.
            bits.append(0, count: isPair ? 11 + 2 + 22 : 8 + 11 + 3)
        }
        bits.append(7, count: 3)
        return bits.bytes
    }

    /// Elements of each channel configuration in order: 0 a single channel, 1 a pair, 3 low frequencies.
    private static let elements: [[UInt32]] = [[0], [1], [0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 1, 3], [0, 1, 1, 1, 3]]
}

/// Puts bit fields together, most significant bit first, and fills the last byte with zeros.
struct BitWriter {
    private(set) var bytes: [UInt8] = []
    private var used = 0

    mutating func append(_ value: UInt32, count: Int) {
        for place in stride(from: count - 1, through: 0, by: -1) {
            if used % 8 == 0 { bytes.append(0) }
            let bit = place < 32 ? UInt8(truncatingIfNeeded: value >> UInt32(place)) & 1 : 0
            bytes[bytes.count - 1] |= bit << UInt8(7 - used % 8)
            used += 1
        }
    }
}
