import SDP

/// H.264 as files hold it, cut into NAL units (ISO/IEC 14496-15 section 5.3.3, H.264 annex B).
package enum H264Input {
    /// Parameter sets and length size of an `avcC` record; nil for anything else.
    package static func configuration(_ record: [UInt8]) -> (sets: [[UInt8]], lengthBytes: Int)? {
        guard record.count >= 7, record[0] == 1 else { return nil }
        var sets: [[UInt8]] = []
        var offset = 6
        func read(_ count: Int) -> Bool {
            for _ in 0..<count {
                guard record.count - offset >= 2 else { return false }
                let size = Int(record[offset]) << 8 | Int(record[offset + 1])
                guard size > 0, size <= record.count - offset - 2 else { return false }
                sets.append(Array(record[(offset + 2)..<(offset + 2 + size)]))
                offset += 2 + size
            }
            return true
        }
        guard read(Int(record[5] & 31)), offset < record.count else { return nil }
        let pictureSets = Int(record[offset])
        offset += 1
        guard read(pictureSets) else { return nil }
        return (sets, Int(record[4] & 3) + 1)
    }

    /// NAL units between start codes.
    package static func split(_ bytes: ArraySlice<UInt8>) -> [[UInt8]] {
        var units: [[UInt8]] = []
        var start: Int?
        var index = bytes.startIndex
        func close(_ end: Int) {
            guard let start else { return }
            var end = end
            // Zero bytes before a start code belong to it.
            while end > start && bytes[end - 1] == 0 { end -= 1 }
            if end > start { units.append(Array(bytes[start..<end])) }
        }
        while index + 3 <= bytes.endIndex {
            if bytes[index] == 0 && bytes[index + 1] == 0 && bytes[index + 2] == 1 {
                close(index)
                start = index + 3
                index += 3
            } else {
                index += 1
            }
        }
        close(bytes.endIndex)
        return units
    }

    private static func lengthPrefixed(_ bytes: [UInt8], _ lengthBytes: Int) -> [[UInt8]] {
        var units: [[UInt8]] = []
        var offset = 0
        while bytes.count - offset > lengthBytes {
            let size = bytes[offset..<(offset + lengthBytes)].reduce(0) { $0 << 8 | Int($1) }
            offset += lengthBytes
            guard size > 0, size <= bytes.count - offset else { break }
            units.append(Array(bytes[offset..<(offset + size)]))
            offset += size
        }
        return units
    }

    /// The units of one packet, without delimiters and filler, parameter sets put before a key frame that lacks them.
    package static func units(_ packet: [UInt8], lengthBytes: Int, parameterSets: [[UInt8]]) -> [[UInt8]] {
        let all = lengthBytes > 0 ? lengthPrefixed(packet, lengthBytes) : split(packet[...])
        let kept = all.filter { unit in ![9, 10, 11, 12].contains(unit[0] & 0x1F) }
        let types = kept.map { $0[0] & 0x1F }
        guard types.contains(5), !types.contains(7) else { return kept }
        return parameterSets + kept
    }

    /// How the stream is offered: with the profile of its own sequence parameter set.
    package static func codec(_ sets: [[UInt8]]) -> Codec {
        guard let set = sets.first(where: { $0.count >= 4 && $0[0] & 0x1F == 7 }) else { return .h264 }
        let digits = Array("0123456789abcdef")
        let profile = String(set[1...3].flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
        return Codec(
            name: "H264", clockRate: 90_000, fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=\(profile)")
    }
}
