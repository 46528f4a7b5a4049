/// AAC as MPEG4-GENERIC carries it (RFC 3640, modes AAC-hbr and AAC-lbr), without interleaving.
public struct AACDepacketizer: Depacketizer {
    /// What the stream is, from the format parameters.
    public let config: AudioSpecificConfig
    /// How long an access unit lasts, in the track's clock.
    public let unitDuration: Int64
    /// Access units that were thrown away because packets were lost or malformed.
    public private(set) var droppedUnits = 0
    /// Every access unit can be decoded from.
    public var needsKeyframe: Bool { false }

    private let header: HeaderLayout
    private var partial: Partial?

    /// No access unit of any profile is larger; so that a sender cannot fill memory.
    private static let bytesMax = 1 << 16

    /// An access unit of which fragments have come (RFC 3640 3.1).
    private struct Partial {
        let timestamp: Int64
        let size: Int
        var data: [UInt8]
    }

    /// Nil when the parameters describe no AAC that recordings hold.
    ///
    /// - Parameters:
    ///   - fmtp: format parameters without the payload type (RFC 3640 4.1).
    ///   - clockRate: ticks a second of the RTP timestamps.
    public init?(fmtp: String, clockRate: Int) {
        var parameters: [String: String] = [:]
        for parameter in fmtp.split(separator: ";") {
            let pair = parameter.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
            guard pair.count == 2 else { continue }
            parameters[pair[0].lowercased()] = pair[1]
        }
        guard let mode = parameters["mode"]?.lowercased(), mode == "aac-hbr" || mode == "aac-lbr",
            let bytes = Self.hexadecimal(parameters["config"] ?? ""), let config = try? AudioSpecificConfig(bytes),
            let header = HeaderLayout(parameters), (4000...192_000).contains(clockRate)
        else { return nil }
        self.config = config
        self.header = header
        unitDuration = Int64(config.frameLength * clockRate / config.sampleRate)
        guard unitDuration > 0 else { return nil }
    }

    /// Takes the next payload (RFC 3640 3.2).
    public mutating func push(
        _ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit]
    ) {
        if afterLoss { dropPartial() }
        guard let (sizes, body) = header.read(payload) else {
            dropPartial()
            droppedUnits += payload.isEmpty ? 0 : 1
            return
        }
        if let size = sizes.first, sizes.count == 1, size > payload.count - body || partial != nil {
            takeFragment(payload[body...], size: size, timestamp: timestamp, marker: marker, into: &units)
            return
        }
        dropPartial()
        var position = body
        for (index, size) in sizes.enumerated() {
            guard size <= payload.count - position else {
                droppedUnits += sizes.count - index
                return
            }
            emit(payload[position..<position + size], timestamp: timestamp + Int64(index) * unitDuration, into: &units)
            position += size
        }
    }

    private mutating func takeFragment(
        _ data: ArraySlice<UInt8>, size: Int, timestamp: Int64, marker: Bool, into units: inout [AccessUnit]
    ) {
        if let open = partial, open.timestamp != timestamp || open.size != size { dropPartial() }
        guard size <= Self.bytesMax else {
            droppedUnits += 1
            return
        }
        var open = partial ?? Partial(timestamp: timestamp, size: size, data: [])
        open.data += data
        partial = open
        if open.data.count == size {
            partial = nil
            emit(open.data[...], timestamp: timestamp, into: &units)
        } else if marker || open.data.count > size {
            dropPartial()
        }
    }

    private mutating func dropPartial() {
        if partial != nil { droppedUnits += 1 }
        partial = nil
    }

    private mutating func emit(_ data: ArraySlice<UInt8>, timestamp: Int64, into units: inout [AccessUnit]) {
        guard data.count > 1, let first = data.first, let second = data.dropFirst().first else {
            droppedUnits += data.isEmpty ? 0 : 1
            return
        }
        // An ADTS header has no place in a sample; no access unit begins with these bits, which would be its end.
        guard first != 0xFF || second & 0xF0 != 0xF0 else {
            droppedUnits += 1
            return
        }
        units.append(AccessUnit(timestamp: timestamp, data: Array(data), isSync: true, duration: unitDuration))
    }

    private static func hexadecimal(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard !digits.isEmpty, digits.count % 2 == 0, digits.count <= 128 else { return nil }
        var bytes: [UInt8] = []
        for at in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[at..<at + 2], as: UTF8.self), radix: 16) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }
}

/// How long the fields of an AU-header are (RFC 3640 3.2.1 and 4.1).
private struct HeaderLayout {
    let size: Int
    let index: Int
    let indexDelta: Int
    let compositionDelta: Int
    let decodingDelta: Int
    let hasRandomAccess: Bool
    let streamState: Int
    let auxiliarySize: Int

    init?(_ parameters: [String: String]) {
        func length(_ name: String) -> Int? {
            guard let text = parameters[name] else { return 0 }
            guard let value = Int(text), (0...32).contains(value) else { return nil }
            return value
        }
        guard let size = length("sizelength"), size > 0, let index = length("indexlength"),
            let indexDelta = length("indexdeltalength"), let composition = length("ctsdeltalength"),
            let decoding = length("dtsdeltalength"), let state = length("streamstateindication"),
            let auxiliary = length("auxiliarydatasizelength")
        else { return nil }
        self.size = size
        self.index = index
        self.indexDelta = indexDelta
        compositionDelta = composition
        decodingDelta = decoding
        hasRandomAccess = parameters["randomaccessindication"] == "1"
        streamState = state
        auxiliarySize = auxiliary
    }

    /// The sizes of the access units in a payload and where the first begins; nil when it is malformed or interleaved.
    func read(_ payload: [UInt8]) -> (sizes: [Int], body: Int)? {
        guard payload.count >= 2 else { return nil }
        let bits = Int(payload[0]) << 8 | Int(payload[1])
        let body = 2 + (bits + 7) / 8
        guard bits > 0, body <= payload.count else { return nil }
        var reader = BitReader(Array(payload[2..<body]))
        var sizes: [Int] = []
        do throws(BitstreamError) {
            while reader.bitPosition < bits {
                sizes.append(Int(try reader.bits(size)))
                // An index, or a distance to it, that is not 0 means another order than that of time.
                guard try reader.bits(sizes.count == 1 ? index : indexDelta) == 0 else { return nil }
                if compositionDelta > 0, try reader.flag() { try reader.skip(compositionDelta) }
                if decodingDelta > 0, try reader.flag() { try reader.skip(decodingDelta) }
                try reader.skip((hasRandomAccess ? 1 : 0) + streamState)
            }
            guard auxiliarySize > 0 else { return (sizes, body) }
            var auxiliary = BitReader(Array(payload[body...].prefix(8)))
            let length = auxiliarySize + Int(try auxiliary.bits(auxiliarySize))
            let after = body + (length + 7) / 8
            return after <= payload.count ? (sizes, after) : nil
        } catch {
            return nil
        }
    }
}
