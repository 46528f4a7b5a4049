/// A box of an ISO file, read independently of the product's own reader (ISO/IEC 14496-12 4.2).
package struct FixtureBox: Sendable {
    package let type: String
    /// The content after size and type.
    package let body: [UInt8]
    /// Offset of the box in what was parsed.
    package let offset: Int
    package let children: [FixtureBox]

    static let containers: Set<String> = ["moov", "trak", "mdia", "minf", "stbl", "mvex", "moof", "traf", "dinf", "edts"]

    /// Every box of `bytes`; throws where one does not fit.
    package static func parse(_ bytes: [UInt8], base: Int = 0) throws -> [FixtureBox] {
        var boxes: [FixtureBox] = []
        var position = 0
        while position < bytes.count {
            guard bytes.count - position >= 8 else { throw ToolError(description: "box header torn at \(base + position)") }
            let size = (0..<4).reduce(0) { $0 << 8 | Int(bytes[position + $1]) }
            let type = String(decoding: bytes[position + 4..<position + 8], as: UTF8.self)
            guard size >= 8, position + size <= bytes.count else {
                throw ToolError(description: "box \(type) of \(size) at \(base + position)")
            }
            let body = Array(bytes[position + 8..<position + size])
            let inner = containers.contains(type) ? try parse(body, base: base + position + 8) : []
            boxes.append(FixtureBox(type: type, body: body, offset: base + position, children: inner))
            position += size
        }
        return boxes
    }

    /// A descendant by path, such as `["moov", "trak"]` below this box.
    package func first(_ path: String...) -> FixtureBox? {
        var current: FixtureBox? = self
        for step in path { current = current?.children.first { $0.type == step } }
        return current
    }

    package func integer(_ width: Int, at offset: Int) -> Int64 {
        guard offset + width <= body.count else { return -1 }
        return (0..<width).reduce(Int64(0)) { $0 << 8 | Int64(body[offset + $1]) }
    }

    /// The 24 flag bits of a full box.
    package var flags: Int64 { integer(4, at: 0) & 0xFF_FFFF }
    package var version: Int64 { integer(1, at: 0) }
}

extension [FixtureBox] {
    package func first(_ type: String) -> FixtureBox? { first { $0.type == type } }
    package func all(_ type: String) -> [FixtureBox] { filter { $0.type == type } }
}

/// One `moof` as a player sees it.
package struct FixtureFragment: Sendable {
    package let time: Int64
    package let durations: [Int64]
    package let sizes: [Int64]
    package let flags: [Int64]
    /// Presentation minus decoding times.
    package let offsets: [Int64]
    /// The samples' bytes, from the `mdat`.
    package var samples: [[UInt8]] = []
    package var end: Int64 { time + durations.reduce(0, +) }
    package var presentationTimes: [Int64] {
        var time = time
        return zip(durations, offsets).map { duration, offset in
            defer { time += duration }
            return time + offset
        }
    }
}

/// What recordings must be as CMAF; each broken rule is one line.
package enum CMAFCheck {
    /// Checks an initialization segment (ISO/IEC 23000-19 7.3.1).
    package static func initialization(_ bytes: [UInt8], timescale: Int64) throws -> [String] {
        var broken: [String] = []
        func rule(_ holds: Bool, _ text: String) { if !holds { broken.append(text) } }
        let boxes = try FixtureBox.parse(bytes)
        let brands = boxes.first("ftyp").map { stride(from: 8, to: $0.body.count, by: 4).map { $0 } } ?? []
        let names = brands.map { String(decoding: boxes[0].body[$0..<$0 + 4], as: UTF8.self) }
        rule(boxes.map(\.type) == ["ftyp", "moov"], "init is ftyp and moov, not \(boxes.map(\.type))")
        rule(names.contains("iso6") && (names.contains("cmfc") || names.contains("cmf2")), "brands \(names)")
        guard let moov = boxes.first("moov"), let trak = moov.first("trak"), let trex = moov.first("mvex", "trex") else {
            return broken + ["moov without trak or mvex/trex"]
        }
        rule(moov.children.all("trak").count == 1, "one track a file")
        rule(trak.first("edts") == nil, "no edit list")
        rule(trak.first("mdia", "mdhd")?.integer(4, at: 12) == timescale, "mdhd timescale")
        rule(trak.first("mdia", "mdhd")?.integer(4, at: 16) == 0, "mdhd duration 0")
        let isVideo = trak.first("mdia", "hdlr")?.integer(4, at: 8) == 0x7669_6465
        let size = [76, 80].compactMap { trak.first("tkhd")?.integer(4, at: $0) }
        rule(!isVideo || size.count == 2 && size.allSatisfy { $0 > 0 }, "tkhd width and height \(size)")
        rule(trex.integer(4, at: 8) == 1, "default_sample_description_index 1")
        rule(trex.integer(4, at: 4) == trak.first("tkhd")?.integer(4, at: 12), "track_ID of trex and tkhd")
        for (table, offset) in [("stts", 4), ("stsc", 4), ("stco", 4), ("stsz", 8)] {
            rule(trak.first("mdia", "minf", "stbl", table)?.integer(4, at: offset) == 0, "\(table) empty")
        }
        rule(trak.first("mdia", "minf", "stbl", "stsd")?.integer(4, at: 4) == 1, "one sample entry")
        return broken
    }

    /// Checks a media segment and returns its fragments (ISO/IEC 14496-12 8.8).
    package static func segment(_ bytes: [UInt8], isVideo: Bool) throws -> (fragments: [FixtureFragment], broken: [String]) {
        var broken: [String] = []
        func rule(_ holds: Bool, _ text: String) { if !holds { broken.append(text) } }
        let boxes = try FixtureBox.parse(bytes)
        rule(boxes.first?.type == "styp", "styp first")
        let media = boxes.dropFirst().map(\.type)
        rule(
            !media.isEmpty && media == (0..<media.count).map { $0 % 2 == 0 ? "moof" : "mdat" }, "moof and mdat in turn: \(media)")
        var fragments: [FixtureFragment] = []
        for (moof, mdat) in zip(boxes.all("moof"), boxes.all("mdat")) {
            rule(moof.children.map(\.type) == ["mfhd", "traf"], "one mfhd and one traf")
            guard let traf = moof.first("traf"), let tfhd = traf.first("tfhd"), let tfdt = traf.first("tfdt"),
                let trun = traf.first("trun")
            else {
                broken.append("traf without tfhd, tfdt or trun")
                continue
            }
            rule(tfhd.flags & 0x02_0000 != 0 && tfhd.flags & 1 == 0, "default-base-is-moof without base-data-offset")
            rule(tfdt.version == 1, "tfdt version 1")
            var fragment = read(tfhd: tfhd, tfdt: tfdt, trun: trun)
            var at = 0
            for size in fragment.sizes where size >= 0 && at + Int(size) <= mdat.body.count {
                fragment.samples.append(Array(mdat.body[at..<at + Int(size)]))
                at += Int(size)
            }
            rule(trun.flags & 1 != 0 && trun.integer(4, at: 8) == Int64(moof.body.count + 16), "trun data offset")
            rule(fragment.sizes.reduce(0, +) == Int64(mdat.body.count), "sample sizes fill mdat")
            rule(fragment.durations.allSatisfy { $0 > 0 }, "durations above 0")
            rule(fragment.offsets.allSatisfy { $0 >= 0 } || trun.version == 1, "offsets below 0 in a trun of version 1")
            if let previous = fragments.last { rule(previous.end == fragment.time, "tfdt continues inside the segment") }
            for (index, flags) in fragment.flags.enumerated() {
                let isSync = flags & 0x1_0000 == 0
                if !isVideo { rule(isSync, "sound is all sync") }
                if isVideo, index == 0, fragments.isEmpty {
                    rule(isSync && flags & 0x0300_0000 == 0x0200_0000, "segment starts with a sync sample")
                }
            }
            fragments.append(fragment)
        }
        let shown = fragments.flatMap(\.presentationTimes).min()
        rule(shown == fragments.first?.time, "nothing is shown before the segment's start, nor later than it")
        return (fragments, broken)
    }

    private static func read(tfhd: FixtureBox, tfdt: FixtureBox, trun: FixtureBox) -> FixtureFragment {
        var position = 8
        var defaults: [Int64: Int64] = [:]
        for (mask, width) in [(1, 8), (2, 4), (8, 4), (16, 4), (32, 4)] as [(Int64, Int)] where tfhd.flags & mask != 0 {
            defaults[mask] = tfhd.integer(width, at: position)
            position += width
        }
        let count = Int(trun.integer(4, at: 4))
        position = 8 + (trun.flags & 1 != 0 ? 4 : 0)
        var first: Int64?
        if trun.flags & 4 != 0 {
            first = trun.integer(4, at: position)
            position += 4
        }
        var durations: [Int64] = []
        var sizes: [Int64] = []
        var flags: [Int64] = []
        var offsets: [Int64] = []
        for index in 0..<max(0, count) {
            func field(_ mask: Int64) -> Int64? {
                guard trun.flags & mask != 0 else { return nil }
                defer { position += 4 }
                return trun.integer(4, at: position)
            }
            durations.append(field(0x100) ?? defaults[8] ?? -1)
            sizes.append(field(0x200) ?? defaults[16] ?? -1)
            let own = field(0x400) ?? defaults[32] ?? -1
            flags.append(index == 0 ? first ?? own : own)
            offsets.append(Int64(Int32(truncatingIfNeeded: field(0x800) ?? 0)))
        }
        return FixtureFragment(time: tfdt.integer(8, at: 4), durations: durations, sizes: sizes, flags: flags, offsets: offsets)
    }
}
