extension MPD {
    /// The document, UTF-8, valid against DASH-MPD.xsd.
    public var xml: String {
        var out = XMLWriter()
        out.open("MPD", attributes)
        // In document order of the schema: Location, Period, UTCTiming.
        if let location { out.element("Location", text: location) }
        for period in periods { period.write(&out) }
        if let clock, case .dynamic = kind {
            out.empty("UTCTiming", [("schemeIdUri", clock.scheme), ("value", clock.value)])
        }
        out.close("MPD")
        return out.text
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
                    ("value", String(channels)),
                ])
        }
        writeTemplate(&out)
        out.close("Representation")
        out.close("AdaptationSet")
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
        out.lines { $0.append(timeline: timeline) }
        out.close("SegmentTimeline")
        out.close("SegmentTemplate")
    }
}

/// Elements and attributes, escaped; nothing else of XML is needed.
struct XMLWriter {
    private(set) var text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    private var depth = 0

    mutating func open(_ name: String, _ attributes: [(String, String)]) {
        line("<\(name)\(Self.list(attributes))>")
        depth += 1
    }

    /// Elements without content, one a line, written as bytes: a month has hundreds of thousands of them.
    mutating func lines(_ write: (inout XMLLines) -> Void) {
        var lines = XMLLines(indent: depth)
        write(&lines)
        text += String(decoding: lines.bytes, as: UTF8.self)
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
        text += String(repeating: " ", count: depth) + content + "\n"
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
}

/// The `S` elements of a SegmentTimeline as bytes.
struct XMLLines {
    fileprivate var bytes: [UInt8] = []
    private let head: [UInt8]

    fileprivate init(indent: Int) { head = [UInt8](repeating: 0x20, count: indent) + Array("<S".utf8) }

    /// Runs of equal length are one element; `t` is written where time does not just go on.
    mutating func append(timeline: [MPD.TimelineEntry]) {
        // Room for the largest element: three names, three numbers and the end.
        let room = head.count + 3 * (4 + 20) + 3
        let head = head
        bytes += [UInt8](unsafeUninitializedCapacity: timeline.count * room) { buffer, count in
            var out = SpanWriter(buffer: buffer)
            var expected: Int64?
            var index = 0
            while index < timeline.count {
                var run = timeline[index]
                index += 1
                while index < timeline.count, timeline[index].duration == run.duration,
                    run.time &+ run.duration &* Int64(run.count) == timeline[index].time
                {
                    run.count += timeline[index].count
                    index += 1
                }
                for byte in head { out.put(byte) }
                if run.time != expected { out.put(0x74, run.time) }
                out.put(0x64, run.duration)
                if run.count > 1 { out.put(0x72, Int64(run.count - 1)) }
                out.put(0x2F)
                out.put(0x3E)
                out.put(0x0A)
                expected = run.time &+ run.duration &* Int64(run.count)
            }
            count = out.count
        }
    }

    /// Writes into memory that is known to be enough.
    private struct SpanWriter {
        let buffer: UnsafeMutableBufferPointer<UInt8>
        var count = 0

        mutating func put(_ byte: UInt8) {
            buffer[count] = byte
            count += 1
        }

        /// An attribute of one letter.
        mutating func put(_ name: UInt8, _ value: Int64) {
            put(0x20)
            put(name)
            put(0x3D)
            put(0x22)
            if value < 0 { put(0x2D) }
            var rest = value.magnitude
            var digits = 1
            var bound: UInt64 = 10
            while digits < 19, rest >= bound {
                digits += 1
                bound *= 10
            }
            if rest >= bound { digits += 1 }
            // From the last digit to the first: division by a constant is a multiplication.
            for place in stride(from: count + digits - 1, through: count, by: -1) {
                buffer[place] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            count += digits
            put(0x22)
        }
    }
}
