import Cluster
import Log
import MediaPlane

/// One publisher of a stream in the whole cluster.
extension StreamRegistry {
    /// Asks the cluster for the stream; throws when another node has its publisher. The session holds the place here meanwhile.
    func claim(_ name: String, for session: Session) async throws(StreamError) {
        guard let claims else { return }
        let answer = await claims.acquire(name, credential: session.credential, isOverriding: settings.overridePublisher)
        let isStillWanted = streams[name]?.publisher?.id == session.id
        switch answer {
        case .held(let ticket, let fence):
            guard isStillWanted else {
                await claims.release(name, ticket: ticket)
                throw .publisherExists
            }
            streams[name]?.claim = (ticket, fence)
        case .taken(let node):
            discard(session.id, on: name)
            throw .publishedElsewhere(node: node)
        }
    }

    /// Lets other nodes have the stream.
    func releaseClaim(on name: String) {
        guard let claims, let claim = streams[name]?.claim else { return }
        streams[name]?.claim = nil
        Task { await claims.release(name, ticket: claim.ticket) }
    }

    /// Takes over the number that a stream is held with once Redis is back.
    public func claimed(stream name: String, fence: Int64) {
        guard streams[name]?.claim != nil else { return }
        streams[name]?.claim?.fence = fence
        noteChange()
    }

    /// Ends a publisher whose stream another node holds now: it was taken over there, or two came while Redis was away.
    public func lostClaim(stream name: String, to node: String) async {
        guard let session = streams[name]?.publisher, let handle = session.handle else { return }
        log.warning("publisher is closed, the stream is published elsewhere", ["stream": name, "node": node])
        streams[name]?.claim = nil
        removeSession(session.id, on: name, state: .closed)
        noteChange()
        await plane.remove(handle)
    }
}
