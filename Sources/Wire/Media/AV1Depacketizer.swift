/// The AV1 RTP payload format 1.0: units put together from fragments, one temporal unit a sample.
///
/// Samples hold units with sizes and without temporal delimiters, as files want them. Damage never reaches the file: a temporal unit
/// with a hole is dropped, and so is everything until the next key frame.
public struct AV1Depacketizer: Depacketizer {
    private var unit: TemporalUnit?
    /// The start of an OBU that goes on in the next packet.
    private var fragment: [UInt8]?
    private var gate = PictureGate()
    private var sequence: AV1Format?
    private var sequenceInForce: AV1Format?

    /// Temporal units that were thrown away because packets were lost or malformed.
    public var droppedUnits: Int { gate.droppedUnits }
    /// Nothing decodable can come before the sender makes a key frame.
    public var needsKeyframe: Bool { gate.waitsForKeyframe }

    private struct TemporalUnit {
        let timestamp: Int64
        /// Packets were lost before its first one, so its beginning may be missing.
        let followsLoss: Bool
        var data: [UInt8] = []
        var isDamaged = false
        var hasFrame = false
        var isKeyframe = false
        var hasSequenceHeader = false
    }

    /// Ready for the first packet.
    public init() {}

    /// Takes the next payload (section 4.4 and 4.5 of the payload format).
    public mutating func push(
        _ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit]
    ) {
        if afterLoss {
            fragment = nil
            unit?.isDamaged = true
        }
        if let current = unit, current.timestamp != timestamp { finish(into: &units) }
        if unit == nil { unit = TemporalUnit(timestamp: timestamp, followsLoss: afterLoss) }
        if !read(payload) {
            fragment = nil
            unit?.isDamaged = true
        }
        if marker { finish(into: &units) }
    }

    /// False when the payload breaks the format or does not continue what came before.
    private mutating func read(_ payload: [UInt8]) -> Bool {
        guard let head = payload.first, payload.count > 1 else { return false }
        let continues = head & 0x80 != 0
        let isContinued = head & 0x40 != 0
        let declared = Int(head >> 4 & 3)
        // A packet that begins a coded video sequence cannot continue what came before (4.4).
        guard continues == (fragment != nil), !(continues && head & 0x08 != 0) else { return false }
        var position = 1
        var count = 0
        while position < payload.count {
            count += 1
            var size = payload.count - position
            if declared == 0 || count < declared {
                guard let told = AV1Unit.size(payload, &position), told > 0, told <= payload.count - position else {
                    return false
                }
                size = told
            }
            let element = payload[position..<position + size]
            position += size
            let isLast = position == payload.count
            let bytes = (fragment ?? []) + element
            fragment = nil
            guard bytes.count <= AccessUnit.bytesMax else { return false }
            if isLast, isContinued {
                fragment = bytes
            } else if !add(bytes) {
                return false
            }
        }
        return declared == 0 || count == declared
    }

    /// False when the bytes are no unit.
    private mutating func add(_ bytes: [UInt8]) -> Bool {
        guard let obu = AV1Unit(bytes) else { return false }
        switch obu.kind {
        case .temporalDelimiter, .tileList, .padding, nil: return true
        case .sequenceHeader:
            guard let read = try? AV1Format(sequenceHeader: Array(obu.payload)) else { return false }
            sequence = read
            unit?.hasSequenceHeader = true
        case .frame, .frameHeader:
            if unit?.hasFrame == false { unit?.isKeyframe = obu.isShownKeyframe }
            unit?.hasFrame = true
        case .tileGroup, .metadata, .redundantFrameHeader: break
        }
        guard (unit?.data.count ?? 0) + bytes.count <= AccessUnit.bytesMax else { return false }
        unit?.data.append(contentsOf: obu.encoded)
        return true
    }

    private mutating func finish(into units: inout [AccessUnit]) {
        guard var done = unit else { return }
        unit = nil
        if fragment != nil {
            fragment = nil
            done.isDamaged = true
        }
        guard done.hasFrame || done.isDamaged else { return }
        // A decoder can start where a sequence header comes with the key frame (AV1 ISOBMFF 2.4); nothing else may refer to another sequence.
        let isSync = done.isKeyframe && done.hasSequenceHeader
        let format = isSync ? sequence : nil
        let isKnown = isSync || sequence == sequenceInForce
        guard gate.admits(isWhole: !done.isDamaged && isKnown, followsLoss: done.followsLoss, isKeyframe: isSync) else { return }
        if let format { sequenceInForce = format }
        units.append(
            AccessUnit(
                timestamp: done.timestamp, data: done.data, isSync: isSync, format: format.map(TrackFormat.av1)))
    }
}
