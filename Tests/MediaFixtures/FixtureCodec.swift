import Foundation
import Media

/// A video codec as tests encode and packetise it.
package enum FixtureCodec: String, Sendable, CaseIterable {
    case h264, h265, vp8, vp9, av1

    /// What puts its pictures together again.
    package var depacketizer: any Depacketizer {
        switch self {
        case .h264: H264Depacketizer()
        case .h265: H265Depacketizer()
        case .vp8: VP8Depacketizer()
        case .vp9: VP9Depacketizer()
        case .av1: AV1Depacketizer()
        }
    }

    /// Payloads of one picture: NAL units for H.264 and H.265, else the one frame as the encoder's container held it.
    func payloads(_ picture: [[UInt8]], max: Int, unit: Int) -> [[UInt8]] {
        switch self {
        case .h264: []
        case .h265: Self.h265(picture, max: max)
        case .vp8: Self.pieces(picture[0], max: max) { isFirst, _ in [isFirst ? 0x90 : 0x80, 0x80] + Self.pictureID(unit) }
        case .vp9:
            Self.pieces(picture[0], max: max) { isFirst, isLast in
                let isKeyframe = picture[0][0] & 0x04 == 0
                return [0x80 | (isKeyframe ? 0 : 0x40) | (isFirst ? 8 : 0) | (isLast ? 4 : 0)] + Self.pictureID(unit)
            }
        case .av1: Self.av1(picture[0], max: max)
        }
    }

    private static func pictureID(_ unit: Int) -> [UInt8] {
        [0x80 | UInt8(unit >> 8 & 0x7F), UInt8(unit & 0xFF)]
    }

    private static func pieces(_ frame: [UInt8], max: Int, _ header: (_ isFirst: Bool, _ isLast: Bool) -> [UInt8]) -> [[UInt8]] {
        stride(from: 0, to: frame.count, by: max).map { start in
            let end = Swift.min(frame.count, start + max)
            return header(start == 0, end == frame.count) + frame[start..<end]
        }
    }

    /// RFC 7798: parameter sets in an aggregation packet, large units in fragments.
    private static func h265(_ nals: [[UInt8]], max: Int) -> [[UInt8]] {
        let sets = nals.filter { (32...34).contains($0[0] >> 1) }
        var payloads: [[UInt8]] = []
        if sets.count > 1, sets.map(\.count).reduce(0, +) + 8 < max {
            payloads.append([0x60, 1] + sets.flatMap { [UInt8($0.count >> 8), UInt8($0.count & 0xFF)] + $0 })
        } else {
            payloads += sets
        }
        for nal in nals where !(32...34).contains(nal[0] >> 1) {
            guard nal.count > max + 2 else {
                payloads.append(nal)
                continue
            }
            for start in stride(from: 2, to: nal.count, by: max) {
                let end = Swift.min(nal.count, start + max)
                let bits: UInt8 = (start == 2 ? 0x80 : 0) | (end == nal.count ? 0x40 : 0)
                payloads.append([nal[0] & 0x81 | 49 << 1, nal[1], bits | nal[0] >> 1] + nal[start..<end])
            }
        }
        return payloads
    }

    /// Temporal delimiters left out, sizes taken off, everything in one stream of elements that is cut where a packet is full.
    private static func av1(_ temporalUnit: [UInt8], max: Int) -> [[UInt8]] {
        let elements = obus(temporalUnit).filter { $0[0] >> 3 & 15 != 2 }
        let isStart = elements.contains { $0[0] >> 3 & 15 == 1 }
        var packets: [[UInt8]] = []
        var open: (parts: [[UInt8]], continues: Bool) = ([], false)
        func close(isContinued: Bool) {
            guard !open.parts.isEmpty else { return }
            // Up to three elements are counted in W; more have a length each.
            let count = open.parts.count <= 3 ? open.parts.count : 0
            let head: UInt8 =
                (open.continues ? 0x80 : 0) | (isContinued ? 0x40 : 0) | UInt8(count) << 4 | (packets.isEmpty && isStart ? 8 : 0)
            packets.append(
                [head]
                    + open.parts.enumerated().flatMap { index, part in
                        (count == 0 || index < count - 1 ? leb128(part.count) : []) + part
                    })
            open = ([], isContinued)
        }
        for element in elements {
            var rest = element[...]
            while !rest.isEmpty {
                let room = max - open.parts.map(\.count).reduce(0, +)
                let part = rest.prefix(Swift.max(1, room))
                open.parts.append(Array(part))
                rest = rest.dropFirst(part.count)
                if !rest.isEmpty { close(isContinued: true) }
            }
        }
        close(isContinued: false)
        return packets
    }

    package static func leb128(_ value: Int) -> [UInt8] {
        value < 128 ? [UInt8(value)] : [UInt8(value & 127) | 128] + leb128(value >> 7)
    }

    /// The units of a low-overhead bitstream, without their sizes.
    package static func obus(_ bytes: [UInt8]) -> [[UInt8]] {
        var list: [[UInt8]] = []
        var position = 0
        while position < bytes.count {
            let headerBytes = bytes[position] & 4 != 0 ? 2 : 1
            var body = position + headerBytes
            var size = 0
            var shift = 0
            repeat {
                size |= Int(bytes[body] & 127) << shift
                shift += 7
                body += 1
            } while bytes[body - 1] & 128 != 0
            list.append([bytes[position] & 0xFD] + bytes[position + 1..<position + headerBytes] + bytes[body..<body + size])
            position = body + size
        }
        return list
    }
}

extension SyntheticMedia {
    /// 30 pictures a second in decoding order, without B-frames, a key frame each `gop`.
    package static func pictures(_ codec: FixtureCodec, frames: Int, gop: Int = 60, size: String = "160x90") throws -> [Picture] {
        switch codec {
        case .h264: try h264(frames: frames, gop: gop, size: size)
        case .h265: try reordered(.h265, frames: frames, gop: gop, size: size, bFrames: 0).pictures
        case .vp8: try ivf(frames, gop, size, ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"])
        case .vp9: try ivf(frames, gop, size, ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"])
        case .av1:
            try ivf(frames, gop, size, ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-threads", "1"])
        }
    }

    /// H.264 or H.265 with B-frames in decoding order, and the place of each picture in presentation order.
    package static func reordered(
        _ codec: FixtureCodec, frames: Int, gop: Int = 60, size: String = "160x90", bFrames: Int, more: String = ""
    ) throws -> (pictures: [Picture], order: [Int]) {
        let isH265 = codec == .h265
        let parameters =
            "keyint=\(gop):min-keyint=\(gop):scenecut=0:repeat-headers=1:aud=1:bframes=\(bFrames)\(more)"
            + (isH265 ? ":pools=none:frame-threads=1:log-level=none" + (more.isEmpty ? ":open-gop=0" : "") : ":threads=1")
        let directory = try TemporaryDirectory()
        let file = directory.path + "/reordered.mkv"
        _ = try Tool.run(
            "ffmpeg",
            [
                "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=\(size):rate=30", "-frames:v", "\(frames)", "-pix_fmt",
                "yuv420p",
                "-c:v", isH265 ? "libx265" : "libx264", "-preset", isH265 ? "ultrafast" : "veryfast",
                isH265 ? "-x265-params" : "-x264-params", parameters, file,
            ])
        let times = String(
            decoding: try Tool.run("ffprobe", ["-v", "error", "-show_entries", "packet=pts", "-of", "csv=p=0", file]),
            as: UTF8.self
        ).split(separator: "\n").compactMap { Int($0.prefix { $0 != "," }) }
        let bytes = [UInt8](
            try Tool.run("ffmpeg", ["-v", "error", "-i", file, "-c", "copy", "-f", isH265 ? "hevc" : "h264", "-"]))
        let pictures = isH265 ? split(bytes) { $0[0] >> 1 == 35 } : split(bytes) { $0[0] & 31 == 9 }
        let sorted = times.sorted()
        return (pictures, times.compactMap { time in sorted.firstIndex(of: time) })
    }

    private static func split(_ bytes: [UInt8], atDelimiter isDelimiter: ([UInt8]) -> Bool) -> [Picture] {
        var pictures: [Picture] = []
        for nal in nalUnits(bytes) {
            if isDelimiter(nal) {
                pictures.append([])
            } else if let last = pictures.last, !last.contains(nal) {
                // FFmpeg puts the sets of the container before those that come in band.
                pictures[pictures.count - 1].append(nal)
            }
        }
        return pictures
    }

    private static func ivf(_ frames: Int, _ gop: Int, _ size: String, _ encoder: [String]) throws -> [Picture] {
        let bytes = [UInt8](
            try Tool.run(
                "ffmpeg",
                [
                    "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=\(size):rate=30", "-frames:v", "\(frames)", "-pix_fmt",
                    "yuv420p",
                ]
                    + encoder
                    + ["-lag-in-frames", "0", "-g", "\(gop)", "-keyint_min", "\(gop)", "-b:v", "200k", "-f", "ivf", "-"]))
        var pictures: [Picture] = []
        var position = 32
        while position + 12 <= bytes.count {
            let size = (0..<4).reduce(0) { $0 | Int(bytes[position + $1]) << (8 * $1) }
            pictures.append([Array(bytes[position + 12..<position + 12 + size])])
            position += 12 + size
        }
        return pictures
    }
}
