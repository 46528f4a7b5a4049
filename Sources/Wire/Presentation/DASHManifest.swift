import HTTP
import Media

/// How object addresses are written into manifests.
public struct ObjectAddresses: Sendable {
    /// What stands between the manifest's own address and an object's key.
    public var prefix: String
    /// Query items that every object address carries on, such as the client's token; already escaped, no `?`.
    public var carriedQuery: String
    /// Two nodes may have different objects of one key; where objects of several are shown, each address names its node.
    public var namesNodes: Bool

    /// Addresses relative to `/api/playback/{stream}/…`, so that they hold behind a proxy with a path of its own.
    public init(prefix: String = "../../record/object/", carriedQuery: String = "", namesNodes: Bool = true) {
        self.prefix = prefix
        self.carriedQuery = carriedQuery
        self.namesNodes = namesNodes
    }

    /// The address of a key on a node; with `part`, of one part of it (RFC 8216bis 4.4.4.9).
    func address(_ key: String, node: String, number: String = "", part: Int? = nil) -> String {
        let items =
            (namesNodes ? ["node=\(PercentCoding.encode(node))"] : []) + (part.map { ["part=\($0)"] } ?? [])
            + (carriedQuery.isEmpty ? [] : [carriedQuery])
        let query = items.isEmpty ? "" : "?" + items.joined(separator: "&")
        return "\(prefix)\(PercentCoding.encode(key, keepSlash: true))\(number)\(query)"
    }

    /// The address of something made on request, beside the manifest.
    func beside(_ name: String, _ query: String) -> String {
        "\(name)?\(query)\(carriedQuery.isEmpty ? "" : "&\(carriedQuery)")"
    }
}

extension Timeline {
    /// The DASH manifest (ISO/IEC 23009-1): one Period for each stretch, its node in the Period's `@id` and in each
    /// object's `?node=`.
    /// - Parameters:
    ///   - isDynamic: the last period has no end yet, and clients should ask again.
    ///   - originUs: the instant that is 0 of the presentation, as `origin(_:)` gives it; nil: where the line begins.
    ///   - nextVersion: where they should, relative to the manifest; without it, where they asked first.
    public func mpd(
        addresses: ObjectAddresses, isDynamic: Bool, originUs: Int64? = nil, nextVersion: String? = nil
    ) -> MPD {
        let seconds = maxSegmentSeconds
        let originUs = origin(originUs)
        let aheadUs = periods[0].wallStartUs - originUs
        let described = periods.enumerated().map { index, period in
            MPD.Period(
                id: period.id, startUs: aheadUs + period.startUs,
                durationUs: isDynamic && index == periods.count - 1 ? nil : period.durationUs,
                wallClockUs: period.wallStartUs, tracks: period.tracks.map { Self.describe($0, period.node, addresses) })
        }
        let kind: MPD.Kind =
            isDynamic
            ? .dynamic(
                availabilityStartUs: originUs, publishUs: max(updatedUs, originUs),
                updateSeconds: min(max(seconds / 2, 1), 10)) : .static
        return MPD(
            kind: kind, maxSegmentSeconds: seconds,
            clock: isDynamic ? MPD.Clock(scheme: "urn:mpeg:dash:utc:http-xsdate:2014", value: "../../time") : nil,
            location: isDynamic ? nextVersion : nil, periods: described)
    }

    /// The instant positions of a manifest are counted from, Unix microseconds: the one that an earlier version named, or the line's
    /// beginning. What is deleted at the beginning would move all that players know otherwise (ISO/IEC 23009-1 5.4.1).
    public func origin(_ earlierUs: Int64?) -> Int64 { min(earlierUs ?? .max, periods[0].wallStartUs) }

    private static func describe(_ entry: TimelineTrack, _ node: String, _ addresses: ObjectAddresses) -> MPD.Track {
        let track = entry.track
        let media: MPD.Track.Media =
            track.kind == "video"
            ? .video(width: track.width ?? 1, height: track.height ?? 1, frameRate: track.frameRate)
            : .audio(sampleRate: track.sampleRate ?? Int(track.timescale), channels: track.channels ?? 1)
        return MPD.Track(
            media: media, codecs: track.codecs, bandwidth: Int(track.bandwidth), timescale: Int(track.timescale),
            initialization: addresses.address(track.initialization, node: node),
            template: addresses.address(track.segmentPrefix, node: node, number: "$Number%04d$.\(track.container.suffix)"),
            startsWithSAP: track.segments.unsynced.isEmpty, startNumber: Int(track.segments.first?.number ?? 1),
            presentationTimeOffset: entry.presentationTimeOffset,
            timeline: track.segments.timeline)
    }
}
