/// How a channel delivers (RFC 8832 section 5.1).
struct ChannelReliability: Equatable, Sendable {
    enum Limit: Equatable, Sendable {
        case none
        case retransmissions(UInt32)
        case milliseconds(UInt32)
    }

    var isOrdered = true
    var limit = Limit.none
}

/// A message of the Data Channel Establishment Protocol (RFC 8832 section 5).
enum DCEPMessage: Equatable, Sendable {
    case open(label: [UInt8], protocol: [UInt8], reliability: ChannelReliability)
    case acknowledge

    enum Fault: Error, Equatable {
        case truncated(have: Int, need: Int)
        case unknownType(UInt8)
        case unknownChannelType(UInt8)
    }

    private static let openType: UInt8 = 0x03
    private static let acknowledgeType: UInt8 = 0x02
    private static let openHeaderBytes = 12

    init(parsing bytes: Span<UInt8>) throws(Fault) {
        guard let type = bytes.isEmpty ? nil : bytes[0] else { throw .truncated(have: 0, need: 1) }
        switch type {
        case Self.acknowledgeType: self = .acknowledge
        case Self.openType: self = try Self.open(bytes)
        default: throw .unknownType(type)
        }
    }

    private static func open(_ bytes: Span<UInt8>) throws(Fault) -> DCEPMessage {
        guard bytes.count >= openHeaderBytes else { throw .truncated(have: bytes.count, need: openHeaderBytes) }
        let labelBytes = Int(bytes.be16(8))
        let protocolBytes = Int(bytes.be16(10))
        let need = openHeaderBytes + labelBytes + protocolBytes
        guard bytes.count >= need else { throw .truncated(have: bytes.count, need: need) }
        let limit: ChannelReliability.Limit
        switch bytes[1] & 0x7F {
        case 0: limit = .none
        case 1: limit = .retransmissions(bytes.be32(4))
        case 2: limit = .milliseconds(bytes.be32(4))
        default: throw .unknownChannelType(bytes[1])
        }
        func part(_ start: Int, _ count: Int) -> [UInt8] { (0..<count).map { bytes[start + $0] } }
        return .open(
            label: part(openHeaderBytes, labelBytes), protocol: part(openHeaderBytes + labelBytes, protocolBytes),
            reliability: ChannelReliability(isOrdered: bytes[1] & 0x80 == 0, limit: limit))
    }

    /// The message as it goes over the wire; a label or protocol over 65535 bytes is cut.
    var bytes: [UInt8] {
        guard case .open(let label, let name, let reliability) = self else { return [Self.acknowledgeType] }
        let (type, parameter): (UInt8, UInt32) =
            switch reliability.limit {
            case .none: (0, 0)
            case .retransmissions(let count): (1, count)
            case .milliseconds(let time): (2, time)
            }
        var written: [UInt8] = [Self.openType, type | (reliability.isOrdered ? 0 : 0x80), 0, 0]
        func append(_ value: UInt32, bytes count: Int) {
            for shift in (0..<count).reversed() { written.append(UInt8(truncatingIfNeeded: value >> (8 * UInt32(shift)))) }
        }
        append(parameter, bytes: 4)
        append(UInt32(min(label.count, 65_535)), bytes: 2)
        append(UInt32(min(name.count, 65_535)), bytes: 2)
        return written + label.prefix(65_535) + name.prefix(65_535)
    }
}

/// What a message is, as SCTP's payload protocol identifier says (RFC 8831 section 8).
enum DataPayload: UInt32, Sendable {
    case dcep = 50
    case text = 51
    case binary = 53
    case emptyText = 56
    case emptyBinary = 57
}
