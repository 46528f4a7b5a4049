import CAVFormat
import Glibc
import SDP

/// Why an input cannot be published.
package enum MediaReaderError: Error, CustomStringConvertible {
    case cannotOpen(String, String)
    case noTracks

    package var description: String {
        switch self {
        case .cannotOpen(let input, let reason): "cannot open \(input): \(reason)"
        case .noTracks: "the input has neither an H.264 nor an Opus track"
        }
    }
}

/// Demultiplexes H.264 and Opus with libavformat. Lives on one thread, where opening and reading may block.
package final class MediaReader {
    private struct Source {
        let stream: Int32
        let track: Int
        let timeBase: AVRational
        let clock: Int32
        /// Bytes of a NAL unit's length, 0 for start codes.
        let lengthBytes: Int
        let parameterSets: [[UInt8]]
        let frameTicks: Int64
        var nextTicks: Int64 = 0
    }

    private var context: UnsafeMutablePointer<AVFormatContext>?
    private var sources: [Source] = []
    package private(set) var tracks: [MediaTrack] = []
    /// Added to all times: the length of the rounds already played.
    private var offsetUs: Int64 = 0
    private var endUs: Int64 = 0
    private var startUs: Int64?

    private static let noTime = Int64.min

    package init(_ input: String) throws(MediaReaderError) {
        av_log_set_level(AV_LOG_ERROR)
        let result = avformat_open_input(&context, input == "-" ? "pipe:0" : input, nil, nil)
        guard result >= 0, let context else { throw .cannotOpen(input, Self.text(result)) }
        let probed = avformat_find_stream_info(context, nil)
        guard probed >= 0 else { throw .cannotOpen(input, Self.text(probed)) }
        add(AVMEDIA_TYPE_VIDEO, AV_CODEC_ID_H264)
        add(AVMEDIA_TYPE_AUDIO, AV_CODEC_ID_OPUS)
        guard !sources.isEmpty else { throw .noTracks }
    }

    deinit { avformat_close_input(&context) }

    private static func text(_ code: Int32) -> String {
        var bytes = [CChar](repeating: 0, count: 128)
        av_strerror(code, &bytes, bytes.count)
        return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func add(_ type: AVMediaType, _ codec: AVCodecID) {
        let index = av_find_best_stream(context, type, -1, -1, nil, 0)
        guard index >= 0, let stream = context?.pointee.streams[Int(index)], let parameters = stream.pointee.codecpar,
            parameters.pointee.codec_id == codec
        else { return }
        let isVideo = type == AVMEDIA_TYPE_VIDEO
        let extra = Array(UnsafeBufferPointer(start: parameters.pointee.extradata, count: Int(parameters.pointee.extradata_size)))
        let avcc = isVideo ? H264Input.configuration(extra) : nil
        let sets = isVideo ? avcc?.sets ?? H264Input.split(extra[...]) : []
        let rate = stream.pointee.avg_frame_rate
        sources.append(
            Source(
                stream: index, track: tracks.count, timeBase: stream.pointee.time_base, clock: isVideo ? 90_000 : 48_000,
                lengthBytes: avcc?.lengthBytes ?? 0, parameterSets: sets,
                frameTicks: isVideo && rate.num > 0 ? 90_000 * Int64(rate.den) / Int64(rate.num) : 960))
        tracks.append(
            isVideo
                ? MediaTrack(kind: .video, codec: H264Input.codec(sets)) : MediaTrack(kind: .audio, codec: .opus))
    }

    /// Reads to the end, or for ever when `loops`; waits while the feed is full.
    package func read(into feed: SampleFeed, loops: Bool) {
        defer { feed.finish() }
        guard let packet = av_packet_alloc() else { return }
        var free: UnsafeMutablePointer<AVPacket>? = packet
        defer { av_packet_free(&free) }
        var count = 0
        while !feed.isStopped {
            if av_read_frame(context, packet) < 0 {
                guard loops, count > 0, rewind() else { return }
                count = 0
                continue
            }
            count += 1
            let sample = sample(packet)
            av_packet_unref(packet)
            guard let sample else { continue }
            while !feed.push(sample) {
                if feed.isStopped { return }
                usleep(5000)
            }
        }
    }

    private func rewind() -> Bool {
        offsetUs += endUs - (startUs ?? 0)
        for index in sources.indices { sources[index].nextTicks = 0 }
        return av_seek_frame(context, -1, startUs ?? 0, AVSEEK_FLAG_BACKWARD) >= 0
    }

    private func sample(_ packet: UnsafeMutablePointer<AVPacket>) -> MediaSample? {
        guard let index = sources.firstIndex(where: { $0.stream == packet.pointee.stream_index }),
            let data = packet.pointee.data
        else { return nil }
        let source = sources[index]
        let clock = AVRational(num: 1, den: source.clock)
        let micro = AVRational(num: 1, den: 1_000_000)
        let decode = packet.pointee.dts != Self.noTime ? packet.pointee.dts : packet.pointee.pts
        let present = packet.pointee.pts != Self.noTime ? packet.pointee.pts : decode
        let decodeTicks = decode == Self.noTime ? source.nextTicks : av_rescale_q(decode, source.timeBase, clock)
        let presentTicks = present == Self.noTime ? decodeTicks : av_rescale_q(present, source.timeBase, clock)
        let duration =
            packet.pointee.duration > 0 ? av_rescale_q(packet.pointee.duration, source.timeBase, clock) : source.frameTicks
        sources[index].nextTicks = decodeTicks + duration
        let timeUs = av_rescale_q(decodeTicks, clock, micro)
        startUs = min(startUs ?? timeUs, timeUs)
        endUs = max(endUs, av_rescale_q(decodeTicks + duration, clock, micro))
        let bytes = Array(UnsafeBufferPointer(start: data, count: Int(packet.pointee.size)))
        let isVideo = tracks[source.track].kind == .video
        let units =
            isVideo ? H264Input.units(bytes, lengthBytes: source.lengthBytes, parameterSets: source.parameterSets) : [bytes]
        guard !units.isEmpty else { return nil }
        return MediaSample(
            track: source.track, timeUs: timeUs + offsetUs, ticks: presentTicks + av_rescale_q(offsetUs, micro, clock),
            isKey: !isVideo || units.contains { $0.first.map { $0 & 0x1F == 5 } ?? false }, units: units)
    }
}

extension MediaReader {
    /// Opens `input` on a thread of its own, which goes on reading into the feed it returns.
    package static func start(_ input: String, loops: Bool) async -> Result<
        (tracks: [MediaTrack], feed: SampleFeed), MediaReaderError
    > {
        await withCheckedContinuation { continuation in
            let isStarted = BlockingThread.start {
                do throws(MediaReaderError) {
                    let reader = try MediaReader(input)
                    let feed = SampleFeed()
                    continuation.resume(returning: .success((reader.tracks, feed)))
                    reader.read(into: feed, loops: loops)
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
            if !isStarted { continuation.resume(returning: .failure(.cannotOpen(input, "no thread"))) }
        }
    }
}
