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
        let video = tracks(.video)
        let audio = tracks(.audio)
        var codecs: [String] = []
        for track in video + audio where !codecs.contains(track.codecs) { codecs.append(track.codecs) }
        let peak = (video.map(\.bandwidth).max() ?? 0) + (audio.map(\.bandwidth).max() ?? 0)
        var out = "#EXTM3U\n#EXT-X-VERSION:7\n"
        if (video + audio).allSatisfy(\.segments.unsynced.isEmpty) { out += "#EXT-X-INDEPENDENT-SEGMENTS\n" }
        var variant = "#EXT-X-STREAM-INF:BANDWIDTH=\(max(1, peak)),CODECS=\"\(Self.quotable(codecs.joined(separator: ",")))\""
        if let size = video.compactMap({ track in track.width.flatMap { w in track.height.map { (w, $0) } } }).max(by: <) {
            variant += ",RESOLUTION=\(size.0)x\(size.1)"
        }
        if !video.isEmpty, !audio.isEmpty {
            out += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio\",DEFAULT=YES,AUTOSELECT=YES,"
            out += "CHANNELS=\"\(audio.compactMap(\.channels).max() ?? 2)\",URI=\"\(Self.address(.audio, query))\"\n"
            variant += ",AUDIO=\"audio\""
        }
        return out + "\(variant)\n\(Self.address(video.isEmpty ? .audio : .video, query))\n"
    }

    /// Of a media playlist, beside the multivariant one.
    private static func address(_ rendition: Rendition, _ query: String) -> String {
        "\(rendition.rawValue).m3u8\(query.isEmpty ? "" : "?\(query)")"
    }

    /// A media playlist (RFC 8216 4.3.3); nil when no period has the track, and when what `origin` counts from is gone.
    /// - Parameters:
    ///   - live: what is being written behind the end of a line that grows; nil for a playlist without parts.
    ///   - segmentSecondsMax: the longest segment there can be; `EXT-X-TARGETDURATION` must not change while a playlist grows.
    ///   - origin: what the playlist's address says that its players were told; nil: all is counted from what is there.
    ///   - query: of the playlists' addresses; without `?`, may be empty.
    public func mediaPlaylist(
        _ rendition: Rendition, addresses: ObjectAddresses, live: LiveEdge? = nil,
        segmentSecondsMax: Double = Self.segmentSecondsMax, origin: PlaylistOrigin? = nil, query: String = ""
    ) -> MediaPlaylist? {
        func playlist(_ rendition: Rendition) -> MediaPlaylist? {
            MediaPlaylist(
                self, rendition, addresses: addresses, live: live, segmentSecondsMax: segmentSecondsMax, origin: origin)
        }
        var list = playlist(rendition)
        for other in Rendition.allCases where live != nil && other != rendition {
            if let found = playlist(other) { list?.report(found, at: Self.address(other, query)) }
        }
        return list
    }

    /// The line as a player may begin with it: without a period at its end that will get another track in a moment. Which tracks there
    /// are must not change afterwards. Nil when there is nothing else.
    public func settled(_ live: LiveEdge?) -> Timeline? {
        guard isGrowing, let open = live?.period, let last = periods.last, live?.isWriting(last) == true,
            open.tracks.count > last.tracks.count
        else { return self }
        var settled = self
        settled.periods.removeLast()
        return settled.periods.isEmpty ? nil : settled
    }

    /// The longest segment that recorders make as they come: they end it there without a key frame.
    public static let segmentSecondsMax: Double = 12

    /// What stands where a rendition of sound has none; nil when that can't be made.
    func silence(_ rendition: Rendition) -> Silence? {
        guard rendition == .audio, let first = tracks(.audio).first else { return nil }
        return Silence(codecs: first.codecs, sampleRate: first.sampleRate ?? Int(first.timescale), channels: first.channels ?? 2)
    }

    /// A quoted string can hold neither quotes nor line ends (RFC 8216 4.2).
    private static func quotable(_ text: String) -> String {
        String(text.unicodeScalars.filter { $0 != "\"" && $0.value >= 0x20 })
    }
}
