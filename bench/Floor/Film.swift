import Glibc
import SDP
import SampleMedia

/// The packets of a film, cut as `edge-bench publish` cuts them, so that both servers send the same.
final class Film: Sendable {
    struct Packet {
        /// In the film's memory.
        let start: Int
        let count: Int
        let isLast: Bool
    }

    /// Packets that go out as one message: equal sizes, only the last may be shorter.
    struct Run {
        let packets: Range<Int>
    }

    /// A picture or a frame of sound.
    struct Frame {
        let track: Int
        let dueNs: UInt64
        let timestamp: UInt32
        let runs: Range<Int>
        /// Where its delay stamp goes, if it has one.
        let stamp: Int?
    }

    let tracks: [SourceTrack]
    let frames: [Frame]
    let packets: [Packet]
    let runs: [Run]
    /// Payloads, one after the other; delay stamps are written in.
    // why: after init only the sender's thread touches it.
    nonisolated(unsafe) let payloads: UnsafeMutableRawPointer  // why: see the line above
    let durationNs: UInt64

    enum Failure: Error { case empty }

    /// Reads a whole file.
    static func read(_ input: String) async throws -> Film {
        let (tracks, feed) = try await MediaReader.start(input, loops: false).get()
        var samples: [MediaSample] = []
        while !feed.isDrained {
            if let sample = feed.pop() { samples.append(sample) } else { usleep(1000) }
        }
        return try Film(tracks.map { SourceTrack(kind: $0.kind, codec: $0.codec) }, samples)
    }

    private init(_ tracks: [SourceTrack], _ samples: [MediaSample]) throws {
        guard let first = samples.first, let last = samples.last else { throw Failure.empty }
        self.tracks = tracks
        var bytes: [UInt8] = []
        var frames: [Frame] = []
        var packets: [Packet] = []
        var runs: [Run] = []
        var pictures = 0
        for sample in samples {
            let isVideo = tracks[sample.track].kind == .video
            if isVideo { pictures += 1 }
            let isStamped = isVideo && pictures.isMultiple(of: DelayStamp.interval)
            let payloads = Self.payloads(sample, isVideo: isVideo, isStamped: isStamped)
            let firstRun = runs.count
            var stamp: Int?
            for (place, payload) in payloads.enumerated() {
                if isStamped, let offset = payload.withUnsafeBytes({ DelayStamp.offset(in: $0) }) { stamp = bytes.count + offset }
                packets.append(Packet(start: bytes.count, count: payload.count, isLast: isVideo && place == payloads.count - 1))
                bytes += payload
                Self.place(packets, into: &runs, from: firstRun)
            }
            frames.append(
                Frame(
                    track: sample.track, dueNs: UInt64(max(0, sample.timeUs - first.timeUs)) * 1000,
                    timestamp: UInt32(truncatingIfNeeded: sample.ticks), runs: firstRun..<runs.count, stamp: stamp))
        }
        (self.frames, self.packets, self.runs) = (frames, packets, runs)
        durationNs = UInt64(max(0, last.timeUs - first.timeUs)) * 1000 + 33_333_333
        payloads = .allocate(byteCount: bytes.count, alignment: 64)
        bytes.withUnsafeBytes { payloads.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(payloads), byteCount: bytes.count) }
    }

    deinit { payloads.deallocate() }

    private static func payloads(_ sample: MediaSample, isVideo: Bool, isStamped: Bool) -> [[UInt8]] {
        guard isVideo else { return sample.units }
        return H264Packetizer.payloads(
            isStamped ? DelayStamp.stamped(sample.units) : sample.units, limit: H264Packetizer.payloadLimit)
    }

    /// Adds the last packet to the frame's last run, or begins another.
    private static func place(_ packets: [Packet], into runs: inout [Run], from firstRun: Int) {
        let index = packets.count - 1
        if runs.count > firstRun, let run = runs.last {
            let size = packets[run.packets.lowerBound].count
            if packets[index - 1].count == size, packets[index].count <= size, run.packets.count < 48 {
                runs[runs.count - 1] = Run(packets: run.packets.lowerBound..<index + 1)
                return
            }
        }
        runs.append(Run(packets: index..<index + 1))
    }
}
