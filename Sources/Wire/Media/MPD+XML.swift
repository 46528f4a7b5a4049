extension MPD {
    /// The document, valid against DASH-MPD.xsd.
    public var xml: String { String(decoding: utf8, as: UTF8.self) }

    /// The document in UTF-8, made in one piece of memory.
    public var utf8: [UInt8] {
        let entries = periods.reduce(0) { $0 + $1.tracks.reduce(0) { $0 + $1.timeline.runCount } }
        var out = XMLWriter(capacity: 4_096 * (periods.count + 1) + 20 * entries)
        out.open("MPD", attributes)
        // In document order of the schema: Location, Period, UTCTiming.
        if let location { out.element("Location", text: location) }
        for period in periods { period.write(&out) }
        if let clock, case .dynamic = kind {
            out.empty("UTCTiming", [("schemeIdUri", clock.scheme), ("value", clock.value)])
        }
        out.close("MPD")
        return out.bytes
    }

    private var attributes: [(String, String)] {
        var list = [
            ("xmlns", "urn:mpeg:dash:schema:mpd:2011"),
            ("profiles", "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"),
        ]
        switch kind {
        case .static:
            list.append(("type", "static"))
            list.append(("mediaPresentationDuration", ISO8601.duration(microseconds: durationUs ?? 0)))
        case .dynamic(let availabilityStartUs, let publishUs, let updateSeconds):
            list.append(("type", "dynamic"))
            list.append(("availabilityStartTime", ISO8601.dateTime(microseconds: availabilityStartUs)))
            list.append(("publishTime", ISO8601.dateTime(microseconds: publishUs)))
            list.append(("minimumUpdatePeriod", ISO8601.duration(seconds: updateSeconds)))
            // Three segments, so that a client has one to play while one is fetched and one is being written.
            list.append(("suggestedPresentationDelay", ISO8601.duration(seconds: 3 * maxSegmentSeconds)))
        }
        list.append(("maxSegmentDuration", ISO8601.duration(seconds: maxSegmentSeconds)))
        list.append(("minBufferTime", ISO8601.duration(seconds: max(1, maxSegmentSeconds))))
        return list
    }
}

extension MPD.Period {
    fileprivate func write(_ out: inout XMLWriter) {
        var attributes = [("id", id), ("start", ISO8601.duration(microseconds: startUs))]
        if let durationUs { attributes.append(("duration", ISO8601.duration(microseconds: durationUs))) }
        out.open("Period", attributes)
        for (index, track) in tracks.enumerated() { track.write(&out, index: index, wallClockUs: wallClockUs) }
        out.close("Period")
    }
}

extension MPD.Track {
    fileprivate func write(_ out: inout XMLWriter, index: Int, wallClockUs: Int64?) {
        let isVideo = if case .video = media { true } else { false }
        out.open(
            "AdaptationSet",
            [
                ("id", String(index)), ("contentType", isVideo ? "video" : "audio"),
                ("mimeType", SegmentContainer(codecs: codecs).mediaType(isVideo: isVideo)), ("segmentAlignment", "true"),
                ("startWithSAP", startsWithSAP ? "1" : "0"),
            ])
        if let wallClockUs {
            out.empty(
                "ProducerReferenceTime",
                [
                    ("id", String(index)), ("type", "captured"), ("wallClockTime", ISO8601.dateTime(microseconds: wallClockUs)),
                    ("presentationTime", String(presentationTimeOffset)),
                ])
        }
        out.open("Representation", representation(id: isVideo ? "video" : "audio"))
        if case .audio(_, let channels) = media {
            out.empty(
                "AudioChannelConfiguration",
                [
                    ("schemeIdUri", "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"),
                    ("value", String(channelConfiguration(channels))),
                ])
        }
        writeTemplate(&out)
        out.close("Representation")
        out.close("AdaptationSet")
    }

    /// The number of the arrangement (ISO/IEC 23091-3 table 1), which is that of the loudspeakers only up to three, five and six.
    private func channelConfiguration(_ channels: Int) -> Int {
        switch (codecs.lowercased() == "opus", channels) {
        // Quadraphonic, 6.1, 7.1 with the two more at the back; of AAC's configurations (channelConfiguration 4 and 7) the centre has one.
        case (true, 4): 10
        case (true, 7): 11
        case (true, 8): 12
        case (false, 8): 7
        default: channels
        }
    }

    private func representation(id: String) -> [(String, String)] {
        var attributes = [("id", id), ("codecs", codecs), ("bandwidth", String(max(1, bandwidth)))]
        switch media {
        case .video(let width, let height, let frameRate):
            attributes += [("width", String(width)), ("height", String(height))]
            if let frameRate { attributes.append(("frameRate", frameRate)) }
        case .audio(let sampleRate, _):
            attributes.append(("audioSamplingRate", String(sampleRate)))
        }
        return attributes
    }

    private func writeTemplate(_ out: inout XMLWriter) {
        out.open(
            "SegmentTemplate",
            [
                ("timescale", String(timescale)), ("presentationTimeOffset", String(presentationTimeOffset)),
                ("initialization", initialization), ("media", template), ("startNumber", String(startNumber)),
            ])
        out.open("SegmentTimeline", [])
        out.append(timeline: timeline)
        out.close("SegmentTimeline")
        out.close("SegmentTemplate")
    }
}

/// Elements and attributes, escaped; nothing else of XML is needed.
struct XMLWriter {
    private(set) var bytes: [UInt8] = []
    private var depth = 0

    init(capacity: Int) {
        bytes.reserveCapacity(capacity)
        bytes += "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".utf8
    }

    mutating func open(_ name: String, _ attributes: [(String, String)]) {
        line("<\(name)\(Self.list(attributes))>")
        depth += 1
    }

    mutating func close(_ name: String) {
        depth -= 1
        line("</\(name)>")
    }

    mutating func empty(_ name: String, _ attributes: [(String, String)]) {
        line("<\(name)\(Self.list(attributes))/>")
    }

    mutating func element(_ name: String, text content: String) {
        line("<\(name)>\(Self.escaped(content))</\(name)>")
    }

    private mutating func line(_ content: String) {
        for _ in 0..<depth { bytes.append(0x20) }
        bytes += content.utf8
        bytes.append(0x0A)
    }

    private static func list(_ attributes: [(String, String)]) -> String {
        attributes.map { " \($0)=\"\(escaped($1))\"" }.joined()
    }

    /// XML 1.0 2.4; controls that no XML document may hold are left out.
    private static func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case _ where scalar.value < 0x20: continue
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    /// The `S` elements of a SegmentTimeline: a month has more than a million of them, so they are not indented: the blanks would be a
    /// quarter of the document. `t` is written where time does not just go on.
    mutating func append(timeline: MPD.SegmentTimeline) {
        withUnsafeTemporaryAllocation(byteCount: TimelineLines.byteCount, alignment: 16) { memory in
            guard let start = memory.baseAddress else { return }
            var lines = TimelineLines(start)
            timeline.lengths.withUnsafeBufferPointer { lengths in
                var index = 0
                for (block, next) in zip(timeline.blocks.indices, timeline.blocks.dropFirst().map(\.start) + [lengths.count]) {
                    let begun = timeline.blocks[block]
                    if begun.isBreak {
                        lines.put(lengths[index], at: begun.time)
                        index += 1
                    }
                    while index < next {
                        lines.put(lengths[index])
                        index += 1
                    }
                    if lines.isFull { bytes += lines.take() }
                }
            }
            bytes += lines.take()
        }
    }
}

/// Lines of a SegmentTimeline in a block of memory that is small enough to stay in the cache.
private struct TimelineLines {
    static let byteCount = 24 << 10
    /// The largest element: four names, three numbers and the end; and what is written beyond it.
    private static let lineMax = 96
    /// As many as there are in a block of a timeline.
    private static let linesMax = MPD.SegmentTimeline.blockLengths

    private let start: UnsafeMutableRawPointer
    private let full: UnsafeMutableRawPointer
    private var cursor: UnsafeMutableRawPointer

    /// - Parameter memory: `byteCount` bytes.
    init(_ memory: UnsafeMutableRawPointer) {
        start = memory
        full = memory + (Self.byteCount - Self.linesMax * Self.lineMax)
        cursor = start
    }

    var isFull: Bool { cursor > full }

    /// What has been put since the last time.
    mutating func take() -> UnsafeRawBufferPointer {
        defer { cursor = start }
        return UnsafeRawBufferPointer(start: start, count: cursor - start)
    }

    /// There must be room for a line.
    @inline(__always)
    mutating func put(_ length: MPD.SegmentTimeline.Length, at time: Int64? = nil) {
        // `<S t="…" d="…" r="…"/>`, each piece with what ends the number before it.
        if let time {
            put(text: 0x22_3D74_2053_3C, count: 6)
            if time < 0 { put(text: 0x2D, count: 1) }
            cursor += Decimal.write(time.magnitude, to: cursor)
            put(text: 0x22_3D64_2022, count: 5)
        } else {
            put(text: 0x22_3D64_2053_3C, count: 6)
        }
        cursor += Decimal.write(UInt64(length.duration), to: cursor)
        if length.count > 1 {
            put(text: 0x22_3D72_2022, count: 5)
            cursor += Decimal.write(UInt64(length.count - 1), to: cursor)
        }
        put(text: 0x0A3E_2F22, count: 4)
    }

    /// The first bytes of a word, the lowest first.
    @inline(__always)
    private mutating func put(text: UInt64, count: Int) {
        cursor.storeBytes(of: text.littleEndian, as: UInt64.self)
        cursor += count
    }
}
