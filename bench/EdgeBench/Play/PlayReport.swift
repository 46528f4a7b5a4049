import MediaPlane

/// What all viewers together saw.
struct PlayReport: Encodable, Sendable {
    let viewers: Int
    let connected: Int
    let withMedia: Int
    let withPicture: Int
    /// Sessions the server ended before we did.
    let ended: Int
    let seconds: Double
    /// For what share of them the viewers' thread ran or waited for a processor; near 1, it is what is measured.
    let busy: Double
    let packets: Int
    let bytes: Int
    let lost: Int
    let reordered: Int
    let duplicates: Int
    let nacks: Int
    let recovered: Int
    let keyframes: Int
    /// From the POST.
    let connectMs: Times?
    let mediaMs: Times?
    let pictureMs: Times?
    /// From the publisher's stamp to the arrival at the viewer's socket.
    let delayMs: Times?
    /// URLs of the sessions, still to be deleted; not part of the printed report.
    var sessions: [String]

    private enum CodingKeys: String, CodingKey {
        case viewers, connected, ended, seconds, busy, packets, bytes, lost, reordered, duplicates, nacks, recovered, keyframes
        case withMedia = "with_media"
        case withPicture = "with_picture"
        case connectMs = "connect_ms"
        case mediaMs = "media_ms"
        case pictureMs = "picture_ms"
        case delayMs = "delay_ms"
    }

    init(_ all: [ViewerSession], wanted: Int, counts: PacketCounts, delays: Samples, seconds: Double, busy: Double) {
        viewers = wanted
        connected = all.count { $0.connectedMs != nil }
        withMedia = all.count { $0.mediaMs != nil }
        withPicture = all.count { $0.keyframeMs != nil }
        ended = all.count { $0.closed != nil && $0.closed != .local }
        self.seconds = seconds
        self.busy = busy
        packets = counts.packets
        bytes = counts.bytes
        lost = counts.lost
        reordered = counts.reordered
        duplicates = counts.duplicates
        nacks = counts.nacks
        recovered = counts.recovered
        keyframes = counts.keyframes
        connectMs = Times(all.compactMap(\.connectedMs))
        mediaMs = Times(all.compactMap(\.mediaMs))
        pictureMs = Times(all.compactMap(\.keyframeMs))
        delayMs = Times(delays)
        sessions = all.map(\.session)
    }

    static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }

    /// For people.
    var text: String {
        func line(_ times: Times?) -> String {
            guard let times else { return "none" }
            let (median, p99, longest) = (Self.rounded(times.median), Self.rounded(times.p99), Self.rounded(times.max))
            return "median \(median) ms, 99 % \(p99) ms, longest \(longest) ms"
        }
        let rate = seconds > 0 ? Self.rounded(Double(bytes) * 8 / seconds / 1_000_000) : 0
        return """
            viewers    \(viewers), connected \(connected), with media \(withMedia), with a picture \(withPicture), ended \(ended)
            received   \(packets) packets, \(rate) Mbit/s in all, \(keyframes) key frames
            loss       \(lost) lost, \(recovered) recovered by \(nacks) NACKs, \(duplicates) duplicates, \(reordered) out of order
            connected  \(line(connectMs))
            media      \(line(mediaMs))
            picture    \(line(pictureMs))
            delay      \(line(delayMs))
            this load  busy for \(Int(busy * 100)) % of the time
            """
    }
}
