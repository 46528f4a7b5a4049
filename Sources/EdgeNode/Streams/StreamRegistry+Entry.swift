import Cluster
import MediaPlane

/// Who is let in. All of it comes before an offer is read, so that being refused costs next to nothing (RFC 9725 sections 4.5 and 5).
extension StreamRegistry {
    /// What a client wants to be.
    public enum Role: Sendable {
        /// It sends.
        case publisher
        /// It receives.
        case viewer
    }

    /// Throws what `publish` or `subscribe` would without looking at an offer: the node is drained, full or busy, the stream unknown or
    /// full, the client has as many sessions as one may.
    ///
    /// - Parameter isRelay: another node asks. It makes room elsewhere, so limits for clients don't count.
    public func checkEntry(
        _ name: String, as role: Role, from client: SessionClient, isRelay: Bool
    ) throws(StreamError) {
        var freed: [SessionSeats.Holder] = []
        switch role {
        case .publisher:
            try checkOpen(name)
            guard streams[name] != nil || settings.autoCreateWHIP else { throw .streamNotFound }
            // Who comes where somebody publishes takes that one's place, or none.
            if let current = streams[name]?.publisher { freed = current.seat.holders } else { try checkRoom(isPublisher: true) }
        case .viewer:
            try checkOpen(name, isRelay: isRelay)
            guard streams[name] != nil || settings.autoCreateWHEP else { throw .streamNotFound }
            try checkRoom(isPublisher: false, isRelay: isRelay)
            try checkTime(isRelay: isRelay)
            let viewers = streams[name]?.viewers.count ?? 0
            guard isRelay || viewers < settings.subscribersPerStreamMax ?? .max else { throw .subscriberLimit }
        }
        if !isRelay { try checkSeats(client, besides: freed) }
    }

    /// Throws when the client has as many sessions as one may, but for a place that becomes free for it.
    func checkSeats(_ client: SessionClient, besides freed: [SessionSeats.Holder]) throws(StreamError) {
        for holder in client.holders where !freed.contains(holder) {
            let most =
                switch holder {
                case .address: settings.sessionsPerAddressMax
                case .credential: settings.sessionsPerCredentialMax
                }
            guard seats.count(of: holder) < most ?? .max else {
                throw .tooManySessions(retryAfterSeconds: StreamLimits.retryAfterSeconds)
            }
        }
    }

    func checkOpen(_ name: String, isRelay: Bool = false) throws(StreamError) {
        guard StreamName.isValid(name) else { throw .invalidName }
        // Where nothing comes any more, other nodes have to look elsewhere too.
        let isWayOut = isRelay && intake == .relays && streams[name]?.publisher != nil
        guard intake == .open || isWayOut else {
            throw .unavailable(retryAfterSeconds: StreamLimits.retryAfterSeconds)
        }
    }

    /// - Parameter isRelay: another node's session: it makes room elsewhere, so the limit for viewers doesn't count.
    func checkRoom(isPublisher: Bool, isRelay: Bool = false) throws(StreamError) {
        let counts = counts
        let limit = isPublisher ? settings.publishersMax : isRelay ? nil : settings.subscribersMax
        let taken = isPublisher ? counts.publishers : counts.viewers
        guard taken < limit ?? .max, counts.publishers + counts.viewers < settings.sessionsMax ?? .max else {
            throw .unavailable(retryAfterSeconds: StreamLimits.retryAfterSeconds)
        }
    }

    /// Those who watch go before those who come.
    ///
    /// - Parameter isRelay: another node's session, after which viewers go there instead.
    func checkTime(isRelay: Bool) throws(StreamError) {
        guard isRelay || !plane.isSaturated else { throw .unavailable(retryAfterSeconds: StreamLimits.retryAfterSeconds) }
    }
}
