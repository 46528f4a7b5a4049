import Presentation
import Testing

@Suite("HLS lists that grow behind a recording of which something is lost (RFC 8216 6.2.1)")
struct PlaylistHoleTests {
    /// An ended recording without some segments of some tracks, and one that grows behind it.
    private func line(
        losing numbers: ClosedRange<Int64>?, of kinds: Set<String> = ["video", "audio"], hasAudio: Bool = true,
        isGrowing: Bool = true
    ) throws -> Timeline {
        var ended = material("a", seconds: 40, hasAudio: hasAudio)
        for index in ended.periods[0].tracks.indices where kinds.contains(ended.periods[0].tracks[index].kind) {
            let segments = ended.periods[0].tracks[index].segments
            ended.periods[0].tracks[index].segments = SegmentRuns(segments.filter { numbers?.contains($0.number) != true })
        }
        let next = material("b", startSecond: 50, seconds: 20, isGrowing: isGrowing)
        return try #require(Timeline([ended, next], gaps: .keep))
    }

    private func list(
        _ line: Timeline, _ rendition: Timeline.Rendition, from origin: PlaylistOrigin?
    ) throws -> MediaPlaylist {
        try #require(line.mediaPlaylist(rendition, addresses: ObjectAddresses(namesNodes: false), origin: origin))
    }

    private static let origin = PlaylistOrigin("12.0.1.1.1.1.edge-1.a.0")

    @Test(
        "every other segment keeps its number, its discontinuity and its time, and so it is when the list ends",
        arguments: Timeline.Rendition.allCases, [["video", "audio"], ["video"], ["audio"]] as [Set<String>])
    func numbers(rendition: Timeline.Rendition, lost kinds: Set<String>) throws {
        for lost in [4...4, 4...9, 2...19] as [ClosedRange<Int64>] {
            let whole = PlaylistCheck(try list(line(losing: nil), rendition, from: Self.origin).text())
            for isGrowing in [true, false] {
                let holed = PlaylistCheck(
                    try list(line(losing: lost, of: kinds, isGrowing: isGrowing), rendition, from: Self.origin).text())
                #expect(holed.entries.count == 30 && holed.faults.isEmpty && holed.hasEnd == !isGrowing)
                #expect(holed.sequence == whole.sequence && holed.discontinuitySequence == whole.discontinuitySequence)
                for (place, (now, before)) in zip(holed.entries, whole.entries).enumerated() {
                    let number = Int64(place) + 1
                    // Sound alone beside lost pictures is not played, silence beside pictures is.
                    let isGap = lost.contains(number) && kinds.contains("video")
                    let isSilent = lost.contains(number) && kinds == ["audio"] && rendition == .audio
                    #expect(now.tags == before.tags + (isGap ? ["#EXT-X-GAP"] : []), "entry \(number) of \(kinds), \(lost) lost")
                    #expect(now.address == (isSilent ? silence(number) : before.address) && now.duration == before.duration)
                }
            }
        }
    }

    /// What stands for a segment of the first recording.
    private func silence(_ number: Int64) -> String {
        "silence.m4s?codecs=opus&rate=48000&channels=2&t=\(480_000 + (number - 1) * 96_000)&d=96000"
    }

    @Test("where all renditions lack something all have a gap, so that players that leave it out leave the same out of all")
    func silence() throws {
        let check = PlaylistCheck(try list(line(losing: 4...9, hasAudio: false), .audio, from: Self.origin).text())
        #expect(
            check.entries.count == 30
                && check.entries.indices.filter { check.entries[$0].tags.contains("#EXT-X-GAP") } == Array(3...8))
        #expect(check.entries[2].address.hasPrefix("silence.m4s"))
        #expect(check.entries[9].address == "silence.m4s?codecs=opus&rate=48000&channels=2&t=1344000&d=96000")
    }

    @Test("sound that lacks more than the pictures has a gap beside theirs, and silence for the rest")
    func longerHole() throws {
        var ended = material("a", seconds: 40)
        for (index, lost) in [2...11, 4...6].enumerated() as EnumeratedSequence<[ClosedRange<Int64>]> {
            // Sound comes first there.
            ended.periods[0].tracks[index].segments = SegmentRuns(
                ended.periods[0].tracks[index].segments.filter { !lost.contains($0.number) })
        }
        let growing = material("b", startSecond: 50, isGrowing: true)
        let line = try #require(Timeline([ended, growing], gaps: .keep))
        let (video, audio) = (
            PlaylistCheck(try list(line, .video, from: nil).text()), PlaylistCheck(try list(line, .audio, from: nil).text())
        )
        #expect(video.entries.indices.filter { video.entries[$0].tags.contains("#EXT-X-GAP") } == [3, 4, 5])
        #expect(audio.entries.indices.filter { audio.entries[$0].tags.contains("#EXT-X-GAP") } == [3, 4, 5])
        #expect(audio.entries.map(\.duration) == video.entries.map(\.duration))
        for place in 1...10 where !(3...5).contains(place) { #expect(audio.entries[place].address == silence(Int64(place) + 1)) }
    }

    @Test("numbers may also be counted from within the hole")
    func origin() throws {
        let holed = try line(losing: 4...9)
        for (number, sequence) in [(3, 103), (4, 110), (9, 110), (10, 110)] as [(Int, Int)] {
            let told = try #require(PlaylistOrigin("12.7.\(100 + number).\(number).\(100 + number).\(number).edge-1.a.0"))
            let check = PlaylistCheck(try list(holed, .video, from: told).text())
            #expect(check.sequence == sequence && check.discontinuitySequence == 7)
            #expect(check.entries.count == 131 - sequence && check.entries.last?.address.contains("seg_b_0010") == true)
        }
    }

    @Test("a version that leaves out what is old counts what is lost")
    func delta() throws {
        func long(losing lost: ClosedRange<Int64>) throws -> (whole: PlaylistCheck, delta: PlaylistCheck) {
            var growing = material("a", seconds: 400, isGrowing: true)
            for index in growing.periods[0].tracks.indices {
                growing.periods[0].tracks[index].segments = SegmentRuns(
                    growing.periods[0].tracks[index].segments.filter { !lost.contains($0.number) })
            }
            let edge = LiveEdge(
                version: 1, revision: 1, node: "edge-1", session: "a", partSecondsMax: 0.5, segmentSecondsMax: 12,
                recent: [growing], period: growing.periods[0], tracks: [])
            let list = try #require(
                Timeline([growing], gaps: .keep)?.mediaPlaylist(.video, addresses: ObjectAddresses(), live: edge))
            return (PlaylistCheck(list.text()), PlaylistCheck(list.text(isDelta: true)))
        }
        for lost in [20...25, 150...170, 198...199] as [ClosedRange<Int64>] {
            let (whole, delta) = try long(losing: lost)
            #expect(whole.entries.count == 200 && whole.entries.count { $0.tags.contains("#EXT-X-GAP") } == lost.count)
            // 72 seconds stay.
            #expect(delta.skipped == 164 && delta.entries == Array(whole.entries.suffix(36)))
        }
    }

    @Test("one that has ended, and of which nobody was told, leaves the hole out")
    func ended() throws {
        let check = PlaylistCheck(try list(line(losing: 4...9, isGrowing: false), .video, from: nil).text())
        #expect(check.entries.count == 24)
        #expect(check.entries.count { $0.tags.contains("#EXT-X-DISCONTINUITY") } == 2)
    }

    @Test("times that jump where no number is missing are a discontinuity")
    func jump() throws {
        var growing = material("a", seconds: 4, isGrowing: true, hasAudio: false)
        growing.periods[0].tracks[0].segments.append(IndexedSegment(number: 3, time: 1_800_000, duration: 180_000))
        let check = PlaylistCheck(try list(#require(Timeline([growing], gaps: .keep)), .video, from: nil).text())
        #expect(check.entries.count == 3 && check.entries[2].tags.first == "#EXT-X-DISCONTINUITY")
    }

    @Test("numbers that no recorder gives do not make a list without end", arguments: [1 << 40, 200_001, 2] as [Int64])
    func damaged(number: Int64) throws {
        var growing = material("a", seconds: 4, isGrowing: true, hasAudio: false)
        growing.periods[0].tracks[0].segments.append(IndexedSegment(number: number, time: 1_800_000, duration: 180_000))
        let check = PlaylistCheck(
            try list(#require(Timeline([growing], gaps: .keep)), .video, from: nil).text())
        #expect(check.entries.count == 3 && check.entries.allSatisfy { !$0.tags.contains("#EXT-X-GAP") })
    }

    @Test("of a recording that has ended lost sound alone is silence, too")
    func endedSound() throws {
        let line = try line(losing: 4...9, of: ["audio"], isGrowing: false)
        let (video, audio) = (
            PlaylistCheck(try list(line, .video, from: nil).text()), PlaylistCheck(try list(line, .audio, from: nil).text())
        )
        #expect(video.entries.count == 30 && audio.entries.map(\.duration) == video.entries.map(\.duration))
        #expect((4...9).allSatisfy { audio.entries[$0 - 1].address == silence(Int64($0)) })
        #expect(audio.entries.count { $0.tags.contains("#EXT-X-DISCONTINUITY") } == 1)
    }
}
