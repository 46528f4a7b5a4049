import Foundation
import Media
import MediaFixtures
import Presentation
import Testing

/// Tracks as another program writes them, with the initialization split off.
private struct ClipFixture: Sendable {
    let initialization: [UInt8]
    let segment: [UInt8]

    /// Six seconds in fragments of one; a key frame every two.
    init(_ arguments: [String]) throws {
        let bytes = [UInt8](
            try Tool.run(
                "ffmpeg",
                ["-v", "error"] + arguments
                    + ["-movflags", "+cmaf+empty_moov+default_base_moof", "-frag_duration", "1000000", "-f", "mp4", "-"]))
        let head = try FixtureBox.parse(bytes).prefix { $0.type != "moof" && $0.type != "styp" && $0.type != "sidx" }
        let end = head.reduce(0) { $0 + $1.body.count + 8 }
        initialization = Array(bytes[..<end])
        segment = Array(bytes[end...])
    }

    static func video(bFrames: Int) throws -> ClipFixture {
        try ClipFixture([
            "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=30:d=6", "-c:v", "libx264", "-preset", "ultrafast", "-bf",
            String(bFrames), "-g", "60", "-x264-params", "scenecut=0:threads=1", "-video_track_timescale", "90000",
        ])
    }

    static let plain = Result { try video(bFrames: 0) }
    static let reordered = Result { try video(bFrames: 2) }
    static let sound = Result { try ClipFixture(["-f", "lavfi", "-i", "sine=440:d=6:r=48000", "-c:a", "libopus"]) }

    func fragments(_ track: ClipTrack, piece: Int = 10_007) throws -> [ClipFragment] {
        var reader = ClipFragmentReader(track: track)
        var found: [ClipFragment] = []
        for start in stride(from: 0, to: segment.count, by: piece) {
            reader.append(Array(segment[start..<min(segment.count, start + piece)]))
            while let fragment = try reader.next() { found.append(fragment) }
        }
        try reader.finish()
        return found
    }
}

@Suite("Clips (ISO/IEC 14496-12 8.8)")
struct ClipTests {
    @Test("pictures and sound become one file, however the bytes come", arguments: [1, 7, 4_096, 1 << 20])
    func whole(piece: Int) throws {
        let (video, sound) = try (ClipFixture.plain.get(), ClipFixture.sound.get())
        let tracks = [
            try ClipTrack(initialization: video.initialization), try ClipTrack(initialization: sound.initialization),
        ]
        var writer = ClipWriter(tracks: tracks, hiddenTicks: [0, 0])
        var file = writer.header(durationUs: 6_000_000)
        for (index, fixture) in [video, sound].enumerated() {
            for fragment in try fixture.fragments(tracks[index], piece: piece) {
                let made = writer.write(fragment, .init(track: index, from: 0, until: .max, shift: 0))
                file += made?.bytes ?? []
            }
        }
        let boxes = try FixtureBox.parse(file)
        #expect(boxes.prefix(2).map(\.type) == ["ftyp", "moov"])
        #expect(boxes[1].children.all("trak").compactMap { $0.first("tkhd")?.integer(4, at: 12) } == [1, 2])
        #expect(boxes[1].first("mvhd")?.integer(4, at: 96) == 3)
        #expect(boxes.all("moof").map { $0.first("mfhd")?.integer(4, at: 4) } == (1...Int64(boxes.all("moof").count)).map { $0 })
        let probe = try Probe(file)
        #expect(probe.packets.count == 180 + 301)
        #expect(probe.packets.first?.isKey == true)
        #expect(try Probe.decodeErrors(file) == "")
    }

    @Test("a cut keeps from its first sample to the last one shown", arguments: [0, 2])
    func cut(bFrames: Int) throws {
        let fixture = try (bFrames == 0 ? ClipFixture.plain : ClipFixture.reordered).get()
        let track = try ClipTrack(initialization: fixture.initialization)
        let fragments = try fixture.fragments(track)
        let sync = fragments.flatMap(\.samples).filter(\.isSync)
        try #require(sync.count == 3)
        let reorder = fragments.flatMap(\.samples).map { -$0.compositionOffset }.max() ?? 0
        #expect(reorder == (bFrames == 0 ? 0 : 3_000))
        var writer = ClipWriter(tracks: [track], hiddenTicks: [0], reorderTicks: [reorder])
        var file = writer.header(durationUs: 3_000_000)
        // From the second key frame on, and three seconds of presentation time.
        let until = sync[1].presentationTime + 3 * 90_000
        for fragment in fragments {
            let made = writer.write(fragment, .init(track: 0, from: sync[1].time, until: until, shift: -sync[1].time))
            file += made?.bytes ?? []
        }
        let probe = try Probe(file)
        let shown = probe.packets.map(\.pts).sorted()
        #expect(Set(shown).isSuperset(of: (0..<90).map { sync[1].compositionOffset + $0 * 3_000 }))
        #expect(shown.count <= 92)
        #expect(zip(probe.packets, probe.packets.dropFirst()).allSatisfy { $0.dts < $1.dts })
        #expect(try Probe.decodeErrors(file) == "")
    }

    @Test("what is needed but not shown takes a tick each, and an edit list hides it", arguments: [0, 2])
    func hidden(bFrames: Int) throws {
        let fixture = try (bFrames == 0 ? ClipFixture.plain : ClipFixture.reordered).get()
        let track = try ClipTrack(initialization: fixture.initialization)
        let fragments = try fixture.fragments(track)
        let samples = fragments.flatMap(\.samples)
        let sync = samples.filter(\.isSync)
        // Half a second behind the second key frame.
        let start = sync[1].presentationTime + 45_000
        let needed = samples.drop { $0.time < sync[1].time }
        let hidden = try #require(needed.lastIndex { $0.presentationTime < start }) - needed.startIndex + 1
        let reorder = samples.map { -$0.compositionOffset }.max() ?? 0
        var writer = ClipWriter(tracks: [track], hiddenTicks: [Int64(hidden)], reorderTicks: [reorder])
        var file = writer.header(durationUs: 2_000_000)
        for fragment in fragments {
            let made = writer.write(
                fragment,
                .init(
                    track: 0, from: sync[1].time, hidden: needed.map(\.presentationTime).filter { $0 < start }.sorted(),
                    until: start + 2 * 90_000, shift: Int64(hidden) - start))
            file += made?.bytes ?? []
        }
        let edit = try FixtureBox.parse(file)[1].children.first("trak")?.first("edts", "elst")
        #expect(edit?.integer(8, at: 16) == Int64(hidden) + reorder)
        let probe = try Probe(file)
        let (before, shown) = (probe.packets.filter { $0.pts < 0 }, probe.packets.filter { $0.pts >= 0 })
        #expect(before.allSatisfy { $0.pts >= -Int64(hidden) - reorder })
        #expect(Set(shown.map(\.pts)).isSuperset(of: (0..<60).map { $0 * 3_000 }))
        #expect(zip(probe.packets, probe.packets.dropFirst()).allSatisfy { $0.dts < $1.dts })
        #expect(try Probe.decodeErrors(file) == "")
    }

    @Test("a track with the same format is the same, another is not")
    func formats() throws {
        let plain = try ClipTrack(initialization: ClipFixture.plain.get().initialization)
        let again = try ClipTrack(initialization: ClipFixture.video(bFrames: 0).initialization)
        let other = try ClipTrack(initialization: ClipFixture.reordered.get().initialization)
        #expect(plain.sampleDescription == again.sampleDescription)
        #expect(plain.sampleDescription != other.sampleDescription)
        #expect(plain.timescale == 90_000)
    }

    @Test("a segment that ends early is told from one that is whole")
    func truncated() throws {
        let fixture = try ClipFixture.sound.get()
        let track = try ClipTrack(initialization: fixture.initialization)
        for missing in [1, 100, fixture.segment.count - 1] {
            var reader = ClipFragmentReader(track: track)
            reader.append(Array(fixture.segment.dropLast(missing)))
            while try reader.next() != nil {}
            #expect(throws: ClipError.truncated) { try reader.finish() }
        }
        var reader = ClipFragmentReader(track: track)
        reader.append([0x7F, 0xFF, 0xFF, 0xFF] + Array("mdat".utf8))
        #expect(throws: ClipError.tooLarge(bytes: 0x7FFF_FFFF)) { try reader.next() }
    }

    @Test("mutated initializations and segments never trap", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for fixture in [try ClipFixture.reordered.get(), try ClipFixture.sound.get()] {
            let sound = try ClipTrack(initialization: fixture.initialization)
            // The heads of the fragments are where reading goes wrong, not the pictures.
            let segment = Array(fixture.segment.prefix(3_000))
            for _ in 0..<250 {
                let track = (try? ClipTrack(initialization: fixture.initialization.mutated(by: &generator))) ?? sound
                var writer = ClipWriter(tracks: [track], hiddenTicks: [Int64.random(in: 0...9, using: &generator)])
                _ = writer.header(durationUs: Int64.random(in: .min ... .max, using: &generator))
                var reader = ClipFragmentReader(track: track)
                reader.append(segment.mutated(by: &generator))
                while let fragment = try? reader.next() {
                    let shift = Int64.random(in: -(1 << 53)...(1 << 53), using: &generator)
                    let made = writer.write(fragment, .init(track: 0, from: .min, hidden: [0, 960], until: .max, shift: shift))
                    #expect(try FixtureBox.parse(made?.bytes ?? []).map(\.type) == ["moof", "mdat"])
                }
            }
        }
    }
}
