/// RFC 7798 without decoding order numbers: single NAL units, aggregation packets and fragmentation units of the base layer, and each of
/// them in a PACI packet.
///
/// Damage never reaches the file: a unit with a hole is dropped, and so is everything until the next random access point.
public struct H265Depacketizer: Depacketizer {
    private var sets = H265ParameterSets()
    private var unit: Unit?
    private var fragment: [UInt8]?
    private var gate = PictureGate()
    /// The parameter sets the decoder was last told about.
    private var formatInForce: H265Format?
    /// How many parameter sets came with the last random access point, and which it refers to.
    private var setsWithAccess = 0
    private var reference = 0
    /// Pictures that refer to what comes before the random access point they belong to cannot be decoded (H.265 8.1.3).
    private var skipsLeading = false

    /// Units that were thrown away because packets were lost or malformed.
    public var droppedUnits: Int { gate.droppedUnits }
    /// Nothing decodable can come before the sender makes a key frame.
    public var needsKeyframe: Bool { gate.waitsForKeyframe }

    private struct Unit {
        let timestamp: Int64
        /// Packets were lost before its first one, so its beginning may be missing.
        let followsLoss: Bool
        var data: [UInt8] = []
        /// nal_unit_type of the first slice segment.
        var pictureType: UInt8?
        var isDamaged = false
        var startsAtFirstSegment = false
        /// The picture parameter set that a random access point refers to.
        var reference: Int?
        /// Parameter sets that came with it.
        var parameterSets = 0
    }

    /// nal_unit_type ranges of table 7-1.
    private enum Types {
        static let pictures: ClosedRange<UInt8> = 0...31
        static let randomAccess: ClosedRange<UInt8> = 16...21
        static let brokenLink: ClosedRange<UInt8> = 16...18
        static let skippedLeading: ClosedRange<UInt8> = 8...9
        static let parameterSets: ClosedRange<UInt8> = 32...34
        static let messages: ClosedRange<UInt8> = 39...40
    }

    /// - Parameter fmtp: the negotiated format parameters; `sprop-vps`, `-sps`, `-pps` in it serve until sets come in band.
    public init(fmtp: String = "") {
        sets.insert(fmtp: fmtp)
    }

    /// Takes the next payload (RFC 7798 4.4).
    public mutating func push(
        _ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit]
    ) {
        if afterLoss {
            fragment = nil
            unit?.isDamaged = true
        }
        if let current = unit, current.timestamp != timestamp { finish(into: &units) }
        if unit == nil { unit = Unit(timestamp: timestamp, followsLoss: afterLoss) }
        if !read(payload) {
            fragment = nil
            unit?.isDamaged = true
        }
        if marker { finish(into: &units) }
    }

    // MARK: Payload structures

    /// False when the payload breaks RFC 7798.
    private mutating func read(_ payload: [UInt8]) -> Bool {
        guard payload.count > 2, payload[0] & 0x80 == 0 else { return false }
        if payload[0] >> 1 & 0x3F == 50 {
            guard let carried = Self.carried(payload) else { return false }
            return readStructure(carried)
        }
        return readStructure(payload)
    }

    /// What a PACI packet carries, with the header that it had (4.4.4). One in another is not allowed.
    private static func carried(_ payload: [UInt8]) -> [UInt8]? {
        guard payload.count > 4 else { return nil }
        let type = payload[2] >> 1 & 0x3F
        let start = 4 + Int((UInt16(payload[2]) << 8 | UInt16(payload[3])) >> 4 & 0x1F)
        guard payload[2] & 0x80 == 0, type < 50, start < payload.count else { return nil }
        return [payload[0] & 0x81 | type << 1, payload[1]] + payload[start...]
    }

    private mutating func readStructure(_ payload: [UInt8]) -> Bool {
        guard payload.count > 2 else { return false }
        switch payload[0] >> 1 & 0x3F {
        case 0...47:
            guard fragment == nil else { return false }
            add(payload)
            return true
        case 48:
            return fragment == nil && readAggregate(payload)
        case 49:
            return readFragment(payload)
        default:
            return false
        }
    }

    /// Aggregation packet (4.4.2).
    private mutating func readAggregate(_ payload: [UInt8]) -> Bool {
        var position = 2
        while position < payload.count {
            guard payload.count - position > 4 else { return false }
            let size = Int(payload[position]) << 8 | Int(payload[position + 1])
            position += 2
            guard size > 2, size <= payload.count - position else { return false }
            let nal = Array(payload[position..<position + size])
            guard nal[0] & 0x80 == 0, nal[0] >> 1 & 0x3F < 48 else { return false }
            add(nal)
            position += size
        }
        return true
    }

    /// Fragmentation unit (4.4.3).
    private mutating func readFragment(_ payload: [UInt8]) -> Bool {
        guard payload.count > 3 else { return false }
        let isStart = payload[2] & 0x80 != 0
        let isEnd = payload[2] & 0x40 != 0
        let type = payload[2] & 0x3F
        guard !(isStart && isEnd), type < 48 else { return false }
        if isStart {
            guard fragment == nil else { return false }
            fragment = [payload[0] & 0x81 | type << 1, payload[1]] + payload[3...]
            return true
        }
        guard let head = fragment?.first, head >> 1 & 0x3F == type,
            (fragment?.count ?? 0) + payload.count <= AccessUnit.bytesMax
        else { return false }
        fragment?.append(contentsOf: payload[3...])
        if isEnd, let nal = fragment {
            fragment = nil
            add(nal)
        }
        return true
    }

    // MARK: NAL units

    private mutating func add(_ nal: [UInt8]) {
        // nuh_layer_id: what is not of the base layer is for decoders of other profiles.
        guard nal[0] & 1 == 0, nal[1] >> 3 == 0 else { return }
        let type = nal[0] >> 1 & 0x3F
        switch type {
        case Types.pictures:
            if unit?.pictureType == nil {
                unit?.pictureType = type
                unit?.startsAtFirstSegment = nal[2] & 0x80 != 0
                if Types.randomAccess.contains(type) { unit?.reference = H265ParameterSets.reference(of: nal) }
            }
            append(nal)
        case Types.parameterSets:
            sets.insert(nal)
            unit?.parameterSets += 1
        case Types.messages: append(nal)
        default: break  // Delimiters and fillers have no place in an hvc1 sample.
        }
    }

    private mutating func append(_ nal: [UInt8]) {
        if unit?.data.append(sized: nal) == false { unit?.isDamaged = true }
    }

    // MARK: Access units

    private mutating func finish(into units: inout [AccessUnit]) {
        guard var done = unit else { return }
        unit = nil
        if fragment != nil {
            fragment = nil
            done.isDamaged = true
        }
        guard let type = done.pictureType else {
            if done.isDamaged { gate.drop() }
            return
        }
        let isRandomAccess = Types.randomAccess.contains(type)
        if skipsLeading, Types.skippedLeading.contains(type), !gate.waitsForKeyframe, !done.followsLoss { return }
        if isRandomAccess { skipsLeading = gate.waitsForKeyframe || done.followsLoss || Types.brokenLink.contains(type) }
        // New sets in the middle of a group of pictures cannot be told to a file whose sets are out of band.
        let isUntold = !isRandomAccess && done.parameterSets > 0 && sets.format(ofPicture: reference) != formatInForce
        let format = done.reference.flatMap { sets.format(ofPicture: $0) }
        // What was lost before a random access point may have been sets that it refers to.
        let lacksSets = isRandomAccess && (format == nil || done.followsLoss && done.parameterSets < setsWithAccess)
        let isWhole = !done.isDamaged && done.startsAtFirstSegment && !isUntold && !lacksSets
        guard gate.admits(isWhole: isWhole, followsLoss: done.followsLoss, isKeyframe: isRandomAccess) else { return }
        if let format {
            formatInForce = format
            setsWithAccess = done.parameterSets
            reference = done.reference ?? 0
        }
        units.append(
            AccessUnit(
                timestamp: done.timestamp, data: done.data, isSync: isRandomAccess, format: format.map(TrackFormat.h265)))
    }
}
