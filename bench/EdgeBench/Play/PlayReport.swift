import FoundationEssentials

/// What all viewers together saw.
struct PlayReport: Encodable, Sendable {
    /// Milliseconds from the POST.
    struct Times: Encodable, Sendable {
        let median: Double
        let p95: Double
        let max: Double

        init?(_ values: [Double]) {
            guard let last = values.max() else { return nil }
            let sorted = values.sorted()
            median = sorted[sorted.count / 2]
            p95 = sorted[min(sorted.count - 1, sorted.count * 95 / 100)]
            max = last
        }
    }

    let viewers: Int
    let connected: Int
    let withMedia: Int
    let withPicture: Int
    /// Sessions the server ended before we did.
    let ended: Int
    let seconds: Double
    let packets: Int
    let bytes: Int
    let lost: Int
    let duplicates: Int
    let nacks: Int
    let recovered: Int
    let keyframes: Int
    let connectMs: Times?
    let mediaMs: Times?
    let pictureMs: Times?
    /// URLs of the sessions, still to be deleted; not part of the printed report.
    var sessions: [String]

    private enum CodingKeys: String, CodingKey {
        case viewers, connected, ended, seconds, packets, bytes, lost, duplicates, nacks, recovered, keyframes
        case withMedia = "with_media"
        case withPicture = "with_picture"
        case connectMs = "connect_ms"
        case mediaMs = "media_ms"
        case pictureMs = "picture_ms"
    }

    init(_ all: [ViewerSession], wanted: Int, seconds: Double) {
        let streams = all.flatMap(\.streams)
        viewers = wanted
        connected = all.filter { $0.connectedMs != nil }.count
        withMedia = all.filter { $0.mediaMs != nil }.count
        withPicture = all.filter { $0.keyframeMs != nil }.count
        ended = all.filter { $0.closed != nil }.count
        self.seconds = seconds
        packets = streams.reduce(0) { $0 + $1.received }
        bytes = streams.reduce(0) { $0 + $1.bytes }
        lost = streams.reduce(0) { $0 + $1.lost }
        duplicates = streams.reduce(0) { $0 + $1.duplicates }
        nacks = streams.reduce(0) { $0 + $1.nacks }
        recovered = streams.reduce(0) { $0 + $1.recovered }
        keyframes = streams.reduce(0) { $0 + $1.keyframes }
        connectMs = Times(all.compactMap(\.connectedMs))
        mediaMs = Times(all.compactMap(\.mediaMs))
        pictureMs = Times(all.compactMap(\.keyframeMs))
        sessions = all.map(\.session)
    }

    /// One JSON object on one line.
    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }

    /// For people.
    var text: String {
        func line(_ times: Times?) -> String {
            guard let times else { return "none" }
            return "median \(Int(times.median)) ms, 95 % \(Int(times.p95)) ms, longest \(Int(times.max)) ms"
        }
        let megabits = seconds > 0 ? Double(bytes) * 8 / seconds / 1_000_000 : 0
        let rate = Double(Int(megabits * 100)) / 100
        return """
            viewers    \(viewers), connected \(connected), with media \(withMedia), with a picture \(withPicture), ended \(ended)
            received   \(packets) packets, \(rate) Mbit/s in all, \(keyframes) key frames
            loss       \(lost) lost, \(recovered) recovered by \(nacks) NACKs, \(duplicates) duplicates
            connected  \(line(connectMs))
            media      \(line(mediaMs))
            picture    \(line(pictureMs))
            """
    }
}
