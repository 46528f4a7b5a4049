import Foundation

/// A media playlist read back, and the rules that hold from one version of it to the next (RFC 8216bis 6.2.1, 6.2.2).
struct PlaylistCheck {
    /// One segment with the tags that belong to it.
    struct Entry: Equatable {
        var address: String
        var duration: String
        var tags: [String]
    }

    var targetSeconds = 0
    var sequence = 0
    var discontinuitySequence = 0
    var entries: [Entry] = []
    /// Parts in front of the entry of this place; of the place behind the last, those of the open segment.
    var parts: [Int: [String]] = [:]
    var hints: [String] = []
    var hasEnd = false
    var skipped = 0
    var faults: [String] = []

    init(_ text: String) {
        var tags: [String] = []
        var duration = ""
        for line in text.split(separator: "\n").map(String.init) {
            let value = line.split(separator: ":", maxSplits: 1).dropFirst().first.map(String.init) ?? ""
            switch line {
            case _ where line.hasPrefix("#EXT-X-TARGETDURATION:"): targetSeconds = Int(value) ?? 0
            case _ where line.hasPrefix("#EXT-X-MEDIA-SEQUENCE:"): sequence = Int(value) ?? -1
            case _ where line.hasPrefix("#EXT-X-DISCONTINUITY-SEQUENCE:"): discontinuitySequence = Int(value) ?? -1
            case _ where line.hasPrefix("#EXT-X-PART:"): parts[entries.count, default: []].append(line)
            case _ where line.hasPrefix("#EXT-X-PRELOAD-HINT:"): hints.append(line)
            case _ where line.hasPrefix("#EXT-X-SKIP:"): skipped = Int(value.split(separator: "=").last ?? "") ?? -1
            case _ where line.hasPrefix("#EXTINF:"): duration = String(value.dropLast())
            case "#EXT-X-ENDLIST": hasEnd = true
            case "#EXT-X-DISCONTINUITY", "#EXT-X-GAP": tags.append(line)
            case _ where line.hasPrefix("#EXT-X-MAP:") || line.hasPrefix("#EXT-X-PROGRAM-DATE-TIME:"): tags.append(line)
            case _ where line.hasPrefix("#"): break
            default:
                entries.append(Entry(address: line, duration: duration, tags: tags))
                tags = []
            }
        }
        for entry in entries where (Double(entry.duration) ?? .infinity).rounded() > Double(targetSeconds) {
            faults.append("\(entry.address) is longer than the target duration")
        }
        for (place, list) in parts where place < entries.count {
            let whole = Double(entries[place].duration) ?? 0
            let sum = list.map(Self.duration).reduce(0, +)
            if abs(sum - whole) > 0.001 { faults.append("the parts of \(entries[place].address) make \(sum), not \(whole)") }
        }
    }

    static func duration(_ part: String) -> Double {
        Double(part.drop { $0 != "=" }.dropFirst().prefix { $0 != "," }) ?? 0
    }

    /// What is wrong in this version as the one after `earlier`.
    func faults(after earlier: PlaylistCheck) -> [String] {
        var faults = faults
        if targetSeconds != earlier.targetSeconds { faults.append("target duration \(earlier.targetSeconds) → \(targetSeconds)") }
        if sequence < earlier.sequence { faults.append("media sequence went back") }
        if discontinuitySequence < earlier.discontinuitySequence { faults.append("discontinuity sequence went back") }
        if earlier.hasEnd, entries != earlier.entries { faults.append("something came behind the end") }
        let gone = sequence - earlier.sequence
        for (old, new) in zip(earlier.entries.dropFirst(gone), entries) where old != new {
            faults.append("\(old) became \(new)")
        }
        if entries.count + gone < earlier.entries.count {
            faults.append("\(earlier.entries.count) entries became \(entries.count)")
        }
        for (place, list) in earlier.parts {
            let now = parts[place - gone] ?? []
            if now.isEmpty, place - gone < entries.count { continue }
            if !now.starts(with: list) { faults.append("parts of \(place) changed: \(list) → \(now)") }
        }
        return faults
    }
}
