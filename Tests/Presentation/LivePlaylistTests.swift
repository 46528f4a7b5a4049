import Cluster
import Foundation
import Media
import Presentation
import Testing

/// A recording that grows part by part: two tracks in segments of 4 s and parts of half a second, sound a little behind.
private struct GrowingRecording {
    var versions: Int64 = 0
    var revision: Int64 = 0
    var periods: [IndexedPeriod] = []
    var tracks: [LiveEdge.Track] = []
    var isOver = false

    static let lengths = (video: Int64(45_000), audio: Int64(24_000))

    mutating func beginPeriod(hasAudio: Bool = true) {
        let ordinal = periods.count
        let end = periods.last.map { $0.startUs + Int64($0.tracks[0].segments.count) * 4_000_000 + 2_000_000 } ?? tenOClockUs
        func track(_ kind: String, _ codecs: String, _ timescale: Int64) -> IndexedTrack {
            IndexedTrack(
                kind: kind, codecs: codecs, timescale: timescale, timeAtStart: 0, initialization: "d/\(kind)_init\(ordinal).m4s",
                segmentPrefix: "d/\(kind)\(ordinal)_", bandwidth: 1_000, width: kind == "video" ? 16 : nil,
                height: kind == "video" ? 16 : nil, channels: kind == "video" ? nil : 2, segments: [])
        }
        periods.append(
            IndexedPeriod(
                ordinal: ordinal, startUs: end,
                tracks: [track("video", "avc1.42e01f", 90_000)] + (hasAudio ? [track("audio", "opus", 48_000)] : [])))
        tracks += periods[ordinal].tracks.map { LiveEdge.Track(segmentPrefix: $0.segmentPrefix, segments: []) }
        revision += 1
    }

    mutating func addPart(_ kind: String) {
        versions += 1
        guard let (place, index) = place(kind) else { return }
        let length = kind == "video" ? Self.lengths.video : Self.lengths.audio
        if tracks[place].segments.last?.isFinished ?? true {
            let number = (tracks[place].segments.last?.number ?? 0) + 1
            tracks[place].segments.append(
                LiveEdge.Segment(number: number, time: (number - 1) * 8 * length, parts: [], isFinished: false))
        }
        let last = tracks[place].segments.count - 1
        let isFirst = tracks[place].segments[last].parts.isEmpty
        tracks[place].segments[last].parts.append(
            LiveEdge.Part(duration: length, isIndependent: isFirst || kind == "audio"))
        if tracks[place].segments[last].parts.count == 8 { finish(place, index) }
    }

    /// What is open ends as it is.
    mutating func endPeriod() {
        versions += 1
        for kind in ["audio", "video"] {
            guard let (place, index) = place(kind), tracks[place].segments.last?.isFinished == false else { continue }
            finish(place, index)
        }
    }

    private mutating func finish(_ place: Int, _ index: Int) {
        let last = tracks[place].segments.count - 1
        tracks[place].segments[last].isFinished = true
        revision += 1
        let done = tracks[place].segments[last]
        periods[periods.count - 1].tracks[index].segments.append(
            IndexedSegment(number: done.number, time: done.time, duration: done.parts.reduce(0) { $0 + $1.duration }))
    }

    private func place(_ kind: String) -> (Int, Int)? {
        guard let period = periods.last, let index = period.tracks.firstIndex(where: { $0.kind == kind }),
            let place = tracks.firstIndex(where: { $0.segmentPrefix == period.tracks[index].segmentPrefix })
        else { return nil }
        return (place, index)
    }

    func material(segmentsKnown: Int = .max) -> RecordedMaterial {
        let recording = IndexedRecording(
            stream: "demo", node: "edge-1", session: "s", startUs: tenOClockUs, status: isOver ? .completed : .active,
            mpdPath: "d/manifest.mpd", recordDir: "d", updatedUs: tenOClockUs + revision)
        var filled = periods.filter { $0.tracks.contains { !$0.segments.isEmpty } }
        for period in filled.indices {
            filled[period].tracks.removeAll { $0.segments.isEmpty }
            for track in filled[period].tracks.indices {
                let known = filled[period].tracks[track].segments.prefix(segmentsKnown)
                filled[period].tracks[track].segments = SegmentRuns(known)
            }
        }
        return RecordedMaterial(recording: recording, periods: filled, isGrowing: !isOver)
    }

    var edge: LiveEdge {
        var open = periods.last
        for index in open?.tracks.indices ?? 0..<0 { open?.tracks[index].segments = [] }
        return LiveEdge(
            version: versions, revision: revision, node: "edge-1", session: "s", partSecondsMax: 0.58, segmentSecondsMax: 12,
            recent: [material()], period: open, tracks: tracks)
    }

    func playlist(_ rendition: Timeline.Rendition) -> MediaPlaylist? {
        Timeline([material()], gaps: .keep)?.mediaPlaylist(
            rendition, addresses: ObjectAddresses(namesNodes: false), live: isOver ? nil : edge)
    }
}

@Suite("Low-latency playlists (RFC 8216bis 4.4.3.7 to 4.4.4.9, 6.2.1, 6.2.5)")
struct LivePlaylistTests {
    private func grown(parts: Int) -> GrowingRecording {
        var recording = GrowingRecording()
        recording.beginPeriod()
        for _ in 0..<parts {
            recording.addPart("audio")
            recording.addPart("video")
        }
        return recording
    }

    @Test("a session that has only begun ends nothing: the line grows on before it has a segment")
    func begun() throws {
        var begun = material("b", startSecond: 10, isGrowing: true)
        begun.periods = []
        let line = try #require(Timeline([material("a"), begun], gaps: .keep))
        #expect(line.isGrowing)
        #expect(try #require(line.mediaPlaylist(.video, addresses: ObjectAddresses())?.text()).contains("ENDLIST") == false)
        #expect(line.mpd(addresses: ObjectAddresses(), isDynamic: line.isGrowing).xml.contains("type=\"dynamic\""))
        // An index may not have heard of it.
        let merged = RecordedMaterial.merge([material("a", isGrowing: true)], [material("a"), begun], fromUs: nil, toUs: nil)
        #expect(Timeline(merged, gaps: .keep)?.isGrowing == true)
        #expect(Timeline([begun], gaps: .keep) == nil)
    }

    @Test("the playlist names its parts, what comes next, and how near the end a player may go")
    func tags() throws {
        let text = try #require(grown(parts: 11).playlist(.video)?.text())
        for line in [
            "#EXT-X-TARGETDURATION:12", "#EXT-X-PART-INF:PART-TARGET=0.580000",
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=72.0,PART-HOLD-BACK=1.740000,HOLD-BACK=36.0",
            "#EXT-X-PART:DURATION=0.500000,URI=\"../../record/object/d/video0_0001.m4s?part=0\",INDEPENDENT=YES",
            "#EXT-X-PART:DURATION=0.500000,URI=\"../../record/object/d/video0_0001.m4s?part=7\"",
            "#EXTINF:4.000000,", "../../record/object/d/video0_0001.m4s",
            "#EXT-X-PART:DURATION=0.500000,URI=\"../../record/object/d/video0_0002.m4s?part=2\"",
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../../record/object/d/video0_0002.m4s?part=3\"",
            "#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=2,LAST-PART=2",
        ] { #expect(text.contains("\(line)\n"), "\(line) is missing in\n\(text)") }
        let parts = grown(parts: 8)
        let timeline = try #require(Timeline([parts.material()], gaps: .keep))
        let audio = try #require(
            timeline.mediaPlaylist(.audio, addresses: ObjectAddresses(), live: parts.edge, query: "from=1&token=t"))
        #expect(audio.text().hasSuffix("#EXT-X-RENDITION-REPORT:URI=\"video.m3u8?from=1&token=t\",LAST-MSN=1,LAST-PART=7\n"))
    }

    @Test("a reload waits for exactly what it asks for, and one that asks too far ahead is a mistake")
    func blocking() throws {
        let list = try #require(grown(parts: 11).playlist(.video))
        #expect(list.lastSequence == 1 && list.openParts == 3)
        for (sequence, part, isThere) in [
            (0, nil, true), (1, nil, true), (1, 0, true), (1, 7, true), (1, 8, true), (2, nil, false), (2, 2, true),
            (2, 3, false), (3, nil, false), (3, 0, false),
        ] as [(Int, Int?, Bool)] {
            #expect(list.has(sequence: sequence, part: part) == isThere, "segment \(sequence), part \(part ?? -1)")
            #expect(!list.isAbsurd(sequence: sequence, part: part))
        }
        #expect(list.isAbsurd(sequence: 4, part: nil) && list.isAbsurd(sequence: 2, part: 100))
        #expect(list.waitSecondsMax == 36)
        // Behind the last part of the last segment there is nothing until the next one has begun.
        let full = try #require(grown(parts: 8).playlist(.video))
        #expect(full.has(sequence: 1, part: 7) && !full.has(sequence: 1, part: 8) && !full.has(sequence: 2, part: 0))
    }

    @Test("a reload waits for the numbers its address counts from, and no longer than what is known here calls for")
    func origin() throws {
        let recording = grown(parts: 11)
        let origin = try #require(PlaylistOrigin("180.3.101.1.101.1.edge-1.s.0"))
        #expect(PlaylistOrigin("181.3.101.1.101.1.edge-1.s.0") == nil)
        let line = try #require(Timeline([recording.material()], gaps: .keep))
        let found = line.mediaPlaylist(
            .video, addresses: ObjectAddresses(namesNodes: false), live: recording.edge, origin: origin)
        let list = try #require(found)
        #expect(list.text().contains("#EXT-X-TARGETDURATION:180\n"))
        #expect(list.waitSecondsMax == 36)
        #expect(list.lastSequence == 101 && list.has(sequence: 101, part: nil) && !list.has(sequence: 102, part: nil))
        #expect(list.has(sequence: 102, part: 2) && !list.has(sequence: 102, part: 3))
    }

    @Test("so does one whose version begins where numbers are counted from")
    func shortenedDelta() throws {
        let recording = grown(parts: 8 * 30 + 3)
        let origin = try #require(PlaylistOrigin("12.3.101.6.101.6.edge-1.s.0"))
        let line = try #require(Timeline([recording.material()], gaps: .keep))
        let found = line.mediaPlaylist(
            .video, addresses: ObjectAddresses(namesNodes: false), live: recording.edge, origin: origin)
        let list = try #require(found)
        let (whole, delta) = (PlaylistCheck(list.text()), PlaylistCheck(list.text(isDelta: true)))
        #expect(whole.sequence == 101 && whole.entries.count == 25 && whole.skipped == 0)
        #expect(delta.sequence == 101 && delta.skipped == 7 && delta.entries.count == 18)
        #expect(delta.entries.map(\.address) == whole.entries.dropFirst(7).map(\.address))
    }

    @Test("a player that has an older version gets what is new, and the counts fit")
    func delta() throws {
        let list = try #require(grown(parts: 8 * 30 + 3).playlist(.video))
        let (whole, delta) = (PlaylistCheck(list.text()), PlaylistCheck(list.text(isDelta: true)))
        #expect(whole.entries.count == 30 && whole.skipped == 0)
        #expect(delta.skipped == 12 && delta.entries.count == 18)
        #expect(delta.entries.map(\.address) == whole.entries.dropFirst(12).map(\.address))
        let short = try #require(grown(parts: 8 * 10).playlist(.video))
        #expect(short.text(isDelta: true) == short.text())
    }

    @Test("behind a period that has ended nothing is announced until the next one has begun")
    func between() throws {
        var recording = grown(parts: 11)
        recording.endPeriod()
        var edge = recording.edge
        edge.period = nil
        let timeline = try #require(Timeline([recording.material()], gaps: .keep))
        let ended = try #require(timeline.mediaPlaylist(.video, addresses: ObjectAddresses(), live: edge))
        #expect(ended.lastSequence == 2 && PlaylistCheck(ended.text()).hints == [] && !ended.isEdgeStale)
        #expect(!ended.has(sequence: 3, part: 0) && !ended.isAbsurd(sequence: 3, part: 0))
        recording.beginPeriod()
        recording.addPart("video")
        let begun = try #require(recording.playlist(.video))
        #expect(
            begun.has(sequence: 3, part: 0) && PlaylistCheck(begun.text()).hints.first?.contains("video1_0001.m4s?part=1") == true
        )
    }

    @Test("from version to version entries stay as they are, over changes of period, without sound and at the end")
    func versions() throws {
        var recording = GrowingRecording()
        var last: [Timeline.Rendition: PlaylistCheck] = [:]
        func check(_ note: String) {
            for rendition in Timeline.Rendition.allCases {
                guard let list = recording.playlist(rendition) else { continue }
                let now = PlaylistCheck(list.text())
                let faults = last[rendition].map { now.faults(after: $0) } ?? now.faults
                #expect(faults.isEmpty, "\(rendition) \(note): \(faults)")
                #expect(!list.isEdgeStale)
                #expect(now.hints.count <= 1)
                last[rendition] = now
            }
        }
        for (period, count) in [20, 9, 12, 17].enumerated() {
            recording.beginPeriod(hasAudio: period != 1)
            check("at the beginning of period \(period)")
            for part in 0..<count {
                // One track is ahead of the other, now this one and now that.
                for kind in part % 3 == 0 ? ["video", "audio"] : ["audio", "video"] {
                    recording.addPart(kind)
                    check("in period \(period), part \(part) of \(kind)")
                }
            }
            recording.endPeriod()
            check("behind period \(period)")
        }
        recording.isOver = true
        let video = try #require(last[.video])
        check("at the end")
        #expect(video.entries.count == 3 + 2 + 2 + 3)
        #expect(last[.video]?.hasEnd == true && last[.audio]?.hasEnd == true)
        #expect(last[.audio]?.entries.count { $0.address.hasPrefix("silence.m4s") } == 2)
    }

    @Test("nobody is told of a period before all of its tracks are there: what they are must not change")
    func settling() throws {
        var recording = GrowingRecording()
        recording.beginPeriod()
        for _ in 0..<8 { recording.addPart("video") }
        let first = try #require(Timeline([recording.material()], gaps: .keep))
        #expect(first.periods.count == 1 && first.settled(recording.edge) == nil && first.settled(nil) == first)
        for _ in 0..<8 { recording.addPart("audio") }
        let whole = try #require(Timeline([recording.material()], gaps: .keep))
        #expect(whole.settled(recording.edge) == whole)
        recording.beginPeriod()
        for _ in 0..<8 { recording.addPart("audio") }
        let next = try #require(Timeline([recording.material()], gaps: .keep))
        #expect(next.periods.count == 2 && next.settled(recording.edge)?.periods == whole.periods)
        recording.isOver = true
        #expect(Timeline([recording.material()], gaps: .keep)?.settled(recording.edge)?.periods.count == 2)
    }

    @Test("DASH: nothing that has been said changes, except that what grows has more")
    func mpdVersions() throws {
        var recording = GrowingRecording()
        var earlier: [[String]] = []
        for count in [20, 9, 17] {
            recording.beginPeriod()
            for _ in 0..<count {
                recording.addPart("audio")
                recording.addPart("video")
                guard let timeline = Timeline([recording.material()], gaps: .keep) else { continue }
                let xml = timeline.mpd(addresses: ObjectAddresses(), isDynamic: true).xml
                let lines = xml.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
                let fixed = lines.filter { line in
                    ["<Period ", "<AdaptationSet", "<Representation", "<SegmentTemplate", "<ProducerReferenceTime"]
                        .contains { line.hasPrefix($0) }
                }.map(withoutDuration)
                if let last = earlier.last { #expect(fixed.starts(with: last), "\(last)\nbecame\n\(fixed)") }
                earlier.append(fixed)
                #expect(xml.contains("availabilityStartTime=\"2026-11-20T10:00:00Z\""))
            }
        }
        #expect(earlier.count > 30)
    }

    /// A period gets its duration when it ends, and a bandwidth may grow.
    private func withoutDuration(_ line: String) -> String {
        line.replacing(#/ (duration|bandwidth)="[^"]*"/#, with: "")
    }

    @Test("an index that is behind is brought up to date by what the node tells")
    func merging() throws {
        var recording = grown(parts: 30)
        recording.beginPeriod()
        for _ in 0..<10 {
            recording.addPart("audio")
            recording.addPart("video")
        }
        for known in 0...3 {
            let behind = known == 0 ? [] : [recording.material(segmentsKnown: known)]
            let merged = RecordedMaterial.merge(behind, recording.edge.recent, fromUs: nil, toUs: nil)
            #expect(Timeline(merged, gaps: .keep) == Timeline([recording.material()], gaps: .keep))
        }
        let later = RecordedMaterial.merge([], recording.edge.recent, fromUs: tenOClockUs + 9_000_000, toUs: nil)
        #expect(Timeline(later, gaps: .keep)?.periods.first?.tracks.first?.track.segments.first?.number == 3)
    }

    @Test("what a node tells of its edge is taken as it is meant, or not at all")
    func record() throws {
        let segment = LiveEdgeRecord.Segment(number: 3, t: 720_000, finished: false, parts: [45_000, 45_000], independent: [0])
        func record(_ segment: LiveEdgeRecord.Segment, part: Double = 0.58) -> LiveEdgeRecord {
            LiveEdgeRecord(
                version: 7, revision: 5, session: "s", partSecondsMax: part, segmentSecondsMax: 12, recordings: [], open: nil,
                openOrdinal: 0, tracks: [LiveEdgeRecord.Track(prefix: "d/seg_", segments: [segment])])
        }
        let data = try JSONEncoder().encode(record(segment))
        let edge = try #require(LiveEdge(try JSONDecoder().decode(LiveEdgeRecord.self, from: data), node: "n"))
        #expect(edge.version == 7 && edge.node == "n")
        #expect(edge.tracks.first?.segments.first?.parts.map(\.isIndependent) == [true, false])
        var broken = segment
        broken.parts = [0]
        #expect(LiveEdge(record(broken), node: "n") == nil)
        broken = segment
        broken.number = .max
        #expect(LiveEdge(record(broken), node: "n") == nil)
        broken = segment
        broken.t = -1
        #expect(LiveEdge(record(broken), node: "n") == nil)
        #expect(LiveEdge(record(segment, part: .nan), node: "n") == nil && LiveEdge(record(segment, part: 0), node: "n") == nil)
    }

    @Test(
        "silence has the times it is asked for",
        arguments: ["opus", "mp4a.40.2", "mp4a.40.5"],
        [(0, 96_000), (480_000, 96_017), (7, 100), (48_000, 1)] as [(Int64, Int64)])
    func silence(codecs: String, span: (time: Int64, duration: Int64)) throws {
        let silence = try #require(Silence(codecs: codecs, sampleRate: 48_000, channels: 2))
        let segment = try silence.segment(time: span.time, duration: span.duration)
        let extent = try #require(FragmentScanner(segment).extent)
        #expect(extent.time == span.time && extent.duration == span.duration)
        #expect(try silence.segment(time: span.time, duration: span.duration) == segment)
        #expect(try silence.initialization().count > 100)
        #expect(silence.query == "codecs=\(codecs)&rate=48000&channels=2")
    }

    @Test("there is silence of what can be made, and not without end")
    func noSilence() throws {
        #expect(Silence(codecs: "opus", sampleRate: 48_000, channels: 9) == nil)
        #expect(Silence(codecs: "opus", sampleRate: 48_000, channels: 6)?.query == "codecs=opus&rate=48000&channels=6")
        // Timed by the core or by what is heard.
        for rate in [24_000, 48_000] {
            #expect(Silence(codecs: "mp4a.40.5", sampleRate: rate, channels: 2)?.timescale == Int64(rate))
        }
        #expect(
            Silence(codecs: "mp4a.40.29", sampleRate: 44_100, channels: 1)?.query == "codecs=mp4a.40.29&rate=44100&channels=1")
        #expect(Silence(codecs: "mp4a.40.29", sampleRate: 44_100, channels: 2) == nil)
        #expect(Silence(codecs: "mp4a.40.2", sampleRate: 44_100, channels: 6)?.timescale == 44_100)
        #expect(Silence(codecs: "mp4a.40.2", sampleRate: 48_000, channels: 8)?.query == "codecs=mp4a.40.2&rate=48000&channels=8")
        #expect(Silence(codecs: "mp4a.40.2", sampleRate: 44_101, channels: 2) == nil)
        let silence = try #require(Silence(codecs: "opus", sampleRate: 48_000, channels: 1))
        #expect(throws: FragmentWriterError.unsupported) { try silence.segment(time: -1, duration: 1) }
        let long = Silence.secondsMax * silence.timescale
        #expect(throws: FragmentWriterError.unsupported) { try silence.segment(time: 0, duration: long + 1) }
    }
}
