/// One element of a header extension block: where its value lies in the packet.
struct HeaderExtensionElement: Equatable {
    var id: UInt8
    var offset: Int
    var count: Int
}

/// Walks the elements of an RTP header extension in the one-byte or two-byte form (RFC 8285 §4.2, §4.3).
///
/// Another profile has no elements. A length that runs over the block ends the walk: what came before it still counts.
struct HeaderExtensionReader {
    private var offset: Int
    private let end: Int
    private let isOneByte: Bool

    init(_ header: RTPHeader) {
        offset = header.extensionOffset
        isOneByte = header.extensionProfile == 0xBEDE
        let isKnown = isOneByte || header.extensionProfile & 0xFFF0 == 0x1000
        end = isKnown ? header.extensionOffset + header.extensionCount : header.extensionOffset
    }

    mutating func next(in bytes: Span<UInt8>) -> HeaderExtensionElement? {
        while offset < end {
            let first = bytes[offset]
            if first == 0 {
                offset += 1
                continue
            }
            var element = HeaderExtensionElement(id: first, offset: offset + 2, count: 0)
            if isOneByte {
                element.id = first >> 4
                // Id 15 is reserved and ends the block; id 0 with a length is malformed and skipped over.
                if element.id == 15 { return stop() }
                element.offset = offset + 1
                element.count = Int(first & 0x0F) + 1
            } else {
                guard offset + 1 < end else { return stop() }
                element.count = Int(bytes[offset + 1])
            }
            guard element.offset + element.count <= end else { return stop() }
            offset = element.offset + element.count
            if element.id != 0 { return element }
        }
        return nil
    }

    private mutating func stop() -> HeaderExtensionElement? {
        offset = end
        return nil
    }
}

/// Extension values that go on to viewers, under the ids of each viewer.
struct ForwardedExtensions: Equatable {
    struct Presence: OptionSet {
        let rawValue: UInt8
        static let audioLevel = Presence(rawValue: 1)
        static let videoOrientation = Presence(rawValue: 2)
        static let playoutDelay = Presence(rawValue: 4)
    }

    var present: Presence = []
    /// V flag and level as on the wire (RFC 6464 §3).
    var audioLevel: UInt8 = 0
    /// As on the wire (3GPP TS 26.114).
    var videoOrientation: UInt8 = 0
    /// 12 bits minimum, 12 bits maximum, in 10 ms.
    var playoutDelay: UInt32 = 0
}

/// What the publisher's extensions said that matters here.
struct ReceivedExtensions: Equatable {
    var forwarded = ForwardedExtensions()
    var transportSequence: UInt16?
    /// Offset and count of the mid's text in the packet; 0 when absent.
    var midOffset = 0
    var midCount = 0
    /// The same for the simulcast layer of media, and for that of a retransmission (RFC 8852 §4).
    var ridOffset = 0
    var ridCount = 0
    var repairedRidOffset = 0
    var repairedRidCount = 0
    /// The same for the dependency descriptor.
    var descriptorOffset = 0
    var descriptorCount = 0

    init() {}

    /// Picks the known elements by the ids of one transport; wrong sizes are passed over.
    init(_ header: RTPHeader, in bytes: Span<UInt8>, ids: ExtensionIDs) {
        guard header.extensionCount > 0 else { return }
        var reader = HeaderExtensionReader(header)
        while let element = reader.next(in: bytes) {
            if element.id == ids.transportCC {
                if element.count >= 2 { transportSequence = bytes.bigEndian16(at: element.offset) }
            } else if element.id == ids.mid {
                midOffset = element.offset
                midCount = element.count
            } else if element.id == ids.rid {
                ridOffset = element.offset
                ridCount = element.count
            } else if element.id == ids.repairedRid {
                repairedRidOffset = element.offset
                repairedRidCount = element.count
            } else if element.id == ids.dependencyDescriptor {
                guard element.count >= DependencyDescriptor.bytesMin else { continue }
                descriptorOffset = element.offset
                descriptorCount = element.count
            } else if element.id == ids.audioLevel {
                guard element.count >= 1 else { continue }
                forwarded.audioLevel = bytes[element.offset]
                forwarded.present.insert(.audioLevel)
            } else if element.id == ids.videoOrientation {
                guard element.count >= 1 else { continue }
                forwarded.videoOrientation = bytes[element.offset]
                forwarded.present.insert(.videoOrientation)
            } else if element.id == ids.playoutDelay {
                guard element.count == 3 else { continue }
                let high = UInt32(bytes[element.offset]) << 16
                forwarded.playoutDelay = high | UInt32(bytes.bigEndian16(at: element.offset + 1))
                forwarded.present.insert(.playoutDelay)
            }
        }
    }
}

/// Writes an extension block in the one-byte form, or the two-byte form when an id needs it.
struct HeaderExtensionWriter {
    private let start: UnsafeMutableRawPointer
    private let limit: Int
    private let isTwoByte: Bool
    private var count = 4

    /// - Parameters:
    ///   - start: where the profile word goes, right after the fixed header.
    ///   - limit: room there.
    ///   - isTwoByte: some id of this viewer is over 14.
    init(at start: UnsafeMutableRawPointer, limit: Int, isTwoByte: Bool) {
        self.start = start
        self.limit = limit
        self.isTwoByte = isTwoByte
    }

    /// Adds an element of `bytes` bytes, the low ones of `value` in network order; one that finds no room is left out.
    mutating func append(id: UInt8, value: UInt32, bytes: Int) {
        guard let place = open(id: id, bytes: bytes) else { return }
        for index in 0..<bytes {
            place.storeByte(UInt8(truncatingIfNeeded: value >> UInt32(8 * (bytes - 1 - index))), at: index)
        }
    }

    /// Adds an element with these bytes.
    mutating func append(id: UInt8, bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, let place = open(id: id, bytes: bytes.count) else { return }
        place.copyMemory(from: base, byteCount: bytes.count)
    }

    /// Adds a dependency descriptor with the frame number that the viewer gets.
    mutating func append(id: UInt8, _ descriptor: DependencyDescriptor) {
        guard let base = descriptor.bytes.baseAddress, let place = open(id: id, bytes: descriptor.bytes.count) else { return }
        place.copyMemory(from: base, byteCount: descriptor.bytes.count)
        descriptor.renumber(place)
    }

    private mutating func open(id: UInt8, bytes: Int) -> UnsafeMutableRawPointer? {
        let head = isTwoByte ? 2 : 1
        guard id != 0, bytes > 0, isTwoByte || (id < 15 && bytes <= 16), bytes < 256, count + head + bytes + 3 <= limit
        else { return nil }
        if isTwoByte {
            start.storeByte(id, at: count)
            start.storeByte(UInt8(truncatingIfNeeded: bytes), at: count + 1)
        } else {
            start.storeByte(id << 4 | UInt8(truncatingIfNeeded: bytes - 1), at: count)
        }
        defer { count += head + bytes }
        return start + count + head
    }

    /// Pads to a word, writes the length, and returns the bytes used; 0 when nothing was appended.
    mutating func finish() -> Int {
        guard count > 4 else { return 0 }
        while count & 3 != 0 {
            start.storeByte(0, at: count)
            count += 1
        }
        start.storeBigEndian(isTwoByte ? UInt16(0x1000) : UInt16(0xBEDE), at: 0)
        start.storeBigEndian(UInt16(truncatingIfNeeded: (count - 4) / 4), at: 2)
        return count
    }
}
