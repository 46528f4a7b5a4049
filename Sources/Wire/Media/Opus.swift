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

/// Which of an Opus packet's streams goes to which loudspeaker, in the order of channel mapping family 1 (RFC 7845 5.1.1.2).
public struct OpusLayout: Equatable, Sendable {
    /// Streams in a packet, at least one.
    public let streams: Int
    /// How many of them, the first ones, are stereo.
    public let coupled: Int
    /// For each loudspeaker the decoded channel, or 255 for silence.
    public let mapping: [UInt8]

    /// Loudspeakers, 1 to 8.
    public var channels: Int { mapping.count }

    /// Nil for a layout that no packet can have.
    public init?(streams: Int, coupled: Int, mapping: [UInt8]) {
        guard (1...8).contains(mapping.count), (1...8).contains(streams), (0...streams).contains(coupled),
            mapping.allSatisfy({ Int($0) < streams + coupled || $0 == 255 })
        else { return nil }
        (self.streams, self.coupled, self.mapping) = (streams, coupled, mapping)
    }

    /// From the format parameters of `multiopus`; nil when they describe none.
    ///
    /// - Parameter channels: of the `rtpmap`.
    public init?(fmtp: String, channels: Int) {
        var values: [String: String] = [:]
        for parameter in fmtp.split(separator: ";") {
            let pair = parameter.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
            if pair.count == 2 { values[pair[0].lowercased()] = pair[1] }
        }
        let mapping = (values["channel_mapping"] ?? "").split(separator: ",", omittingEmptySubsequences: false).map { UInt8($0) }
        guard let streams = values["num_streams"].flatMap({ Int($0) }),
            let coupled = values["coupled_streams"].flatMap({ Int($0) }),
            mapping.count == channels, mapping.allSatisfy({ $0 != nil })
        else { return nil }
        self.init(streams: streams, coupled: coupled, mapping: mapping.compactMap { $0 })
    }

    /// What libopus makes of so many channels; nil other than for 3 to 8.
    public init?(surround channels: Int) {
        switch channels {
        case 3: self.init(streams: 2, coupled: 1, mapping: [0, 2, 1])
        case 4: self.init(streams: 2, coupled: 2, mapping: [0, 1, 2, 3])
        case 5: self.init(streams: 3, coupled: 2, mapping: [0, 4, 1, 2, 3])
        case 6: self.init(streams: 4, coupled: 2, mapping: [0, 4, 1, 2, 3, 5])
        case 7: self.init(streams: 4, coupled: 3, mapping: [0, 4, 1, 2, 3, 5, 6])
        case 8: self.init(streams: 5, coupled: 3, mapping: [0, 6, 1, 2, 3, 4, 5, 7])
        default: return nil
        }
    }

    /// `OpusPacket.silence` in every stream; all but the last say how long they are (RFC 6716 appendix B).
    public var silence: [UInt8] {
        var packet: [UInt8] = []
        for stream in 0..<streams {
            let frame = OpusPacket.silence(channels: stream < coupled ? 2 : 1)
            packet.append(frame[0])
            if stream < streams - 1 { packet.append(UInt8(frame.count - 1)) }
            packet += frame.dropFirst()
        }
        return packet
    }
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
