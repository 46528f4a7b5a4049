import Media

extension Timeline {
    /// The same without what HLS cannot carry, which is WebM (RFC 8216 3); nil when no video is left of what had some,
    /// for sound alone is not what was recorded.
    public var withoutWebM: Timeline? {
        var rest = self
        rest.periods = periods.compactMap { period in
            var period = period
            period.tracks.removeAll { $0.track.container == .webm }
            return period.tracks.isEmpty ? nil : period
        }
        return rest.periods.isEmpty || has(.video) && !rest.has(.video) ? nil : rest
    }
}

extension LiveEdge {
    /// The same without what HLS cannot carry: sound beside such video stands alone.
    public var withoutWebM: LiveEdge {
        var rest = self
        rest.period?.tracks.removeAll { $0.container == .webm }
        return rest
    }
}
