import Foundation

/// A program that did not do what a test needs of it.
package struct ToolError: Error, CustomStringConvertible {
    package let description: String
}

/// Runs ffmpeg and ffprobe, which the tests' set-up installs.
package enum Tool {
    /// Standard output of a program found on PATH; throws what it wrote to standard error when it fails.
    package static func run(_ program: String, _ arguments: [String], input: Data? = nil) throws -> Data {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        let directory = try TemporaryDirectory()
        let outputFile = directory.url.appendingPathComponent("out")
        let errorFile = directory.url.appendingPathComponent("err")
        for file in [outputFile, errorFile] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
        process.standardOutput = try FileHandle(forWritingTo: outputFile)
        process.standardError = try FileHandle(forWritingTo: errorFile)
        process.standardInput = FileHandle.nullDevice
        if let input {
            let inputFile = directory.url.appendingPathComponent("in")
            try input.write(to: inputFile)
            process.standardInput = try FileHandle(forReadingFrom: inputFile)
        }
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let text = String(decoding: (try? Data(contentsOf: errorFile)) ?? Data(), as: UTF8.self)
            throw ToolError(description: "\(program) \(arguments.joined(separator: " ")): \(text)")
        }
        return try Data(contentsOf: outputFile)
    }
}

/// A directory of its own, gone with the value.
package final class TemporaryDirectory: Sendable {
    package let url: URL
    package var path: String { url.path }

    package init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("tributary-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }
}

/// What ffprobe says of one track.
package struct Probe: Sendable {
    package struct Packet: Sendable {
        package let pts: Int64
        package let dts: Int64
        package let duration: Int64
        package let size: Int
        package let isKey: Bool
    }

    package let codec: String
    package let profile: String
    package let width: Int
    package let height: Int
    package let timeBase: String
    package let packets: [Packet]

    /// Presentation times as they stand in the file: FFmpeg shows all pictures of a track later by its most negative composition offset.
    package var presentationTimes: [Int64] {
        let shift = packets.first.map { $0.pts - $0.dts } ?? 0
        return packets.map { $0.pts - shift }
    }

    /// Probes initialization and media segments, joined.
    package init(_ bytes: [UInt8]) throws {
        let directory = try TemporaryDirectory()
        let file = directory.url.appendingPathComponent("track.mp4")
        try Data(bytes).write(to: file)
        let json = try Tool.run(
            "ffprobe", ["-v", "error", "-of", "json", "-show_streams", "-show_packets", file.path])
        guard let root = try JSONSerialization.jsonObject(with: json) as? [String: Any],
            let stream = (root["streams"] as? [[String: Any]])?.first, let list = root["packets"] as? [[String: Any]]
        else { throw ToolError(description: "ffprobe: no stream") }
        codec = stream["codec_name"] as? String ?? ""
        profile = stream["profile"] as? String ?? ""
        width = stream["width"] as? Int ?? 0
        height = stream["height"] as? Int ?? 0
        timeBase = stream["time_base"] as? String ?? ""
        packets = list.map { packet in
            Packet(
                pts: (packet["pts"] as? NSNumber)?.int64Value ?? .min, dts: (packet["dts"] as? NSNumber)?.int64Value ?? .min,
                duration: (packet["duration"] as? NSNumber)?.int64Value ?? 0,
                size: Int(packet["size"] as? String ?? "") ?? 0,
                isKey: (packet["flags"] as? String ?? "").hasPrefix("K"))
        }
    }

    /// What the decoder complains about; empty when all is well.
    package static func decodeErrors(_ bytes: [UInt8]) throws -> String {
        let directory = try TemporaryDirectory()
        let file = directory.url.appendingPathComponent("track.mp4")
        try Data(bytes).write(to: file)
        let out = try Tool.run(
            "sh", ["-c", "ffmpeg -v error -i \"$1\" -fps_mode passthrough -enc_time_base -1 -f null - 2>&1", "sh", file.path])
        return String(decoding: out, as: UTF8.self)
    }

    /// How many pictures come out of the decoder.
    package static func decodedPictures(_ bytes: [UInt8]) throws -> Int {
        let directory = try TemporaryDirectory()
        let file = directory.url.appendingPathComponent("track.mp4")
        try Data(bytes).write(to: file)
        let out = try Tool.run(
            "ffprobe",
            [
                "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames", "-of",
                "csv=p=0", file.path,
            ])
        return Int(String(decoding: out, as: UTF8.self).prefix { $0.isNumber }) ?? -1
    }
}
