/// An Opus packet's first bytes (RFC 6716 section 3).
public enum OpusPacket {
    /// The packet's length in samples of 48 kHz, 120 to 5760; nil when it is no Opus packet (RFC 6716 3.2, 3.4).
    public static func duration(of packet: [UInt8]) -> Int64? {
        guard let toc = packet.first else { return nil }
        let frame = frameSamples(configuration: toc >> 3)
        let count: Int64
        switch toc & 3 {
        case 0: count = 1
        case 1, 2: count = 2
        default:
            guard packet.count > 1 else { return nil }
            count = Int64(packet[1] & 0x3F)
        }
        let total = frame * count
        return count > 0 && total <= 5760 ? total : nil
    }

    /// The table of RFC 6716 3.1.
    private static func frameSamples(configuration: UInt8) -> Int64 {
        switch configuration {
        case 0..<12: [480, 960, 1920, 2880][Int(configuration & 3)]
        case 12..<16: configuration & 1 == 0 ? 480 : 960
        default: [120, 240, 480, 960][Int(configuration & 3)]
        }
    }

    /// 20 ms of silence: a CELT frame, stereo or mono, that codes nothing.
    public static func silence(channels: Int) -> [UInt8] {
        channels == 2 ? [0xFC, 0xFF, 0xFE] : [0xF8, 0xFF, 0xFE]
    }

    /// Samples in what `silence` returns.
    public static let silenceDuration: Int64 = 960
}

/// RFC 7587: each RTP payload is one Opus packet, its clock is 48 kHz whatever is said.
public struct OpusDepacketizer: Depacketizer {
    /// Payloads that were no Opus packets.
    public private(set) var droppedUnits = 0
    /// Every Opus packet can be decoded from.
    public var needsKeyframe: Bool { false }

    /// Ready for the first packet.
    public init() {}

    /// Takes the next payload (RFC 7587 4.2).
    public mutating func push(
        _ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit]
    ) {
        guard let duration = OpusPacket.duration(of: payload) else {
            droppedUnits += payload.isEmpty ? 0 : 1
            return
        }
        units.append(AccessUnit(timestamp: timestamp, data: payload, isSync: true, duration: duration))
    }
}
