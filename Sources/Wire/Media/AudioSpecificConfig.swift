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
        objectType = type
        if type == 5 || type == 29 {
            _ = try Self.frequency(&reader)
            type = try Self.objectType(&reader)
        }
        guard type == 2 else { throw .invalid(field: "audioObjectType") }
        // GASpecificConfig (ISO/IEC 14496-3 4.4.1).
        frameLength = try reader.flag() ? 960 : 1024
        if try reader.flag() { try reader.skip(14) }
        _ = try reader.flag()
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
