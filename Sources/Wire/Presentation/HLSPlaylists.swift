import Media

extension Timeline {
    /// The tracks an HLS playback has, as they are named in its addresses.
    public enum Rendition: String, Sendable, CaseIterable {
        /// `video.m3u8`
        case video
        /// `audio.m3u8`
        case audio
    }

    private func tracks(_ rendition: Rendition) -> [IndexedTrack] {
        periods.flatMap(\.tracks).map(\.track).filter { $0.kind == rendition.rawValue }
    }

    /// Whether any period has this track.
    public func has(_ rendition: Rendition) -> Bool { !tracks(rendition).isEmpty }

    /// The multivariant playlist (RFC 8216 4.3.4).
    /// - Parameter query: carried on to the media playlists; without `?`, may be empty.
    public func multivariantPlaylist(query: String) -> String {
        let suffix = query.isEmpty ? "" : "?\(query)"
        let video = tracks(.video)
        let audio = tracks(.audio)
        var codecs: [String] = []
        for track in video + audio where !codecs.contains(track.codecs) { codecs.append(track.codecs) }
        let peak = (video.map(\.bandwidth).max() ?? 0) + (audio.map(\.bandwidth).max() ?? 0)
        var out = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        var variant = "#EXT-X-STREAM-INF:BANDWIDTH=\(max(1, peak)),CODECS=\"\(Self.quotable(codecs.joined(separator: ",")))\""
        if let size = video.compactMap({ track in track.width.flatMap { w in track.height.map { (w, $0) } } }).max(by: <) {
            variant += ",RESOLUTION=\(size.0)x\(size.1)"
        }
        if !video.isEmpty, !audio.isEmpty {
            out += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio\",DEFAULT=YES,AUTOSELECT=YES,"
            out += "CHANNELS=\"\(audio.compactMap(\.channels).max() ?? 2)\",URI=\"audio.m3u8\(suffix)\"\n"
            variant += ",AUDIO=\"audio\""
        }
        return out + "\(variant)\n\(video.isEmpty ? "audio" : "video").m3u8\(suffix)\n"
    }

    /// A media playlist (RFC 8216 4.3.3); nil when no period has the track.
    ///
    /// Each period begins with a discontinuity, its own map and its wall clock, in every rendition alike.
    public func mediaPlaylist(_ rendition: Rendition, addresses: ObjectAddresses) -> String? {
        guard has(rendition) else { return nil }
        var out = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:\(targetSeconds)\n"
        out += "#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        out += "#EXT-X-PLAYLIST-TYPE:\(isGrowing ? "EVENT" : "VOD")\n"
        for (index, period) in periods.enumerated() {
            if index > 0 { out += "#EXT-X-DISCONTINUITY\n" }
            let own = period.tracks.first { $0.track.kind == rendition.rawValue }
            guard let entry = own ?? period.tracks.first else { continue }
            let track = entry.track
            // The map of another period stands in where this one has no such track: another track's would change the codec.
            if let map = own.map({ ($0, period.node) }) ?? (index == 0 ? firstTrack(rendition) : nil) {
                out += "#EXT-X-MAP:URI=\"\(addresses.address(map.0.track.initialization, node: map.1))\"\n"
            }
            out +=
                "#EXT-X-PROGRAM-DATE-TIME:\(ISO8601.dateTime(microseconds: wallStart(of: entry, in: period) / 1_000 * 1_000))\n"
            for segment in track.segments {
                out += "#EXTINF:\(Self.seconds(segment.duration, track.timescale)),\n"
                // A period without this track still takes its time in this rendition.
                if own == nil { out += "#EXT-X-GAP\n" }
                out += addresses.address(track.object(number: segment.number), node: period.node) + "\n"
            }
        }
        return isGrowing ? out : out + "#EXT-X-ENDLIST\n"
    }

    /// `EXT-X-TARGETDURATION`, which must not change while a playlist grows (RFC 8216 4.3.3.1). So it is somewhat longer than what
    /// there is, on a coarse scale: recorders ask for key frames in time, and who sends them at intervals of their own keeps to them.
    var targetSeconds: Int {
        let longest = maxSegmentSeconds
        guard isGrowing else { return max(1, Int(longest.rounded(.up))) }
        return Self.targetScale.first { Double($0) >= longest * 1.2 } ?? Int(longest.rounded(.up))
    }

    /// No recorder lets a segment grow beyond the last but one.
    private static let targetScale = [2, 3, 4, 6, 9, 14, 20, 32, 64]

    private func firstTrack(_ rendition: Rendition) -> (TimelineTrack, String)? {
        for period in periods {
            if let track = period.tracks.first(where: { $0.track.kind == rendition.rawValue }) { return (track, period.node) }
        }
        return nil
    }

    private func wallStart(of entry: TimelineTrack, in period: TimelinePeriod) -> Int64 {
        guard let first = entry.track.segments.first else { return period.wallStartUs }
        let ticks = Double(first.time - entry.presentationTimeOffset)
        return max(0, period.wallStartUs + Int64(ticks / Double(entry.track.timescale) * 1e6))
    }

    /// A decimal number with six places, as `EXTINF` wants it.
    private static func seconds(_ ticks: Int64, _ timescale: Int64) -> String {
        let micros = Int64((Double(ticks) / Double(timescale) * 1e6).rounded())
        let rest = String(micros % 1_000_000)
        return "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - rest.utf8.count) + rest
    }

    /// A quoted string can hold neither quotes nor line ends (RFC 8216 4.2).
    private static func quotable(_ text: String) -> String {
        String(text.unicodeScalars.filter { $0 != "\"" && $0.value >= 0x20 })
    }
}
