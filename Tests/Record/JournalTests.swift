import Cluster
import Foundation
import Journal
import Media
import MediaFixtures
import Presentation
import StoreFixtures
import Testing

@testable import Record
@testable import Store

@Suite("Session journals")
struct JournalTests {
    /// A journal of two Periods with both tracks.
    private func journal() -> [UInt8] {
        var lines: [JournalLine] = []
        var at: Int64 = 1_795_190_400_000_000
        func add(_ event: JournalLine.Event, _ change: (inout JournalLine) -> Void) {
            at += 1
            var line = JournalLine(event, at: at)
            change(&line)
            lines.append(line)
        }
        add(.session) {
            ($0.id, $0.stream, $0.node, $0.startUs, $0.version) = ("abc", "demo", "edge-a", 1_795_190_400_000_000, 1)
        }
        for period in 1...2 {
            add(.period) { ($0.period, $0.startUs) = (period, 1_795_190_400_000_000 + Int64(period) * 20_000_000) }
            for kind in LaneKind.allCases {
                add(.track) { line in
                    (line.period, line.kind, line.timescale) = (period, kind, kind == .video ? 90_000 : 48_000)
                    line.codecs = kind == .video ? "avc1.42e01f" : "opus"
                    (line.initialization, line.prefix) = ("\(kind)\(period).m4s", "\(kind)\(period)_")
                    (line.width, line.height, line.channels) = (320, 180, 2)
                }
                for number in 1...3 {
                    add(.segment) { line in
                        let ticks: Int64 = kind == .video ? 360_000 : 192_000
                        (line.period, line.kind, line.number) = (period, kind, number)
                        (line.time, line.duration, line.bytes, line.samples) = (Int64(number - 1) * ticks, ticks, 50_000, 120)
                        if period == 2, kind == .video, number == 2 { line.sync = false }
                    }
                }
            }
            add(.periodEnd) { $0.period = period }
        }
        add(.end) { _ in }
        return lines.flatMap { $0.encoded() }
    }

    @Test("what was written is read, with everything that follows from it")
    func roundTrip() throws {
        let bytes = journal()
        let (session, whole) = try #require(RecordedSession.read(bytes, directory: "demo/day"))
        #expect(whole == bytes.count)
        #expect(session.status == .completed && session.periods.count == 2)
        #expect(session.row.durationMs == 24_000)
        #expect(session.endUs == 1_795_190_452_000_000)
        let detail = session.detail
        #expect(detail.tracks.count == 2)
        #expect(detail.periods[1].tracks[0].segments[2].object == "demo/day/video2_0003.m4s")
        #expect(detail.tracks.first?.bandwidth == 100_000)
        #expect(
            detail.periods.map { $0.tracks.map { $0.segments.map { $0.sync ?? true } } }
                == session.indexed.map {
                    $0.tracks.map { $0.segments.map(\.startsWithSync) }
                })
        #expect(detail.periods[1].tracks[0].segments.map(\.sync) == [nil, false, nil])
        let mpd = try #require(DayManifest.render([session], publishUs: 0, segmentSeconds: 4))
        #expect(mpd.kind == .static && mpd.periods.map(\.startUs) == [0, 12_000_000])
    }

    @Test("a journal cut anywhere gives what its whole lines say")
    func torn() {
        let bytes = journal()
        for cut in stride(from: 0, to: bytes.count, by: 7) {
            let lines = bytes.prefix(cut).split(separator: 0x0A, omittingEmptySubsequences: false).count - 1
            let read = RecordedSession.read(Array(bytes.prefix(cut)), directory: "d")
            #expect((read == nil) == (lines == 0))
            #expect(read.map { $0.wholeBytes } ?? 0 == (bytes.prefix(cut).lastIndex(of: 0x0A).map { $0 + 1 } ?? 0))
            #expect(read?.session.isEnded != true)
        }
    }

    @Test("while a session is open its Periods stand where the clock had them; afterwards they follow each other")
    func gaps() throws {
        let lines = journal().split(separator: 0x0A).map { Array($0) + [0x0A] }
        let open = try #require(RecordedSession.read(lines.dropLast().flatMap { $0 }, directory: "d")).session
        let mpd = try #require(DayManifest.render([open], publishUs: 7, segmentSeconds: 4))
        #expect(mpd.periods.map(\.startUs) == [0, 20_000_000])
        #expect(mpd.kind == .dynamic(availabilityStartUs: 1_795_190_420_000_000, publishUs: 7, updateSeconds: 4))
        // A growing Period of which one track has no segment yet is not shown: its tracks must not change afterwards.
        let early = try #require(RecordedSession.read(lines.prefix(6).flatMap { $0 }, directory: "d")).session
        #expect(DayManifest.render([early], publishUs: 7, segmentSeconds: 4) != nil)
        let half = try #require(RecordedSession.read(lines.prefix(7).flatMap { $0 }, directory: "d")).session
        #expect(DayManifest.render([half], publishUs: 7, segmentSeconds: 4) == nil)
    }

    @Test("positions stay when what was recorded before is deleted: a version's address says from when they are counted")
    func origin() throws {
        let lines = journal().split(separator: 0x0A).map { Array($0) + [0x0A] }
        let open = try #require(RecordedSession.read(lines.dropLast().flatMap { $0 }, directory: "d")).session
        let firstUs: Int64 = 1_795_190_420_000_000
        let originUs = firstUs - 60_000_000
        let mpd = try #require(DayManifest.render([open], publishUs: 7, segmentSeconds: 4, originUs: originUs))
        #expect(mpd.kind == .dynamic(availabilityStartUs: originUs, publishUs: 7, updateSeconds: 4))
        #expect(mpd.periods.map(\.startUs) == [60_000_000, 80_000_000])
        let origin = try #require(mpd.location?.split(separator: "=").last.map(String.init))
        #expect(DayManifest.originUs(origin) == originUs && DayManifest.originUs("-1") == nil)
        // Nor when all has ended; whoever begins then finds the beginning.
        let kept = DayManifest.render([open.ended], publishUs: 7, segmentSeconds: 4, keepsGaps: true, originUs: originUs)
        #expect(kept?.periods.map(\.startUs) == [60_000_000, 80_000_000])
        let plain = DayManifest.render([open.ended], publishUs: 7, segmentSeconds: 4, originUs: originUs)
        #expect(plain?.periods.first?.startUs == 0)
        // An instant behind the beginning is none.
        let late = DayManifest.render([open], publishUs: 7, segmentSeconds: 4, originUs: firstUs + 1)
        #expect(late?.periods.first?.startUs == 0)
    }

    @Test("who followed a manifest from when it grew finds every Period where it was; who begins afterwards finds no gaps")
    func finished() async throws {
        let place = try RecordingDirectory()
        let directory = try ObjectKey("demo/2026/11/20")
        let lines = journal().split(separator: 0x0A).map { Array($0) + [0x0A] }
        let open = try #require(RecordedSession.read(lines.dropLast().flatMap { $0 }, directory: directory.path)).session
        let growing = try #require(DayManifest.render([open], publishUs: 7, segmentSeconds: 4))
        #expect(growing.location == "manifest.mpd?gaps=keep&origin=1795190420000000")
        try place.store.putNow(try directory.appending(JournalName.of("abc")), journal(), ifAbsent: true)
        let recorder = try place.recorder([:])
        try await recorder.recover()
        let key = try directory.appending(DayManifest.name)
        #expect(await recorder.liveManifest(key) == nil)
        let kept = String(decoding: try #require(await recorder.liveManifest(key, gaps: "keep")), as: UTF8.self)
        var check = PresentationCheck()
        try check.take(growing.xml)
        try check.take(kept)
        #expect(check.broken == [] && check.location == nil)
        #expect(kept.contains("type=\"static\"") && kept.contains("start=\"PT20S\""))
        await recorder.stopAll()
    }

    /// Lines that say that segments of both tracks are gone.
    private func gone(_ numbers: [Int], kinds: [LaneKind] = LaneKind.allCases, at: Int64) -> [UInt8] {
        kinds.flatMap { kind in
            numbers.flatMap { number in
                var line = JournalLine(.gone, at: at)
                (line.period, line.kind, line.number) = (1, kind, number)
                return line.encoded()
            }
        }
    }

    @Test("a segment that is gone leaves a hole; the manifest goes on in another Period behind it, and so do timelines")
    func hole() throws {
        let text = JournalText("one", segments: 6)
        let whole = try #require(RecordedSession.read(text.bytes, directory: text.directory)).session
        let bytes = text.bytes + gone([3], at: whole.updatedUs + 1)
        let session = try #require(RecordedSession.read(bytes, directory: text.directory)).session
        let track = session.periods[0].tracks[0]
        #expect(track.segments.map(\.number) == [1, 2, 4, 5, 6] && track.nextNumber == 7 && track.gone.map(\.number) == [3])
        #expect(session.endUs == whole.endUs && session.isEnded && session.updatedUs == whole.updatedUs + 1)
        let mpd = try #require(DayManifest.render([session], publishUs: 0, segmentSeconds: 4))
        #expect(mpd.periods.map(\.id) == ["one-1", "one-1.4"])
        #expect(mpd.periods.map { $0.tracks.map(\.startNumber) } == [[1, 1], [4, 4]])
        #expect(mpd.periods.map { $0.tracks.map(\.timeline.count) } == [[2, 2], [3, 3]])
        // Pictures go on first: 3 x 4 s and 42 ticks.
        #expect(mpd.periods[1].tracks.map(\.presentationTimeOffset) == [1_080_042, 576_022])
        #expect(mpd.periods[1].startUs == mpd.periods[0].durationUs)
        let kept = try #require(DayManifest.render([session], publishUs: 0, segmentSeconds: 4, keepsGaps: true))
        #expect(kept.periods.map(\.startUs) == [0, 12_000_466])
        let recording = try #require(IndexedRecording(session.row, node: "edge-a"))
        let timeline = try #require(
            Timeline([RecordedMaterial(recording: recording, periods: session.indexed, isGrowing: false)], gaps: .keep))
        #expect(timeline.periods.map(\.startUs) == [0, 12_000_467])
    }

    @Test("what one track has where the other has a hole is named all the same, once")
    func holeInOne() throws {
        let text = JournalText("one", segments: 6)
        let bytes = text.bytes + gone([1, 3], kinds: [.audio], at: text.startUs)
        let session = try #require(RecordedSession.read(bytes, directory: text.directory)).session
        let mpd = try #require(DayManifest.render([session], publishUs: 0, segmentSeconds: 4))
        #expect(mpd.periods.map { $0.tracks.map(\.startNumber) } == [[1], [2, 2], [4, 4]])
        #expect(mpd.periods.map { $0.tracks.map(\.timeline.count) } == [[1], [2, 1], [3, 3]])
        #expect(Set(mpd.periods.map(\.id)).count == 3)
    }

    /// Names of the objects that a playlist lists between its discontinuities.
    private func listed(_ playlist: String) -> [[String]] {
        playlist.components(separatedBy: "#EXT-X-DISCONTINUITY\n").map { part in
            part.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap {
                $0.prefix { $0 != "?" }.split(separator: "/").last.map(String.init)
            }
        }
    }

    @Test(
        "timelines go on behind a hole in one track with what both have, and nothing else of the other is missing",
        arguments: [
            (.audio, [3], [0, 12_000_467], [[1, 2, 3], [4, 5, 6]], [[1, 2], [4, 5, 6]]),
            (.audio, [1, 3], [0, 12_000_467], [[1, 2, 3], [4, 5, 6]], [[2], [4, 5, 6]]),
            (.audio, [2, 4], [0, 8_000_233, 16_000_778], [[1, 2], [3, 4], [5, 6]], [[1], [3], [5, 6]]),
            (.video, [3], [0, 8_000_233], [[1, 2], [4, 5, 6]], [[1, 2], [4, 5, 6]]),
        ] as [(LaneKind, [Int], [Int64], [[Int]], [[Int]])])
    func holeInOneOnTimelines(kind: LaneKind, lost: [Int], startsUs: [Int64], video: [[Int]], audio: [[Int]]) throws {
        let text = JournalText("one", segments: 6)
        let bytes = text.bytes + gone(lost, kinds: [kind], at: text.startUs)
        let session = try #require(RecordedSession.read(bytes, directory: text.directory)).session
        let recording = try #require(IndexedRecording(session.row, node: "edge-a"))
        let material = RecordedMaterial(recording: recording, periods: session.indexed, isGrowing: false)
        let timeline = try #require(Timeline([material], gaps: .collapse))

        let firsts = zip(video, audio).map { [$0[0], $1[0]] }
        let counts = zip(video, audio).map { [$0.count, $1.count] }
        let mpd = timeline.mpd(addresses: ObjectAddresses(), isDynamic: false)
        #expect(mpd.periods.map(\.startUs) == startsUs && Set(mpd.periods.map(\.id)).count == startsUs.count)
        #expect(mpd.periods.map { $0.tracks.map(\.startNumber) } == firsts)
        #expect(mpd.periods.map { $0.tracks.map(\.timeline.count) } == counts)
        #expect(mpd.periods.allSatisfy { $0.tracks.allSatisfy { $0.timeline.breaks == [0] } })
        for (rendition, numbers) in [(Timeline.Rendition.video, video), (Timeline.Rendition.audio, audio)] {
            let playlist = try #require(timeline.mediaPlaylist(rendition, addresses: ObjectAddresses())).text()
            let head = rendition == .video ? "seg_one_000" : "audio_seg_one_000"
            // HLS has silence where sound alone is lost.
            let whole = (numbers[0][0]...6).map { numbers.joined().contains($0) ? "\(head)\($0).m4s" : "silence.m4s" }
            #expect(listed(playlist) == (kind == .audio ? [whole] : numbers.map { $0.map { "\(head)\($0).m4s" } }))
        }
        let clip = try #require(ClipPlan(timeline, wallUs: text.startUs..<text.startUs + 60_000_000))
        #expect(clip.sections.map { $0.lanes.map(\.track.segments.count) } == counts)

        // By the clock, what is behind a hole stands where it was.
        let kept = try #require(Timeline([material], gaps: .keep))
        #expect(kept.periods.map(\.startUs) == (kind == .audio ? startsUs : [0, 12_000_467]))
        let behind = try #require(kept.periods.last?.tracks.first)
        #expect(behind.presentationTimeOffset == behind.track.segments.first?.time)
    }

    @Test("numbers go on behind what is gone, and behind what is lost where that began")
    func numbersStayTaken() throws {
        let text = JournalText("one", segments: 3, end: .none)
        var session = try #require(RecordedSession.read(text.bytes + gone([3], at: text.startUs), directory: text.directory))
            .session
        #expect(session.periods[0].tracks.map(\.nextNumber) == [4, 4])
        let fourth = JournalText("one", segments: 4, end: .none).lines.suffix(2)
        for line in fourth { session.apply(line) }
        #expect(session.periods[0].tracks.map { $0.segments.map(\.number) } == [[1, 2, 4], [1, 2, 4]])
        var lost = JournalLine(.lost, at: text.startUs)
        (lost.period, lost.kind, lost.number) = (1, .video, 3)
        session.apply(lost)
        #expect(session.periods[0].tracks.map(\.nextNumber) == [3, 5])
    }

    @Test("lines of a later version are passed over, damaged ones end what is read")
    func unknownLines() throws {
        let text = JournalText("one", segments: 3)
        let lines = text.lines.map { $0.encoded() }
        let later = Array("{\"at\":1795190400000009,\"event\":\"later\",\"n\":[7]}\n".utf8)
        let bytes = lines.flatMap { $0 + later }
        let read = try #require(RecordedSession.read(bytes, directory: text.directory))
        let whole = try #require(RecordedSession.read(text.bytes, directory: text.directory)).session
        #expect(read.session == whole && read.wholeBytes == bytes.count)
        for damaged in ["{\"at\":5,\"event\":\"end\",\"n\":\"7\"}\n", "{\"at\":5,\"event\n", "[]\n"] {
            let head = lines.prefix(5).flatMap { $0 }
            let cut = head + Array(damaged.utf8) + lines.dropFirst(5).flatMap { $0 }
            #expect(RecordedSession.read(cut, directory: text.directory)?.wholeBytes == head.count)
        }
    }

    @Test(
        "of what is gone, each hole is said once, and an end once",
        arguments: [
            ([], []), ([2], ["gone 2 1"]), ([2, 3], ["gone 2 2"]), ([1, 3, 4, 5], ["gone 1 1", "gone 3 3"]),
            ([6], ["lost 6 0"]), ([2, 5, 6], ["gone 2 1", "lost 5 0"]), ([1, 2, 3, 4, 5, 6], ["lost 1 0"]), ([0], ["lost 1 0"]),
        ] as [(Set<Int>, Set<String>)])
    func losses(numbers: Set<Int>, expected: Set<String>) throws {
        let text = JournalText("one", segments: 6)
        let session = try #require(RecordedSession.read(text.bytes, directory: text.directory)).session
        let track = session.periods[0].tracks[0]
        // 0 stands for the initialization object.
        let names = Set(numbers.map { $0 == 0 ? track.initialization : track.objectName($0) })
        let lines = session.lines(losing: { names.contains($0) }, clock: UpdateClock(now: { 1 }))
        #expect(lines.allSatisfy { $0.kind == .video && $0.period == 1 } && lines.count == expected.count)
        #expect(Set(lines.map { "\($0.event) \($0.number ?? 0) \($0.segments ?? 0)" }) == expected)
        // Read again it is without them.
        let bytes = text.bytes + lines.flatMap { $0.encoded() }
        let read = try #require(RecordedSession.read(bytes, directory: text.directory)).session
        let left = numbers.contains(0) ? [] : (1...6).filter { !numbers.contains($0) }
        #expect(read.periods[0].tracks[0].segments.map(\.number) == left)
    }

    @Test(
        "a run that is gone may reach over what is gone already, and beyond what there is",
        arguments: [(3, 3, [1, 6]), (5, 2, [1, 3]), (5, 1_000_000_000, [1, 3]), (1, 6, [])] as [(Int, Int64, [Int])])
    func runs(number: Int, count: Int64, left: [Int]) throws {
        let text = JournalText("one", segments: 6, end: .none)
        let bytes = text.bytes + gone([4, 2], at: text.startUs)
        var session = try #require(RecordedSession.read(bytes, directory: text.directory)).session
        #expect(session.periods[0].tracks[0].gone.map(\.number) == [2, 4])
        var line = JournalLine(.gone, at: text.startUs)
        (line.period, line.kind, line.number, line.segments) = (1, .video, number, count)
        session.apply(line)
        let track = session.periods[0].tracks[0]
        #expect(track.segments.map(\.number) == left && track.nextNumber == 7)
        #expect(track.gone.map(\.number) == (1...6).filter { !left.contains($0) })
        for count in [Int64.min, 0, -1, .max] {
            (line.number, line.segments) = (1, count)
            session.apply(line)
        }
        #expect(session.periods[0].tracks[0] == track)
    }

    @Test("damaged journals never trap, nor does what is made of them", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let numbers = ["-1", "0", "9223372036854775807", "-9223372036854775808", "1e400", "4611686018427387904", "null", "1.5"]
        let plain = journal()
        for round in 0..<150 {
            var bytes = plain
            if round % 2 == 0 {
                for _ in 0..<3 { bytes = bytes.mutated(by: &generator) }
            } else {
                // A number made extreme, in the middle of valid JSON.
                var text = String(decoding: plain, as: UTF8.self)
                let keys = [
                    "\"t\":", "\"d\":", "\"bytes\":", "\"n\":", "\"period\":", "\"timescale\":", "\"start_us\":", "\"at\":",
                    "\"samples\":",
                ]
                let key = keys[Int.random(in: 0..<keys.count, using: &generator)]
                let value = numbers[Int.random(in: 0..<numbers.count, using: &generator)]
                text = text.replacingOccurrences(of: "\(key)[0-9]+", with: key + value, options: .regularExpression)
                bytes = Array(text.utf8)
            }
            guard let (session, whole) = RecordedSession.read(bytes, directory: "d") else { continue }
            #expect(whole <= bytes.count)
            _ = session.row
            _ = session.detail
            _ = DayManifest.render([session, session], publishUs: 0, segmentSeconds: 4)?.xml
        }
    }
}
