import EdgeFixtures
import Presentation
import Testing

@Suite("Playback timeline")
struct TimelineTests {
    @Test("nothing recorded, nothing to play")
    func empty() {
        #expect(Timeline([], gaps: .collapse) == nil)
        #expect(Timeline([material("a", seconds: 0)], gaps: .collapse) == nil)
    }

    @Test("one recording is one period; the video leads and both offsets mean one instant")
    func single() throws {
        let timeline = try #require(Timeline([material("a")], gaps: .collapse))
        let period = try #require(timeline.periods.first)
        #expect(timeline.periods.count == 1)
        #expect(period.tracks.map(\.track.kind) == ["video", "audio"])
        #expect(period.tracks.map(\.presentationTimeOffset) == [900_000, 480_000])
        #expect(period.durationUs == 10_000_000)
        #expect(period.wallStartUs == tenOClockUs)
        #expect(period.id == "edge-1.a.0.1")
        #expect(faults(in: period) == [])
        #expect(!timeline.isGrowing)
        #expect(timeline.maxSegmentSeconds == 2)
    }

    @Test("gaps are left out, or kept where they were", arguments: [GapRule.collapse, .keep])
    func gaps(rule: GapRule) throws {
        let recordings = [material("b", node: "edge-2", startSecond: 86_400), material("a"), material("c", startSecond: 100_000)]
        let timeline = try #require(Timeline(recordings, gaps: rule))
        #expect(timeline.periods.map(\.node) == ["edge-1", "edge-2", "edge-1"])
        let starts: [Int64] = rule == .collapse ? [0, 10_000_000, 20_000_000] : [0, 86_400_000_000, 100_000_000_000]
        #expect(timeline.periods.map(\.startUs) == starts)
        #expect(timeline.periods.map { $0.wallStartUs - tenOClockUs } == [0, 86_400_000_000, 100_000_000_000])
    }

    @Test("of two nodes that record at once, the first is played to its end and the other from there")
    func overlap() throws {
        let recordings = [material("b", node: "edge-2", startSecond: 5, seconds: 20), material("a", seconds: 10)]
        let timeline = try #require(Timeline(recordings, gaps: .collapse))
        #expect(timeline.periods.map(\.node) == ["edge-1", "edge-2"])
        let second = timeline.periods[1]
        // Segments of the second begin at 5, 7, 9 and 11 s; 11 is the first behind the other's end at 10.
        #expect(second.wallStartUs == tenOClockUs + 11_000_000)
        #expect(second.tracks[0].track.segments.first?.number == 4)
        #expect(second.tracks[0].presentationTimeOffset == 900_000 + 3 * 180_000)
        #expect(second.tracks[1].presentationTimeOffset == 480_000 + 3 * 96_000)
        #expect(second.durationUs == 14_000_000)
        #expect(timeline.periods.flatMap { faults(in: $0) } == [])
    }

    @Test("a recording wholly inside another adds nothing")
    func inside() throws {
        let recordings = [material("a", seconds: 20), material("b", node: "edge-2", startSecond: 4, seconds: 10)]
        let timeline = try #require(Timeline(recordings, gaps: .collapse))
        #expect(timeline.periods.map(\.node) == ["edge-1"])
    }

    @Test("periods of one recording stay whole, though the second begins on the clock before the first has ended")
    func ownOverlap() throws {
        var recording = material("a", seconds: 10)
        var second = try #require(material("a", startSecond: 9.7, seconds: 2).periods.first)
        second.ordinal = 1
        recording.periods.append(second)
        let timeline = try #require(Timeline([recording], gaps: .keep))
        #expect(timeline.periods.map(\.durationUs) == [10_000_000, 2_000_000])
        #expect(timeline.periods.map(\.startUs) == [0, 10_000_000])
    }

    @Test("a day longer or shorter by the sender's clock goes over into the next without gap or loss", arguments: [-2.3, 2.3])
    func drift(seconds: Double) throws {
        let first = material("a", seconds: 40)
        var second = material("b", startSecond: 40 + seconds, seconds: 10)
        second.periods[0].continues = true
        let timeline = try #require(Timeline([second, first], gaps: .keep))
        #expect(timeline.periods.map(\.startUs) == [0, 40_000_000] && timeline.durationUs == 50_000_000)
        #expect(timeline.periods.map(\.wallStartUs) == [tenOClockUs, tenOClockUs + 40_000_000 + Int64(seconds * 1e6)])
        #expect(timeline.periods.map(\.tracks[0].track.segments.count) == [20, 5])
        // Another node's recording, and what a range has cut off at its start, stand where the clock says.
        let other = material("c", node: "edge-2", startSecond: 49, seconds: 10)
        #expect(try #require(Timeline([first, other], gaps: .keep)).periods.last?.startUs == 49_000_000)
        let byTheClockUs = 46_000_000 + Int64(seconds * 1e6)
        second.periods[0] = second.periods[0].touching(fromUs: tenOClockUs + byTheClockUs, toUs: nil)
        let cut = try #require(Timeline([first, second], gaps: .keep))
        #expect(cut.periods.map(\.startUs) == [0, max(40_000_000, byTheClockUs)])
    }

    @Test("a missing segment splits a period in two, in every track")
    func hole() throws {
        var broken = material("a", seconds: 12)
        for track in broken.periods[0].tracks.indices {
            var segments = Array(broken.periods[0].tracks[track].segments)
            segments.remove(at: 2)
            broken.periods[0].tracks[track].segments = SegmentRuns(segments)
        }
        let timeline = try #require(Timeline([broken], gaps: .collapse))
        #expect(timeline.periods.map(\.durationUs) == [4_000_000, 6_000_000])
        #expect(timeline.periods.map(\.wallStartUs) == [tenOClockUs, tenOClockUs + 6_000_000])
        #expect(timeline.periods.flatMap { faults(in: $0) } == [])
        #expect(Set(timeline.periods.map(\.id)).count == 2)
    }

    /// Without the segments of these numbers; sound is the first track.
    private func losing(_ audio: Set<Int64>, _ video: Set<Int64> = [], of material: RecordedMaterial) -> RecordedMaterial {
        var rest = material
        for (track, lost) in [audio, video].enumerated() {
            let segments = material.periods[0].tracks[track].segments
            rest.periods[0].tracks[track].segments = SegmentRuns(segments.filter { !lost.contains($0.number) })
        }
        return rest
    }

    /// Numbers of what is played, by period and track, video first.
    private func numbers(_ timeline: Timeline) -> [[[Int64]]] {
        timeline.periods.map { $0.tracks.map { $0.track.segments.map(\.number) } }
    }

    @Test("a missing segment of sound silences nothing but itself")
    func silentHole() throws {
        let timeline = try #require(Timeline([losing([3], of: material("a", seconds: 12))], gaps: .keep))
        #expect(numbers(timeline) == [[[1, 2, 3], [1, 2]], [[4, 5, 6], [4, 5, 6]]])
        #expect(timeline.periods.map(\.startUs) == [0, 6_000_000] && timeline.durationUs == 12_000_000)
        #expect(timeline.periods.map(\.wallStartUs) == [tenOClockUs, tenOClockUs + 6_000_000])
        #expect(timeline.periods[1].tracks.map(\.presentationTimeOffset) == [1_440_000, 768_000])
        #expect(timeline.periods.map(\.id) == ["edge-1.a.0.1", "edge-1.a.0.4"])
        #expect(timeline.periods.flatMap { faults(in: $0) } == [])
    }

    @Test("sound that goes on where there are no pictures any more, or not yet, begins no period")
    func soundBeyond() throws {
        let ended = losing([3], [4, 5, 6], of: material("a", seconds: 12))
        #expect(numbers(try #require(Timeline([ended], gaps: .keep))) == [[[1, 2, 3], [1, 2]]])
        let before = try #require(Timeline([losing([3], [4], of: material("a", seconds: 8, isGrowing: true))], gaps: .keep))
        #expect(numbers(before) == [[[1, 2, 3], [1, 2]]] && before.isGrowing && before.durationUs == 6_000_000)
        let after = try #require(Timeline([losing([3], of: material("a", seconds: 8, isGrowing: true))], gaps: .keep))
        #expect(numbers(after) == [[[1, 2, 3], [1, 2]], [[4], [4]]] && after.isGrowing)
        #expect(after.periods[0] == before.periods[0])
    }

    @Test("a hole in the sound alone lets no other node in between, and no gap where a sender's clock drifted")
    func holeAmong() throws {
        let first = losing([3], of: material("a", seconds: 20))
        let inside = material("b", node: "edge-2", startSecond: 4, seconds: 10)
        let alone = try #require(Timeline([inside, first], gaps: .collapse))
        #expect(numbers(alone).map(\.[0]) == [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10]])
        var second = losing([2], of: material("c", startSecond: 22.3))
        second.periods[0].continues = true
        let drifted = try #require(Timeline([first, second], gaps: .keep))
        #expect(drifted.periods.map(\.startUs) == [0, 6_000_000, 20_000_000, 24_000_000] && drifted.durationUs == 30_000_000)
        // The pictures go on without a key frame, so nothing of them or their sound is left out.
        let video = second.periods[0].tracks[1].segments
        second.periods[0].tracks[1].segments = SegmentRuns(
            video.map { IndexedSegment(number: $0.number, time: $0.time, duration: $0.duration, startsWithSync: $0.number == 1) })
        #expect(numbers(try #require(Timeline([second], gaps: .keep))) == [[[1, 2], [1]], [[3, 4, 5], [3, 4, 5]]])
    }

    @Test(
        "random holes in both tracks: all pictures are there, and all their sound, each once",
        arguments: 1...20 as ClosedRange<UInt64>)
    func randomHoles(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        var audio: Set<Int64> = []
        var video: Set<Int64> = []
        for number in 1...60 as ClosedRange<Int64> {
            if Int.random(in: 0..<6, using: &generator) == 0 { audio.insert(number) }
            if Int.random(in: 0..<6, using: &generator) == 0 { video.insert(number) }
        }
        let timeline = try #require(Timeline([losing(audio, video, of: material("a", seconds: 120))], gaps: .keep))
        func played(_ kind: String) -> [Int64] {
            timeline.periods.flatMap(\.tracks).map(\.track).filter { $0.kind == kind }.flatMap { $0.segments.map(\.number) }
        }
        #expect(played("video") == (1...60).filter { !video.contains($0) })
        #expect(played("audio") == (1...60).filter { !video.contains($0) && !audio.contains($0) })
        #expect(timeline.periods.flatMap { faults(in: $0) } == [])
        let beganUs = timeline.periods[0].wallStartUs
        #expect(timeline.periods.allSatisfy { $0.startUs == $0.wallStartUs - beganUs })
    }

    @Test("a growing recording keeps ids and starts of what was there before")
    func growing() throws {
        let before = try #require(Timeline([material("a"), material("b", startSecond: 60, isGrowing: true)], gaps: .keep))
        let after = try #require(
            Timeline([material("a"), material("b", startSecond: 60, seconds: 14, isGrowing: true)], gaps: .keep))
        #expect(before.isGrowing && after.isGrowing)
        #expect(before.periods.map(\.id) == after.periods.map(\.id))
        #expect(before.periods.map(\.startUs) == after.periods.map(\.startUs))
        #expect(after.durationUs == before.durationUs + 4_000_000)
    }

    @Test("random material: periods in order, without holes, each object once", arguments: 1...20 as ClosedRange<UInt64>)
    func random(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        var recordings: [RecordedMaterial] = []
        for index in 0..<Int.random(in: 1...6, using: &generator) {
            var made = material(
                "s\(index)", node: "n\(Int.random(in: 0...2, using: &generator))",
                startSecond: Double.random(in: 0...60, using: &generator), seconds: Int.random(in: 0...30, using: &generator),
                hasAudio: Bool.random(using: &generator), videoAt: Int64.random(in: 0...(1 << 40), using: &generator),
                audioAt: Int64.random(in: 0...(1 << 40), using: &generator))
            for track in made.periods[0].tracks.indices {
                made.periods[0].tracks[track].segments = SegmentRuns(
                    made.periods[0].tracks[track].segments.filter { _ in Int.random(in: 0..<8, using: &generator) != 0 })
            }
            recordings.append(made)
        }
        guard let timeline = Timeline(recordings, gaps: .keep) else { return }
        #expect(timeline.periods.flatMap { faults(in: $0) } == [])
        #expect(Set(timeline.periods.map(\.id)).count == timeline.periods.count)
        for (left, right) in zip(timeline.periods, timeline.periods.dropFirst()) {
            #expect(left.startUs + left.durationUs <= right.startUs)
            if left.node != right.node { #expect(left.wallStartUs + left.durationUs <= right.wallStartUs + 100_000) }
        }
        let objects = timeline.periods.flatMap { period in
            period.tracks[0].track.segments.map { "\(period.node) \(period.tracks[0].track.object(number: $0.number))" }
        }
        #expect(Set(objects).count == objects.count)
    }
}
