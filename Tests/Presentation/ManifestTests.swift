import Media
import Presentation
import Testing

@Suite("Playback manifests (ISO/IEC 23009-1, RFC 8216)")
struct ManifestTests {
    private func timeline(isGrowing: Bool = false) throws -> Timeline {
        let recordings = [material("a"), material("b", node: "edge 2&", startSecond: 60, isGrowing: isGrowing)]
        return try #require(Timeline(recordings, gaps: isGrowing ? .keep : .collapse))
    }

    @Test("a finished playback is static, and every object names its node")
    func staticMPD() throws {
        let xml = try timeline().mpd(addresses: ObjectAddresses(), isDynamic: false).xml
        for part in [
            #"type="static""#, #"mediaPresentationDuration="PT20S""#,
            #"<Period id="edge-1.a.0.1" start="PT0S" duration="PT10S">"#,
            #"<Period id="edge 2&amp;.b.0.1" start="PT10S" duration="PT10S">"#,
            #"initialization="../../record/object/demo/2026/11/20/init_a.m4s?node=edge-1""#,
            #"media="../../record/object/demo/2026/11/20/seg_b_$Number%04d$.m4s?node=edge%202%26""#,
            #"presentationTimeOffset="900000""#, #"presentationTimeOffset="480000""#, #"<S t="900000" d="180000" r="4"/>"#,
            #"wallClockTime="2026-11-20T10:01:00Z""#,
        ] { #expect(xml.contains(part), "\(part) is missing in\n\(xml)") }
        #expect(!xml.contains("UTCTiming"))
        #expect(!xml.contains("minimumUpdatePeriod"))
    }

    @Test("a growing one is dynamic, with a clock and no end")
    func dynamicMPD() throws {
        let xml = try timeline(isGrowing: true).mpd(
            addresses: ObjectAddresses(), isDynamic: true, nextVersion: "manifest.mpd?from=1&gaps=keep"
        ).xml
        for part in [
            "<Location>manifest.mpd?from=1&amp;gaps=keep</Location>",
            #"type="dynamic""#, #"availabilityStartTime="2026-11-20T10:00:00Z""#, #"publishTime="#,
            #"minimumUpdatePeriod="PT1S""#,
            #"<Period id="edge 2&amp;.b.0.1" start="PT60S">"#,
            #"<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="../../time"/>"#,
        ] { #expect(xml.contains(part), "\(part) is missing in\n\(xml)") }
        #expect(!xml.contains("mediaPresentationDuration"))
    }

    @Test("what is deleted at its beginning moves nothing of a line for whom follows it")
    func origin() throws {
        let whole = try timeline(isGrowing: true)
        let second = material("b", node: "edge 2&", startSecond: 60, isGrowing: true)
        let left = try #require(Timeline([second], gaps: .keep))
        let originUs = whole.origin(nil)
        #expect(originUs == whole.periods[0].wallStartUs)
        #expect(left.origin(originUs) == originUs && left.origin(nil) == left.periods[0].wallStartUs)
        for isDynamic in [true, false] {
            let before = whole.mpd(addresses: ObjectAddresses(), isDynamic: isDynamic, originUs: originUs)
            let after = left.mpd(addresses: ObjectAddresses(), isDynamic: isDynamic, originUs: originUs)
            #expect(after.kind == before.kind)
            #expect(after.periods.map(\.startUs) == [60_000_000])
            #expect(after.periods.map(\.id) == before.periods.dropFirst().map(\.id))
        }
    }

    @Test("a carried token reaches every object, and a dollar in a name is no template")
    func carriedQuery() throws {
        var odd = material("a")
        odd.periods[0].tracks[1].segmentPrefix = "demo/$Number$ \"<x>/seg_"
        let timeline = try #require(Timeline([odd], gaps: .collapse))
        let xml = timeline.mpd(addresses: ObjectAddresses(carriedQuery: "token=t"), isDynamic: false).xml
        #expect(xml.contains("demo/%24Number%24%20%22%3Cx%3E/seg_$Number%04d$.m4s?node=edge-1&amp;token=t"))
        #expect(xml.contains("init_a.m4s?node=edge-1&amp;token=t"))
    }

    @Test("HLS: the target duration of a growing playlist is that of the longest segment there can be")
    func targetDuration() throws {
        var texts: Set<Substring> = []
        for length in [90_000, 176_000, 360_000, 700_000, 1_080_000] as [Int64] {
            var recording = material("a", isGrowing: true)
            for index in recording.periods[0].tracks.indices {
                var segments = Array(recording.periods[0].tracks[index].segments)
                let last = segments.count - 1
                segments[last].duration = length * recording.periods[0].tracks[index].timescale / 90_000
                recording.periods[0].tracks[index].segments = SegmentRuns(segments)
            }
            let text = try #require(
                Timeline([recording], gaps: .keep)?.mediaPlaylist(.video, addresses: ObjectAddresses())?.text())
            texts.formUnion(text.split(separator: "\n").filter { $0.hasPrefix("#EXT-X-TARGETDURATION") })
        }
        #expect(texts == ["#EXT-X-TARGETDURATION:12"])
    }

    /// Video of which only these segments begin with key frames.
    private func forced(_ synced: Set<Int64>, isGrowing: Bool = false) -> RecordedMaterial {
        var recording = material("a", isGrowing: isGrowing)
        let video = recording.periods[0].tracks[1].segments
        recording.periods[0].tracks[1].segments = SegmentRuns(
            video.map { segment in
                var segment = segment
                segment.startsWithSync = synced.contains(segment.number)
                return segment
            })
        return recording
    }

    @Test("segments that begin without a key frame are not said to begin with one")
    func unsynced() throws {
        let timeline = try #require(Timeline([forced([1, 4])], gaps: .collapse))
        let sets = timeline.mpd(addresses: ObjectAddresses(), isDynamic: false).xml.split(separator: "\n").filter {
            $0.contains("<AdaptationSet")
        }
        #expect(sets.map { $0.contains("startWithSAP=\"0\"") } == [true, false])
        func says(_ text: String?) -> Bool? { text?.contains("#EXT-X-INDEPENDENT-SEGMENTS\n") }
        #expect(says(timeline.multivariantPlaylist(query: "")) == false)
        #expect(says(timeline.mediaPlaylist(.video, addresses: ObjectAddresses())?.text()) == false)
        #expect(says(timeline.mediaPlaylist(.audio, addresses: ObjectAddresses())?.text()) == true)
        #expect(says(try self.timeline().multivariantPlaylist(query: "")) == true)
        #expect(says(try self.timeline().mediaPlaylist(.video, addresses: ObjectAddresses())?.text()) == true)
    }

    @Test(
        "a range begins with what is needed to decode it, sound with it",
        arguments: [
            (1.0, [1, 2, 3, 4, 5]), (3.0, [1, 2, 3, 4, 5]), (5.9, [1, 2, 3, 4, 5]), (6.0, [4, 5]), (9.0, [4, 5]),
        ] as [(Double, [Int64])])
    func range(from: Double, numbers: [Int64]) throws {
        var recording = forced([1, 4])
        recording.periods[0] = recording.periods[0].touching(fromUs: tenOClockUs + Int64(from * 1e6), toUs: nil)
        let timeline = try #require(Timeline([recording], gaps: .collapse))
        #expect(timeline.periods.map { $0.tracks.map { $0.track.segments.map(\.number) } } == [[numbers, numbers]])
        #expect(timeline.periods.flatMap(faults) == [])
    }

    @Test("what no key frame is left for is left out in front of the first one, and while it may still come")
    func undecodable() throws {
        func numbers(_ material: RecordedMaterial) -> [[Int64]]? {
            Timeline([material], gaps: .keep)?.periods.map { $0.tracks[0].track.segments.map(\.number) }
        }
        #expect(numbers(forced([3])) == [[3, 4, 5]])
        #expect(numbers(forced([3], isGrowing: true)) == [[3, 4, 5]])
        #expect(numbers(forced([], isGrowing: true)) == nil)
        // Its sound can be heard.
        #expect(numbers(forced([])) == [[1, 2, 3, 4, 5]])
        // Another node takes over with a key frame.
        var other = forced([1, 4])
        other.recording.node = "edge-2"
        other.recording.session = "b"
        other.periods[0].startUs += 9_000_000
        let timeline = try #require(Timeline([material("a"), other], gaps: .collapse))
        #expect(timeline.periods.map { $0.tracks[0].track.segments.map(\.number) } == [[1, 2, 3, 4, 5], [4, 5]])
        #expect(timeline.periods.flatMap(faults) == [])
    }

    @Test("HLS: the multivariant playlist joins both tracks")
    func multivariant() throws {
        let text = try timeline().multivariantPlaylist(query: "from=1")
        for line in [
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio.m3u8?from=1\"",
            "#EXT-X-STREAM-INF:BANDWIDTH=1064000,CODECS=\"avc1.42e01f,opus\",RESOLUTION=640x360,AUDIO=\"audio\"",
            "video.m3u8?from=1",
        ] { #expect(text.contains("\(line)\n"), "\(line) is missing in\n\(text)") }
    }

    @Test("HLS: each period has its discontinuity, map and wall clock, alike in both renditions")
    func media() throws {
        let timeline = try timeline()
        for rendition in Timeline.Rendition.allCases {
            let text = try #require(timeline.mediaPlaylist(rendition, addresses: ObjectAddresses())?.text())
            let lines = text.split(separator: "\n").map(String.init)
            #expect(lines.first == "#EXTM3U")
            #expect(lines.last == "#EXT-X-ENDLIST")
            #expect(lines.count { $0 == "#EXT-X-DISCONTINUITY" } == 1)
            #expect(lines.count { $0.hasPrefix("#EXT-X-MAP:") } == 2)
            #expect(lines.count { $0 == "#EXTINF:2.000000," } == 10)
            #expect(lines.contains("#EXT-X-TARGETDURATION:12"))
            #expect(lines.contains("#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:01:00Z"))
        }
        let video = try #require(timeline.mediaPlaylist(.video, addresses: ObjectAddresses())?.text())
        #expect(video.contains("../../record/object/demo/2026/11/20/seg_a_0005.m4s?node=edge-1\n"))
    }

    @Test("HLS: where a period has no sound the playlist of sound has silence of the same times; a growing one has no end")
    func silenceAndEvent() throws {
        let recordings = [
            material("a"), material("b", startSecond: 60, hasAudio: false), material("c", startSecond: 120, isGrowing: true),
        ]
        let timeline = try #require(Timeline(recordings, gaps: .collapse))
        let audio = try #require(timeline.mediaPlaylist(.audio, addresses: ObjectAddresses(carriedQuery: "token=t"))?.text())
        #expect(!audio.contains("#EXT-X-GAP"))
        #expect(audio.contains("#EXT-X-MAP:URI=\"silence_init.mp4?codecs=opus&rate=48000&channels=2&token=t\"\n"))
        #expect(audio.contains("#EXTINF:2.000000,\nsilence.m4s?codecs=opus&rate=48000&channels=2&t=480000&d=96000&token=t\n"))
        #expect(audio.split(separator: "\n").count { $0.hasPrefix("silence.m4s") } == 5)
        #expect(!audio.contains("/init_"), "the playlist of sound must not take the pictures' map")
        #expect(audio.contains("#EXT-X-PLAYLIST-TYPE:EVENT"))
        #expect(!audio.contains("#EXT-X-ENDLIST"))
        let late = try #require(Timeline([material("a", hasAudio: false), material("b", startSecond: 60)], gaps: .collapse))
        let maps = try #require(late.mediaPlaylist(.audio, addresses: ObjectAddresses())?.text()).split(separator: "\n")
            .filter { $0.hasPrefix("#EXT-X-MAP") }
        #expect(maps.count == 2 && maps[0].contains("silence_init") && maps[1].contains("/audio_init_b.m4s?node=edge-1"))
        let silent = try #require(Timeline([material("b", hasAudio: false)], gaps: .collapse))
        #expect(silent.mediaPlaylist(.audio, addresses: ObjectAddresses())?.text() == nil)
        #expect(!silent.multivariantPlaylist(query: "").contains("AUDIO"))
    }

    @Test(
        "HLS: numbers are counted from the newest period that three target durations begin with, the first where there is less",
        arguments: [
            (3, "3.2.11.1.11.1.edge-1.c.0"), (4, "4.1.6.1.6.1.edge-1.b.0"), (12, "12.0.1.1.1.1.edge-1.a.0"),
        ] as [(Double, String)])
    func originPlace(segmentSecondsMax: Double, text: String) throws {
        let recordings = [
            material("a"), material("b", startSecond: 60, hasAudio: false), material("c", startSecond: 120, isGrowing: true),
        ]
        let line = try #require(Timeline(recordings, gaps: .keep))
        #expect(line.playlistOrigin(segmentSecondsMax: segmentSecondsMax)?.text == text)
    }

    @Test("HLS: a playlist whose beginning is gone goes on to newer periods, with all that its players were told of")
    func originAdvances() throws {
        let (silent, third) = (material("b", startSecond: 60, hasAudio: false), material("c", startSecond: 120))
        let told = try #require(PlaylistOrigin("3.7.101.1.201.1.edge-1.c.0"))
        let later = try #require(Timeline([third, material("d", startSecond: 180, isGrowing: true)], gaps: .keep))
        #expect(later.playlistOrigin(segmentSecondsMax: 3, after: told)?.text == "3.8.106.1.206.1.edge-1.d.0")
        let mute = material("d", startSecond: 180, isGrowing: true, hasAudio: false)
        let withoutSound = try #require(Timeline([silent, mute], gaps: .keep))
        let ofPictures = try #require(PlaylistOrigin("3.7.101.1.0.0.edge-1.b.0"))
        let ofBoth = try #require(PlaylistOrigin("3.7.101.1.201.1.edge-1.b.0"))
        #expect(withoutSound.playlistOrigin(segmentSecondsMax: 3, after: ofPictures)?.text == "3.8.106.1.0.0.edge-1.d.0")
        #expect(withoutSound.playlistOrigin(segmentSecondsMax: 3, after: ofBoth) == nil)
    }

    @Test("HLS: numbers stay in both renditions when something before what they are counted from is deleted")
    func playlistOrigin() throws {
        let (first, silent) = (material("a"), material("b", startSecond: 60, hasAudio: false))
        let newest = material("c", startSecond: 120, isGrowing: true)
        let line = try #require(Timeline([first, silent, newest], gaps: .keep))
        let origin = try #require(line.playlistOrigin(segmentSecondsMax: 3))
        #expect(origin.text == "3.2.11.1.11.1.edge-1.c.0")
        #expect(PlaylistOrigin(origin.text) == origin)
        #expect(try timeline().playlistOrigin(segmentSecondsMax: 12) == nil)
        let later = try #require(PlaylistOrigin("12.2.13.3.13.3.edge-1.c.0"))
        for rendition in Timeline.Rendition.allCases {
            func list(_ material: [RecordedMaterial], _ origin: PlaylistOrigin) throws -> PlaylistCheck? {
                try #require(Timeline(material, gaps: .keep))
                    .mediaPlaylist(rendition, addresses: ObjectAddresses(), origin: origin).map { PlaylistCheck($0.text()) }
            }
            let whole = try #require(try list([first, silent, newest], origin))
            #expect(whole.sequence == 1 && whole.discontinuitySequence == 0 && whole.entries.count == 15)
            for left in [[silent, newest], [first, newest], [newest]] {
                let rest = try #require(try list(left, origin))
                #expect(rest.sequence == 11 && rest.discontinuitySequence == 2)
                #expect(rest.entries.map(\.address) == whole.entries.suffix(5).map(\.address))
                #expect(rest.entries.first?.tags.last == "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:02:00Z")
            }
            let cut = try #require(try list([newest], later))
            #expect(cut.sequence == 13 && cut.entries.map(\.address) == whole.entries.suffix(3).map(\.address))
            #expect(cut.entries.first?.tags.last == "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:02:04Z")
            #expect(try list([first, silent], origin) == nil)
        }
    }

    @Test("HLS: while a period grows nothing stands for sound that may only be late")
    func lateSound() throws {
        let recordings = [material("a"), material("b", startSecond: 60, isGrowing: true, hasAudio: false)]
        let timeline = try #require(Timeline(recordings, gaps: .collapse))
        let audio = try #require(timeline.mediaPlaylist(.audio, addresses: ObjectAddresses())?.text())
        #expect(audio.split(separator: "\n").count { $0.hasPrefix("#EXTINF") } == 5)
        #expect(!audio.contains("silence"))
    }

    @Test("HLS leaves WebM out where there is other video, and gives up where there is none")
    func webM() throws {
        let recordings = [material("a", codecs: "vp8"), material("b", startSecond: 60)]
        let mixed = try #require(Timeline(recordings, gaps: .collapse)?.withoutWebM)
        let playlist = try #require(mixed.mediaPlaylist(.video, addresses: ObjectAddresses())?.text())
        #expect(!playlist.contains(".webm"))
        #expect(playlist.contains("seg_b_0001.m4s"))
        #expect(!mixed.multivariantPlaylist(query: "").contains("vp8"))
        let webM = try #require(Timeline([material("a", codecs: "vp8")], gaps: .collapse))
        #expect(webM.withoutWebM == nil)
        let other = try #require(Timeline([material("b")], gaps: .collapse))
        #expect(other.withoutWebM == other)
    }
}
