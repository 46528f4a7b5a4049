import CAVFormat

/// Makes `ftyp` and `moov` of a track through libavformat, which knows every codec's sample entry.
enum InitializationSegment {
    /// Throws `unsupported` or what libavformat says.
    static func bytes(_ format: TrackFormat) throws(FragmentWriterError) -> [UInt8] {
        silenceLibrary
        let sink = MemorySink()
        var made: UnsafeMutablePointer<AVFormatContext>?
        let code = avformat_alloc_output_context2(&made, nil, "mp4", nil)
        guard code >= 0, let made else { throw .libavformat(call: "avformat_alloc_output_context2", code: code) }
        defer {
            sink.detach(from: made)
            avformat_free_context(made)
        }
        try sink.attach(to: made)
        try addStream(to: made, format: format)
        try writeHeader(made)
        avio_flush(made.pointee.pb)
        return sink.bytes
    }

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
            describeOpus(channels: channels, in: parameters)
            return opusHead(channels: channels)
        case .multiopus(let layout):
            describeOpus(channels: layout.channels, in: parameters)
            return opusHead(layout)
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

    private static func describeOpus(channels: Int, in parameters: UnsafeMutablePointer<AVCodecParameters>) {
        parameters.pointee.codec_type = AVMEDIA_TYPE_AUDIO
        parameters.pointee.codec_id = AV_CODEC_ID_OPUS
        parameters.pointee.sample_rate = 48_000
        // Only tells the muxer that samples are packets; each has its own duration.
        parameters.pointee.frame_size = 960
        av_channel_layout_default(&parameters.pointee.ch_layout, Int32(channels))
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
    static func opusHead(channels: Int, family: UInt8 = 0) -> [UInt8] {
        Array("OpusHead".utf8) + [1, UInt8(channels), 0x38, 0x01, 0x80, 0xBB, 0, 0, 0, 0, family]
    }

    /// The same with the table of channel mapping family 1 (RFC 7845 5.1.1).
    static func opusHead(_ layout: OpusLayout) -> [UInt8] {
        opusHead(channels: layout.channels, family: 1) + [UInt8(layout.streams), UInt8(layout.coupled)] + layout.mapping
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
}

/// Where libavformat's output goes: a growing array.
private final class MemorySink {
    private(set) var bytes: [UInt8] = []

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
