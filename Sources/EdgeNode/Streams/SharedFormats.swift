import SDP

/// Viewers' lists of formats, each kept once.
///
/// Thousands of viewers with the same browser agreed on the same up to sixteen formats: 3 KB of text for each that says the same.
struct SharedFormats {
    /// More than there are kinds of players at once; then it begins anew, and who is there keeps what he has.
    static let listsMax = 64
    /// Of one format. What is longer is kept by its session alone, and goes with it.
    static let textBytesMax = 256

    private var lists: Set<[NegotiatedFormat]> = []

    /// The same tracks, with lists that others have, too.
    mutating func shared(_ tracks: [NegotiatedTrack]) -> [NegotiatedTrack] {
        tracks.map { track in
            let formats = track.alternatives
            guard !formats.isEmpty, formats.allSatisfy({ $0.codec.fmtp.utf8.count <= Self.textBytesMax }) else { return track }
            if lists.count >= Self.listsMax, !lists.contains(formats) { lists = [] }
            var track = track
            track.alternatives = lists.insert(formats).memberAfterInsert
            return track
        }
    }
}
