/// RFC 6184, packetisation modes 0 and 1: single NAL units, STAP-A and FU-A.
///
/// Damage never reaches the file: a unit with a hole is dropped, and so is everything until the next IDR picture,
/// because it refers to what is missing.
public struct H264Depacketizer: Depacketizer {
    private var sets = H264ParameterSets()
    private var unit: Unit?
    /// Bytes of the last unit, as many as the next may well have.
    private var expectedBytes = 0
    private var waitsForIDR = true
    /// The parameter sets the decoder was last told about, with an IDR picture.
    private var formatInForce: H264Format?
    /// How many parameter sets came with that picture, and which it refers to.
    private var setsWithIDR = 0
    private var reference = 0

    /// Units that were thrown away because packets were lost or malformed.
    public private(set) var droppedUnits = 0
    /// Nothing decodable can come before the sender makes a key frame.
    public var needsKeyframe: Bool { waitsForIDR }

    private struct Unit {
        let timestamp: Int64
        var data: [UInt8] = []
        /// Where in it the NAL unit begins, with its length, of which fragments are coming.
        var fragment: Int?
        var pictureCount = 0
        var isIDR = false
        var isDamaged = false
        /// Packets were lost before its first one, so its beginning may be missing.
        let followsLoss: Bool
        var startsAtFirstMacroblock = false
        /// The picture parameter set that its first slice refers to.
        var reference: Int?
        /// Parameter sets that came with it.
        var parameterSets = 0
    }

    /// - Parameter fmtp: the negotiated format parameters; `sprop-parameter-sets` in it serves until sets come in band.
    public init(fmtp: String = "") {
        sets.insert(fmtp: fmtp)
    }

    /// Takes the next payload (RFC 6184 5.6 to 5.8).
    public mutating func push(
        _ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit]
    ) {
        if afterLoss {
            _ = dropFragment()
            unit?.isDamaged = true
        }
        if let current = unit?.timestamp, current != timestamp { finish(into: &units) }
        if unit == nil {
            unit = Unit(timestamp: timestamp, followsLoss: afterLoss)
            unit?.data.reserveCapacity(expectedBytes)
        }
        if !read(payload) { unit?.isDamaged = true }
        if marker { finish(into: &units) }
    }

    // MARK: Payload structures

    /// False when the payload breaks RFC 6184.
    private mutating func read(_ payload: [UInt8]) -> Bool {
        guard let header = payload.first, header & 0x80 == 0 else { return false }
        switch header & 0x1F {
        case 1...23:
            guard unit?.fragment == nil else { return dropFragment() }
            add(payload)
            return true
        case 24:
            guard unit?.fragment == nil else { return dropFragment() }
            return readAggregate(payload)
        case 28:
            return readFragment(payload)
        default:
            return false
        }
    }

    private mutating func dropFragment() -> Bool {
        if let start = unit?.fragment { unit?.data.removeSubrange(start...) }
        unit?.fragment = nil
        return false
    }

    /// STAP-A (5.7.1).
    private mutating func readAggregate(_ payload: [UInt8]) -> Bool {
        var position = 1
        while position < payload.count {
            guard payload.count - position > 2 else { return false }
            let size = Int(payload[position]) << 8 | Int(payload[position + 1])
            position += 2
            guard size > 0, size <= payload.count - position else { return false }
            let nal = Array(payload[position..<position + size])
            guard nal[0] & 0x80 == 0, (1...23).contains(nal[0] & 0x1F) else { return false }
            add(nal)
            position += size
        }
        return payload.count > 1
    }

    /// FU-A (5.8).
    private mutating func readFragment(_ payload: [UInt8]) -> Bool {
        guard payload.count > 2 else { return dropFragment() }
        let isStart = payload[1] & 0x80 != 0
        let isEnd = payload[1] & 0x40 != 0
        let type = payload[1] & 0x1F
        guard !(isStart && isEnd), (1...23).contains(type) else { return dropFragment() }
        var follows = true
        if isStart {
            follows = unit?.fragment == nil
            _ = dropFragment()
            let start = unit?.data.count
            unit?.fragment = start
            for _ in 0..<4 { unit?.data.append(0) }
            unit?.data.append(payload[0] & 0xE0 | type)
        }
        guard let start = unit?.fragment, let size = unit?.data.count, (unit?.data[start + 4]).map({ $0 & 0x1F == type }) == true,
            size + payload.count <= AccessUnit.bytesMax
        else { return dropFragment() }
        unit?.data.append(contentsOf: payload[2...])
        if isEnd { endFragment(start, type: type) }
        return follows
    }

    /// The fragments of a NAL unit are all there; what has no place in a sample is taken out again.
    private mutating func endFragment(_ start: Int, type: UInt8) {
        unit?.fragment = nil
        guard let end = unit?.data.count else { return }
        if type <= 6 {
            let size = UInt32(end - start - 4)
            for index in 0..<4 { unit?.data[start + index] = UInt8(truncatingIfNeeded: size >> UInt32(24 - 8 * index)) }
            if type < 6, let head = unit?.data[(start + 4)..<min(end, start + 4 + H264ParameterSets.sliceHeadBytes)] {
                notePicture(Array(head))
            }
        } else {
            let nal = unit.map { Array($0.data[(start + 4)...]) } ?? []
            unit?.data.removeSubrange(start...)
            add(nal)
        }
    }

    // MARK: NAL units

    private mutating func add(_ nal: [UInt8]) {
        switch nal[0] & 0x1F {
        case 1...5:
            notePicture(nal)
            append(nal)
        case 6: append(nal)
        case 7, 8:
            sets.insert(nal)
            unit?.parameterSets += 1
        default: break  // Delimiters, fillers and extensions have no place in an avc1 sample.
        }
    }

    /// Takes down what the beginning of a slice says.
    private mutating func notePicture(_ nal: [UInt8]) {
        guard nal.count > 1 else {
            unit?.isDamaged = true
            return
        }
        if unit?.pictureCount == 0 {
            // first_mb_in_slice is ue(v); a set first bit is 0 (7.3.3).
            unit?.startsAtFirstMacroblock = nal[1] & 0x80 != 0
            unit?.isIDR = nal[0] & 0x1F == 5
            if unit?.isIDR == true { unit?.reference = H264ParameterSets.reference(of: nal) }
        }
        unit?.pictureCount += 1
    }

    private mutating func append(_ nal: [UInt8]) {
        if unit?.data.append(sized: nal) == false { unit?.isDamaged = true }
    }

    // MARK: Access units

    private mutating func finish(into units: inout [AccessUnit]) {
        guard var done = unit else { return }
        unit = nil
        if done.fragment != nil { done.isDamaged = true }
        expectedBytes = done.data.count
        guard done.pictureCount > 0 || done.isDamaged else { return }
        // What was lost before an IDR picture may have been sets that it refers to.
        let hasSets = done.isIDR && done.parameterSets >= setsWithIDR
        let isWhole = !done.isDamaged && (!done.followsLoss || hasSets) && done.startsAtFirstMacroblock
        guard isWhole else { return drop() }
        if done.isIDR {
            guard let reference = done.reference, let format = sets.format(ofPicture: reference) else { return drop() }
            self.reference = reference
            waitsForIDR = false
            formatInForce = format
            setsWithIDR = done.parameterSets
            units.append(AccessUnit(timestamp: done.timestamp, data: done.data, isSync: true, format: .h264(format)))
            return
        }
        // New parameter sets in the middle of a group of pictures cannot be told to a file whose sets are out of band.
        if done.parameterSets > 0, sets.format(ofPicture: reference) != formatInForce { waitsForIDR = true }
        guard !waitsForIDR else { return drop() }
        units.append(AccessUnit(timestamp: done.timestamp, data: done.data, isSync: false))
    }

    private mutating func drop() {
        droppedUnits += 1
        waitsForIDR = true
    }
}
