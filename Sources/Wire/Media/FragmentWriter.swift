import CAVFormat

/// Why a fragment could not be made.
public enum FragmentWriterError: Error, Equatable, Sendable {
    /// libavformat refused; `code` is its AVERROR.
    case libavformat(call: String, code: Int32)
    /// A sample does not continue the one before it, or has no length.
    case discontinuous(expected: Int64, got: Int64)
    /// The format cannot be written.
    case unsupported
}

/// Writes one track as CMAF (ISO/IEC 23000-19) into memory: an initialization segment, then fragments of one `moof` and one `mdat`.
///
/// libavformat's mov muxer writes the boxes, this class feeds it so that time is exact: a sample's decoding time must be
/// the sum of all durations before it, so `tfdt` always continues. Not thread-safe; belongs to the thread that feeds it.
public final class FragmentWriter: SampleWriter {
    /// `ftyp` and `moov`.
    public let initSegment: [UInt8]
    /// What is written.
    public let format: TrackFormat

    private let context: UnsafeMutablePointer<AVFormatContext>
    private let sink: MemorySink
    private var packet: UnsafeMutablePointer<AVPacket>?
    private var nextTime: Int64?
    private var pendingSamples = 0
    /// When the open fragment's first sample is decoded.
    private var fragmentTime: Int64 = 0
    /// Added to all presentation times. libavformat takes no picture that is shown before it is decoded, and counts composition
    /// offsets from the first one's (`negative_cts_offsets`), so this vanishes again.
    private let presentationLead: Int64

    /// `styp` of a CMAF segment that follows the live profile of ISO/IEC 23009-1.
    public static let segmentType: [UInt8] =
        [0, 0, 0, 24] + Array("styp".utf8) + Array("msdh".utf8) + [0, 0, 0, 0] + Array("msdh".utf8) + Array("cmfs".utf8)

    /// Throws `unsupported` or what libavformat says.
    public init(format: TrackFormat) throws(FragmentWriterError) {
        self.format = format
        presentationLead = format.reorderedSamplesMax == 0 ? 0 : Int64(format.timescale) * 60
        Self.silenceLibrary
        sink = MemorySink()
        var made: UnsafeMutablePointer<AVFormatContext>?
        let code = avformat_alloc_output_context2(&made, nil, "mp4", nil)
        guard code >= 0, let made else { throw .libavformat(call: "avformat_alloc_output_context2", code: code) }
        context = made
        packet = av_packet_alloc()
        do throws(FragmentWriterError) {
            try sink.attach(to: made)
            try Self.addStream(to: made, format: format)
            try Self.writeHeader(made)
        } catch {
            Self.release(made, sink, &packet)
            throw error
        }
        avio_flush(made.pointee.pb)
        initSegment = sink.take()
        // From here on `mdat` comes in one piece, not by way of the buffer, in which only the sizes of `moov`'s boxes were filled in.
        made.pointee.pb.pointee.direct = 1
    }

    deinit {
        Self.release(context, sink, &packet)
    }

    /// Adds a sample to the open fragment.
    ///
    /// The first one's composition offset must be 0, and all of them where the format says that samples are shown as they are decoded.
    ///
    /// Throws `discontinuous` when it does not start where the one before it ended, `unsupported` for other offsets.
    public func append(_ sample: Sample) throws(FragmentWriterError) {
        let expected = nextTime ?? sample.time
        guard sample.time == expected, sample.duration > 0, sample.time >= 0 else {
            throw .discontinuous(expected: expected, got: sample.time)
        }
        let mayReorder = presentationLead > 0 && nextTime != nil
        guard let packet, sample.compositionOffset == 0 || mayReorder, abs(sample.compositionOffset) <= presentationLead else {
            throw .unsupported
        }
        packet.pointee.pts = sample.time + sample.compositionOffset + presentationLead
        packet.pointee.dts = sample.time
        packet.pointee.duration = sample.duration
        packet.pointee.stream_index = 0
        packet.pointee.flags = sample.isSync ? AV_PKT_FLAG_KEY : 0
        let context = context
        // The muxer copies what it is lent before the call returns, and does not change it.
        let code = sample.data.withUnsafeBytes { bytes in
            packet.pointee.data = UnsafeMutablePointer(mutating: bytes.bindMemory(to: UInt8.self).baseAddress)
            packet.pointee.size = Int32(clamping: bytes.count)
            return av_write_frame(context, packet)
        }
        packet.pointee.data = nil
        packet.pointee.size = 0
        guard code >= 0 else { throw .libavformat(call: "av_write_frame", code: code) }
        nextTime = sample.time + sample.duration
        if pendingSamples == 0 { fragmentTime = sample.time }
        pendingSamples += 1
    }

    /// Ends the open fragment and returns it, `moof` and `mdat`, behind `styp` when it begins a segment; empty when no sample is in it.
    public func flush(beginsSegment: Bool = false) throws(FragmentWriterError) -> [UInt8] {
        guard pendingSamples > 0 else { return [] }
        sink.begin(with: beginsSegment ? Self.segmentType : [])
        let code = av_write_frame(context, nil)
        guard code >= 0 else { throw .libavformat(call: "av_write_frame", code: code) }
        avio_flush(context.pointee.pb)
        pendingSamples = 0
        var bytes = sink.take()
        Self.setTime(fragmentTime, in: &bytes)
        return bytes
    }

    /// libavformat writes when the first sample is shown, where `tfdt` says when it is decoded (ISO/IEC 14496-12 8.8.12).
    private static func setTime(_ time: Int64, in fragment: inout [UInt8]) {
        var position = 0
        while let box = Box(fragment, at: position, end: fragment.count), box.type != "mdat" {
            position = box.end
            guard box.type == "moof", let tfdt = box.child("traf", fragment)?.child("tfdt", fragment), fragment[tfdt.body] == 1,
                tfdt.end - tfdt.body == 12
            else { continue }
            for byte in 0..<8 { fragment[tfdt.body + 4 + byte] = UInt8(truncatingIfNeeded: time >> Int64(56 - 8 * byte)) }
        }
    }

    // MARK: Set-up

    /// The library writes to standard error by itself, past our log; its errors come as codes anyway.
    private static let silenceLibrary: Void = av_log_set_level(AV_LOG_QUIET)

    private static func addStream(
        to context: UnsafeMutablePointer<AVFormatContext>, format: TrackFormat
    ) throws(FragmentWriterError) {
        guard let stream = avformat_new_stream(context, nil), let parameters = stream.pointee.codecpar else {
            throw .libavformat(call: "avformat_new_stream", code: -ENOMEM)
        }
        stream.pointee.time_base = AVRational(num: 1, den: Int32(format.timescale))
        if let size = format.pictureSize {
            parameters.pointee.codec_type = AVMEDIA_TYPE_VIDEO
            parameters.pointee.width = Int32(clamping: size.width)
            parameters.pointee.height = Int32(clamping: size.height)
        }
        try setExtradata(try describe(format, in: parameters), of: parameters)
    }

    /// Sets what is special to the codec, and returns its configuration record.
    private static func describe(
        _ format: TrackFormat, in parameters: UnsafeMutablePointer<AVCodecParameters>
    ) throws(FragmentWriterError) -> [UInt8] {
        switch format {
        case .h264(let video):
            parameters.pointee.codec_id = AV_CODEC_ID_H264
            parameters.pointee.profile = Int32(video.first.profile)
            parameters.pointee.level = Int32(video.first.level)
            return video.decoderConfiguration
        case .h265(let video):
            parameters.pointee.codec_id = AV_CODEC_ID_HEVC
            // 'hvc1': the sets are out of band only, without which Apple's players do not play.
            parameters.pointee.codec_tag = 0x3163_7668
            return video.decoderConfiguration
        case .vp9(let video):
            parameters.pointee.codec_id = AV_CODEC_ID_VP9
            parameters.pointee.profile = Int32(video.profile)
            parameters.pointee.level = Int32(video.level)
            parameters.pointee.format = video.pixelFormat.rawValue
            parameters.pointee.color_range = video.isFullRange ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG
            return []
        case .av1(let video):
            parameters.pointee.codec_id = AV_CODEC_ID_AV1
            return video.decoderConfiguration
        case .vp8:
            throw .unsupported
        case .opus(let channels):
            guard (1...2).contains(channels) else { throw .unsupported }
            parameters.pointee.codec_type = AVMEDIA_TYPE_AUDIO
            parameters.pointee.codec_id = AV_CODEC_ID_OPUS
            parameters.pointee.sample_rate = 48_000
            // Only tells the muxer that samples are packets; each has its own duration.
            parameters.pointee.frame_size = 960
            av_channel_layout_default(&parameters.pointee.ch_layout, Int32(channels))
            return opusHead(channels: channels)
        case .aac(let config, let timescale):
            parameters.pointee.codec_type = AVMEDIA_TYPE_AUDIO
            parameters.pointee.codec_id = AV_CODEC_ID_AAC
            // The muxer makes it the timescale.
            parameters.pointee.sample_rate = Int32(clamping: timescale)
            parameters.pointee.frame_size = Int32(clamping: config.frameLength * timescale / config.sampleRate)
            av_channel_layout_default(&parameters.pointee.ch_layout, Int32(config.channels))
            return config.bytes
        }
    }

    private static func setExtradata(
        _ bytes: [UInt8], of parameters: UnsafeMutablePointer<AVCodecParameters>
    ) throws(FragmentWriterError) {
        guard !bytes.isEmpty else { return }
        guard let memory = av_mallocz(bytes.count + Int(AV_INPUT_BUFFER_PADDING_SIZE)) else {
            throw .libavformat(call: "av_mallocz", code: -ENOMEM)
        }
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        parameters.pointee.extradata = memory.assumingMemoryBound(to: UInt8.self)
        parameters.pointee.extradata_size = Int32(bytes.count)
    }

    /// The identification header of RFC 7845 5.1, from which the muxer makes `dOps`.
    ///
    /// The pre-skip is libopus' look-ahead and only informs: there is no edit list, so nobody trims and sound stays on its timestamps
    /// (Opus in ISOBMFF 4.3.2).
    static func opusHead(channels: Int) -> [UInt8] {
        Array("OpusHead".utf8) + [1, UInt8(channels), 0x38, 0x01, 0x80, 0xBB, 0, 0, 0, 0, 0]
    }

    private static func writeHeader(_ context: UnsafeMutablePointer<AVFormatContext>) throws(FragmentWriterError) {
        context.pointee.flags |= AVFMT_FLAG_BITEXACT
        context.pointee.avoid_negative_ts = 0
        var options: OpaquePointer?
        // cmaf: fragments without an edit list and with default-base-is-moof; frag_discont: the first tfdt is the first sample's time.
        av_dict_set(&options, "movflags", "+cmaf+frag_custom+frag_discont+skip_trailer", 0)
        av_dict_set(&options, "brand", "iso6", 0)
        let code = avformat_write_header(context, &options)
        av_dict_free(&options)
        guard code >= 0 else { throw .libavformat(call: "avformat_write_header", code: code) }
    }

    private static func release(
        _ context: UnsafeMutablePointer<AVFormatContext>, _ sink: MemorySink, _ packet: inout UnsafeMutablePointer<AVPacket>?
    ) {
        av_packet_free(&packet)
        sink.detach(from: context)
        avformat_free_context(context)
    }
}

/// Where libavformat's output goes: a growing array.
private final class MemorySink {
    private var bytes: [UInt8] = []

    func take() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    func begin(with prefix: [UInt8]) {
        bytes += prefix
    }

    fileprivate func append(_ data: UnsafeBufferPointer<UInt8>) {
        bytes.append(contentsOf: data)
    }

    func attach(to context: UnsafeMutablePointer<AVFormatContext>) throws(FragmentWriterError) {
        let size: Int32 = 1 << 16
        guard let buffer = av_malloc(Int(size)) else { throw .libavformat(call: "av_malloc", code: -ENOMEM) }
        let opaque = Unmanaged.passUnretained(self).toOpaque()
        guard
            let stream = avio_alloc_context(
                buffer.assumingMemoryBound(to: UInt8.self), size, 1, opaque, nil, writeToSink, nil)
        else {
            av_free(buffer)
            throw .libavformat(call: "avio_alloc_context", code: -ENOMEM)
        }
        stream.pointee.seekable = 0
        context.pointee.pb = stream
        context.pointee.flags |= AVFMT_FLAG_CUSTOM_IO
    }

    func detach(from context: UnsafeMutablePointer<AVFormatContext>) {
        guard context.pointee.pb != nil else { return }
        av_freep(&context.pointee.pb.pointee.buffer)
        avio_context_free(&context.pointee.pb)
    }
}

/// avio's write callback; a file-scope function because C calls it.
private func writeToSink(
    _ opaque: UnsafeMutableRawPointer?, _ data: UnsafeMutablePointer<UInt8>?, _ count: Int32
) -> Int32 {
    guard let opaque, let data, count >= 0 else { return -EINVAL }
    Unmanaged<MemorySink>.fromOpaque(opaque).takeUnretainedValue()
        .append(UnsafeBufferPointer(start: data, count: Int(count)))
    return count
}

extension VP9Format {
    /// From which the muxer makes `vpcC`.
    fileprivate var pixelFormat: AVPixelFormat {
        switch (halvesColumns, halvesRows, bitDepth) {
        case (true, true, 8): AV_PIX_FMT_YUV420P
        case (true, true, 10): AV_PIX_FMT_YUV420P10LE
        case (true, true, _): AV_PIX_FMT_YUV420P12LE
        case (true, false, 8): AV_PIX_FMT_YUV422P
        case (true, false, 10): AV_PIX_FMT_YUV422P10LE
        case (true, false, _): AV_PIX_FMT_YUV422P12LE
        case (false, true, _): AV_PIX_FMT_YUV440P
        case (false, false, 8): AV_PIX_FMT_YUV444P
        case (false, false, 10): AV_PIX_FMT_YUV444P10LE
        case (false, false, _): AV_PIX_FMT_YUV444P12LE
        }
    }
}
