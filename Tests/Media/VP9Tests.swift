import MediaFixtures
import TestThreads
import Testing

@testable import Media

@Suite("VP9 over RTP (RFC 9628)", .offThePool)
struct VP9DepacketizerTests {
    /// A key frame of profile 0, 320x180, and a frame that refers to it.
    private static let key: [UInt8] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xF0, 0x0B, 0x30]
    private static let inter: [UInt8] = [0x86, 1, 2, 3]

    private struct Feed {
        var depacketizer = VP9Depacketizer()
        var units: [AccessUnit] = []

        mutating func push(_ payload: [UInt8], _ timestamp: Int64, marker: Bool = true, afterLoss: Bool = false) {
            depacketizer.push(payload, timestamp: timestamp, marker: marker, afterLoss: afterLoss, into: &units)
        }
    }

    @Test(
        "descriptors of every shape",
        arguments: [
            ([0x0C], 1, 0), ([0x8C, 0x11], 2, 0), ([0x8C, 0x91, 0x22], 3, 0),
            // Layers with TL0PICIDX, then without it in flexible mode.
            ([0xAC, 0x11, 0x02, 0x33], 4, 1), ([0xBC, 0x11, 0x04], 3, 2),
            // Three references in flexible mode; non-flexible has none.
            ([0xDC, 0x11, 0x03, 0x05, 0x06], 5, 0), ([0xCC, 0x11], 2, 0),
            // Scalability structure: two layers with sizes, a group of two pictures with one and two references.
            ([0x0E, 0x38, 0, 160, 0, 90, 1, 64, 0, 180, 2, 0x04, 1, 0x08, 1, 2], 16, 0),
        ] as [([UInt8], Int, Int)])
    func descriptors(header: [UInt8], bytes: Int, layer: Int) throws {
        let descriptor = try #require(VP9Descriptor(header + [0xFF]))
        #expect(descriptor.headerBytes == bytes && bytes == header.count && descriptor.spatialLayer == layer)
        #expect(descriptor.beginsFrame && descriptor.endsFrame)
        for cut in 0...header.count { #expect(VP9Descriptor(Array(header.prefix(cut))) == nil) }
        if header.count == 16 { #expect(descriptor.largestSize == VP9Descriptor.Size(width: 320, height: 180)) }
    }

    @Test("four references are too many")
    func references() {
        #expect(VP9Descriptor([0xDC, 0x11, 0x03, 0x05, 0x07, 0x08, 0xFF]) == nil)
    }

    @Test("a key frame tells its format, and pieces join")
    func pieces() throws {
        var feed = Feed()
        feed.push([0x08] + Self.key.prefix(4), 0, marker: false)
        feed.push([0x04] + Self.key.dropFirst(4), 0)
        feed.push([0x4C] + Self.inter, 3000)
        #expect(feed.units.map(\.data) == [Self.key, Self.inter])
        #expect(feed.units.map(\.isSync) == [true, false])
        #expect(feed.units.first?.format?.codecs == "vp09.00.20.08")
        #expect(feed.units.first?.format?.pictureSize?.width == 320 && feed.units.first?.format?.pictureSize?.height == 180)
    }

    @Test("spatial layers become one superframe with an index, sized as the highest")
    func layers() throws {
        var feed = Feed()
        let structure: [UInt8] = [0x30, 1, 64, 0, 180, 2, 128, 1, 104]
        // Base layer with structure, then the upper layer, which depends on it (D) and not on another picture.
        feed.push([0x2E, 0x00, 0x00] + structure + Self.key, 0, marker: false)
        feed.push([0x2C, 0x03, 0x00] + Self.inter, 0)
        let unit = try #require(feed.units.first)
        #expect(unit.isSync && unit.format?.pictureSize?.width == 640 && unit.format?.pictureSize?.height == 360)
        #expect(unit.data == Self.key + Self.inter + [0xC1, 9, 4, 0xC1])
        // An upper layer alone is no picture.
        feed.push([0x6C, 0x03, 0x00] + Self.inter, 3000)
        #expect(feed.units.count == 1 && feed.depacketizer.needsKeyframe)
    }

    @Test(
        "malformed payloads damage their picture and nothing else",
        arguments: [
            [], [0x0C], [0x8C, 0x91], [0x40, 1], [0x2E], [0x0C, 0x00], [0x0C, 0xC6],
        ] as [[UInt8]])
    func malformed(payload: [UInt8]) {
        var feed = Feed()
        feed.push([0x0C] + Self.key, 0)
        feed.push(payload, 3000)
        feed.push([0x4C] + Self.inter, 6000)
        #expect(feed.units.map(\.timestamp) == [0] && feed.depacketizer.needsKeyframe)
        feed.push([0x0C] + Self.key, 9000)
        #expect(feed.units.map(\.timestamp) == [0, 9000])
    }

    @Test(
        "formats of other profiles",
        arguments: [("yuv422p", 1, 8), ("yuv444p", 1, 8), ("yuv420p10le", 2, 10), ("yuv444p12le", 3, 12)])
    func profiles(pixels: String, profile: Int, depth: Int) throws {
        let bytes = [UInt8](
            try Tool.run(
                "ffmpeg",
                [
                    "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=130x66:rate=30", "-frames:v", "1", "-pix_fmt", pixels,
                    "-c:v",
                    "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-f", "ivf", "-",
                ]))
        let frame = Array(bytes[44...])
        let format = try #require(try VP9FrameHeader(frame).keyframe)
        #expect(format.profile == profile && format.bitDepth == depth && format.width == 130 && format.height == 66)
        #expect(format.codecs == "vp09.0\(profile).10.\(depth < 10 ? "08" : "\(depth)")")
        let writer = try FragmentWriter(format: .vp9(format))
        try writer.append(Sample(data: frame, time: 0, duration: 3000, isSync: true))
        let probe = try Probe(writer.initSegment + writer.flush(beginsSegment: true))
        #expect(probe.codec == "vp9" && probe.profile == "Profile \(profile)")
        for cut in 0..<9 { #expect(throws: BitstreamError.self) { try VP9FrameHeader(Array(frame.prefix(cut))) } }
    }

    @Test(
        "the level is the lowest that holds the size",
        arguments: [
            (176, 144, 11), (320, 180, 20), (640, 360, 30), (1280, 720, 40), (1920, 1080, 41), (3840, 2160, 51),
            (16_000, 9000, 62),
        ])
    func levels(width: Int, height: Int, level: Int) {
        let format = VP9Format(
            profile: 0, bitDepth: 8, halvesColumns: true, halvesRows: true, isFullRange: false, width: width, height: height)
        #expect(format.level == level)
    }
}

@Suite("VP8 over RTP (RFC 7741)", .offThePool)
struct VP8DepacketizerTests {
    private static let key: [UInt8] = [0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x40, 0x41, 0xB4, 0x00, 7]

    @Test(
        "a key frame tells its size without the scaling bits, whatever the descriptor holds",
        arguments: [
            [0x10], [0x90, 0x80, 0x11], [0x90, 0x80, 0x91, 0x22], [0x90, 0xF0, 0x91, 0x22, 0x33, 0x44], [0x90, 0x10, 0x20],
        ] as [[UInt8]])
    func descriptors(header: [UInt8]) {
        var depacketizer = VP8Depacketizer()
        var units: [AccessUnit] = []
        depacketizer.push(header + Self.key.prefix(5), timestamp: 5, marker: false, afterLoss: false, into: &units)
        depacketizer.push(
            [header[0] & 0xEF] + header.dropFirst() + Self.key.dropFirst(5), timestamp: 5, marker: true, afterLoss: false,
            into: &units)
        #expect(units.map(\.data) == [Self.key] && units.first?.isSync == true)
        #expect(units.first?.format?.pictureSize?.width == 320 && units.first?.format?.pictureSize?.height == 180)
        for cut in 0...header.count { #expect(VP8Descriptor(Array(header.prefix(cut))) == nil) }
    }

    @Test(
        "a frame without its beginning, or a key frame without its start code, is dropped",
        arguments: [
            [0x00] + key, [0x10] + [0x10, 0, 0, 1, 2, 3, 0, 1, 0, 1], [0x10, 0x10],
        ] as [[UInt8]])
    func malformed(payload: [UInt8]) {
        var depacketizer = VP8Depacketizer()
        var units: [AccessUnit] = []
        depacketizer.push(payload, timestamp: 0, marker: true, afterLoss: false, into: &units)
        #expect(units.isEmpty && depacketizer.needsKeyframe && depacketizer.droppedUnits == 1)
    }
}
