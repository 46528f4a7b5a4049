import CAVFormat

/// What sound that no recording can hold is turned into.
public enum SoundTarget: String, Sendable, CaseIterable {
    /// Opus in packets of 20 ms.
    case opus
    /// AAC LC at 48 kHz.
    case aac
}

/// Telephone codecs as RTP carries them, one channel each, with an RTP clock of 8000 (RFC 3551 4.5).
public enum TelephoneCodec: Sendable, CaseIterable {
    /// G.711 mu-law.
    case pcmu
    /// G.711 A-law.
    case pcma
    /// G.722 at 64 kbit/s: 16,000 samples a second although its clock says 8000 (RFC 3551 4.5.2).
    case g722
}

/// Turns telephone sound into Opus or AAC. Looks like a depacketiser of the target: payloads in, access units out.
///
/// Timestamps on both sides count 48,000 a second, so those of RTP come multiplied by ``timestampMultiple``. An access unit's
/// timestamp is where a decoder's output of it belongs: the encoder's look-ahead is subtracted, and a resampler's delay does not
/// appear because its output is counted from where its input began. Holes up to ``silenceMax`` become silence inside the encoder;
/// at larger ones, and when time goes back, it starts anew. Not thread-safe: belongs to the thread that feeds it, which must not be a
/// media loop.
public final class AudioTranscoder: Depacketizer, @unchecked Sendable {  // why: handed to a recorder's thread, used there only
    /// What comes out.
    public let format: TrackFormat
    /// Payloads that could not be decoded.
    public private(set) var droppedUnits = 0
    /// Sound can always be decoded from.
    public var needsKeyframe: Bool { false }

    /// What RTP timestamps (clock 8000) are multiplied by.
    public static let timestampMultiple: Int64 = 6
    /// Ticks and samples a second of what comes out.
    public static let rate: Int64 = 48_000
    /// A hole of up to this many ticks is filled with silence: a second.
    public static let silenceMax: Int64 = 48_000

    private let decoder: SoundDecoder
    private let resampler: SoundResampler
    private let target: SoundTarget
    private let bitrate: Int64
    private var encoder: SoundEncoder
    /// Where the next sample belongs; nil before the first.
    private var next: Int64?
    /// Samples that wait until a frame is full.
    private var waiting: [Float] = []

    /// Throws what libavcodec or libswresample say, such as that an encoder is not there.
    public init(_ source: TelephoneCodec, to target: SoundTarget) throws(FragmentWriterError) {
        decoder = try SoundDecoder(source)
        resampler = try SoundResampler(from: decoder.sampleRate)
        self.target = target
        bitrate = source == .g722 ? 48_000 : 32_000
        encoder = try SoundEncoder(target, bitrate: bitrate)
        format = try encoder.format()
    }

    /// Takes the next payload: `timestamp` counts 48,000 a second, and so do those of the units.
    public func push(_ payload: [UInt8], timestamp: Int64, marker: Bool, afterLoss: Bool, into units: inout [AccessUnit]) {
        guard !payload.isEmpty else { return }
        var samples = decoder.decode(payload)
        guard !samples.isEmpty else {
            droppedUnits += 1
            return
        }
        let ticksPerSample = Self.rate / Int64(decoder.sampleRate)
        let hole = next.map { timestamp - $0 } ?? 0
        if next == nil || hole > Self.silenceMax || hole < -Self.silenceMax {
            begin(at: timestamp)
        } else if hole > 0 {
            samples.insert(contentsOf: [Int16](repeating: 0, count: Int(hole / ticksPerSample)), at: 0)
        } else if hole < 0 {
            samples.removeFirst(min(samples.count, Int(-hole / ticksPerSample)))
        }
        next = (next ?? timestamp) + Int64(samples.count) * ticksPerSample
        waiting += resampler.convert(samples)
        encode(into: &units)
    }

    private func begin(at timestamp: Int64) {
        next = timestamp
        waiting = []
        resampler.reset()
        // One that cannot be made anew, for want of memory, goes on with its old state: a click, no more.
        if encoder.origin != nil, let fresh = try? SoundEncoder(target, bitrate: bitrate) { encoder = fresh }
        encoder.begin(at: timestamp)
    }

    private func encode(into units: inout [AccessUnit]) {
        var used = 0
        while waiting.count - used >= encoder.frameSize {
            droppedUnits += encoder.encode(waiting[used..<used + encoder.frameSize], into: &units) ? 0 : 1
            used += encoder.frameSize
        }
        waiting.removeFirst(used)
    }
}

/// Payload bytes to samples of 16 bit.
private final class SoundDecoder {
    let sampleRate: Int
    private var context: UnsafeMutablePointer<AVCodecContext>?
    private var packet = av_packet_alloc()
    private var frame = av_frame_alloc()

    init(_ source: TelephoneCodec) throws(FragmentWriterError) {
        sampleRate = source == .g722 ? 16_000 : 8000
        let id =
            switch source {
            case .pcmu: AV_CODEC_ID_PCM_MULAW
            case .pcma: AV_CODEC_ID_PCM_ALAW
            case .g722: AV_CODEC_ID_ADPCM_G722
            }
        guard let codec = avcodec_find_decoder(id), let made = avcodec_alloc_context3(codec) else { throw .unsupported }
        context = made
        made.pointee.sample_rate = Int32(sampleRate)
        av_channel_layout_default(&made.pointee.ch_layout, 1)
        let code = avcodec_open2(made, codec, nil)
        guard code >= 0 else { throw .libavformat(call: "avcodec_open2", code: code) }
    }

    deinit {
        av_frame_free(&frame)
        av_packet_free(&packet)
        avcodec_free_context(&context)
    }

    /// Empty for what is no sound.
    func decode(_ payload: [UInt8]) -> [Int16] {
        guard let context, let packet, let frame, payload.count <= 1 << 16 else { return [] }
        // The library wants room behind the data and keeps no reference after the call returns.
        let padded = payload + [UInt8](repeating: 0, count: Int(AV_INPUT_BUFFER_PADDING_SIZE))
        let code = padded.withUnsafeBufferPointer { bytes in
            packet.pointee.data = UnsafeMutablePointer(mutating: bytes.baseAddress)
            packet.pointee.size = Int32(payload.count)
            return avcodec_send_packet(context, packet)
        }
        packet.pointee.data = nil
        packet.pointee.size = 0
        var samples: [Int16] = []
        guard code >= 0 else { return samples }
        while avcodec_receive_frame(context, frame) >= 0 {
            let count = Int(frame.pointee.nb_samples)
            let isExpected =
                frame.pointee.format == AV_SAMPLE_FMT_S16.rawValue || frame.pointee.format == AV_SAMPLE_FMT_S16P.rawValue
            if isExpected, count > 0, let data = frame.pointee.data.0 {
                data.withMemoryRebound(to: Int16.self, capacity: count) {
                    samples += UnsafeBufferPointer(start: $0, count: count)
                }
            }
            av_frame_unref(frame)
        }
        return samples
    }
}

/// Samples of 16 bit to floats at 48 kHz, without a delay in time: output sample 0 belongs to input sample 0.
private final class SoundResampler {
    private var context: OpaquePointer?

    init(from sampleRate: Int) throws(FragmentWriterError) {
        var output = AVChannelLayout()
        av_channel_layout_default(&output, 1)
        var input = output
        var code = swr_alloc_set_opts2(
            &context, &output, AV_SAMPLE_FMT_FLT, Int32(AudioTranscoder.rate), &input, AV_SAMPLE_FMT_S16, Int32(sampleRate), 0,
            nil)
        if code >= 0 { code = swr_init(context) }
        guard code >= 0 else {
            swr_free(&context)
            throw .libavformat(call: "swr_init", code: code)
        }
    }

    deinit {
        swr_free(&context)
    }

    /// Forgets what came before.
    func reset() {
        swr_close(context)
        swr_init(context)
    }

    func convert(_ samples: [Int16]) -> [Float] {
        guard let context, !samples.isEmpty else { return [] }
        let room = swr_get_out_samples(context, Int32(clamping: samples.count))
        guard room > 0 else { return [] }
        return [Float](unsafeUninitializedCapacity: Int(room)) { out, count in
            let made = samples.withUnsafeBytes { bytes -> Int32 in
                var input = bytes.bindMemory(to: UInt8.self).baseAddress
                var output: UnsafeMutablePointer<UInt8>? = UnsafeMutableRawPointer(out.baseAddress)?.assumingMemoryBound(
                    to: UInt8.self)
                return swr_convert(context, &output, room, &input, Int32(clamping: samples.count))
            }
            count = max(0, Int(made))
        }
    }
}

/// Frames of floats at 48 kHz to access units.
private final class SoundEncoder {
    let frameSize: Int
    /// The timestamp of the first sample; nil before `begin`.
    private(set) var origin: Int64?
    private let target: SoundTarget
    private let context: UnsafeMutablePointer<AVCodecContext>
    private var frame = av_frame_alloc()
    private var packet = av_packet_alloc()
    private var made: Int64 = 0

    init(_ target: SoundTarget, bitrate: Int64) throws(FragmentWriterError) {
        self.target = target
        let codec = target == .opus ? avcodec_find_encoder_by_name("libopus") : avcodec_find_encoder(AV_CODEC_ID_AAC)
        guard let codec, let context = avcodec_alloc_context3(codec) else { throw .unsupported }
        self.context = context
        context.pointee.sample_rate = Int32(AudioTranscoder.rate)
        // One channel: packed and planar are the same.
        context.pointee.sample_fmt = target == .opus ? AV_SAMPLE_FMT_FLT : AV_SAMPLE_FMT_FLTP
        context.pointee.bit_rate = bitrate
        context.pointee.time_base = AVRational(num: 1, den: Int32(AudioTranscoder.rate))
        context.pointee.flags |= Int32(AV_CODEC_FLAG_GLOBAL_HEADER)
        context.pointee.thread_count = 1
        av_channel_layout_default(&context.pointee.ch_layout, 1)
        // What a tenth of a core would be spent on otherwise is not in a telephone's band.
        if target == .opus { av_opt_set_int(context.pointee.priv_data, "compression_level", 5, 0) }
        let code = avcodec_open2(context, codec, nil)
        frameSize = Int(context.pointee.frame_size)
        guard code >= 0, frameSize > 0, let frame else {
            throw .libavformat(call: "avcodec_open2", code: code)
        }
        frame.pointee.nb_samples = context.pointee.frame_size
        frame.pointee.format = context.pointee.sample_fmt.rawValue
        frame.pointee.sample_rate = context.pointee.sample_rate
        av_channel_layout_default(&frame.pointee.ch_layout, 1)
        let room = av_frame_get_buffer(frame, 0)
        guard room >= 0 else {
            throw .libavformat(call: "av_frame_get_buffer", code: room)
        }
    }

    deinit {
        av_frame_free(&frame)
        av_packet_free(&packet)
        var context: UnsafeMutablePointer<AVCodecContext>? = context
        avcodec_free_context(&context)
    }

    /// What it makes; throws when the encoder describes no AAC.
    func format() throws(FragmentWriterError) -> TrackFormat {
        guard target == .aac else { return .opus(channels: 1) }
        let extradata = UnsafeBufferPointer(start: context.pointee.extradata, count: Int(max(0, context.pointee.extradata_size)))
        guard let config = try? AudioSpecificConfig(Array(extradata)) else { throw .unsupported }
        return .aac(config, timescale: Int(AudioTranscoder.rate))
    }

    /// The next sample belongs to this timestamp.
    func begin(at timestamp: Int64) {
        origin = timestamp - made * Int64(frameSize)
    }

    /// Takes one frame. False when the encoder refuses it.
    func encode(_ samples: ArraySlice<Float>, into units: inout [AccessUnit]) -> Bool {
        guard let frame, let packet, let origin, av_frame_make_writable(frame) >= 0, let data = frame.pointee.data.0 else {
            return false
        }
        samples.withUnsafeBytes { bytes in
            UnsafeMutableRawPointer(data).copyMemory(from: bytes.baseAddress ?? UnsafeRawPointer(data), byteCount: bytes.count)
        }
        guard avcodec_send_frame(context, frame) >= 0 else { return false }
        while avcodec_receive_packet(context, packet) >= 0 {
            let time = origin + made * Int64(frameSize) - Int64(context.pointee.initial_padding)
            made += 1
            // What lies wholly before the first sample is the encoder getting ready.
            if time + Int64(frameSize) > origin {
                let bytes = Array(UnsafeBufferPointer(start: packet.pointee.data, count: Int(packet.pointee.size)))
                units.append(AccessUnit(timestamp: time, data: bytes, isSync: true, duration: Int64(frameSize)))
            }
            av_packet_unref(packet)
        }
        return true
    }
}
