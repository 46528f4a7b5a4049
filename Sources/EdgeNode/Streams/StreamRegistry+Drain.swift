import Cluster
import Log
import MediaPlane

/// Emptying a node: its clients are told to go, a few at a time, and find the same streams elsewhere.
///
/// Viewers go first, while the stream is still here for the nodes that they go to; then its publisher, who begins again on another
/// node; then the nodes that had the stream from here, which have another source by then.
extension StreamRegistry {
    /// How long nodes that have a stream from here may take to find another source.
    static let relayGraceNs: UInt64 = 10_000_000_000

    /// Lets no client in from now on; other nodes may still have streams from here.
    public func beginDrain() {
        if intake == .open { intake = .relays }
    }

    /// Lets clients in again.
    public func endDrain() {
        if intake == .relays { intake = .open }
    }

    /// Ends sessions that can go now; their peers are told (DTLS close_notify) when this returns.
    ///
    /// - Parameters:
    ///   - countMax: most clients to end.
    ///   - sinceNs: when the drain began, monotonic.
    public func moveClients(_ countMax: Int, sinceNs: UInt64) async {
        var ended: [SessionHandle] = []
        for name in streams.keys.sorted() {
            for session in leaving(name, countMax - ended.count, sinceNs) {
                guard let handle = session.handle else { continue }
                removeSession(session.id, on: name, state: .closed)
                ended.append(handle)
            }
        }
        if !ended.isEmpty { noteChange() }
        for handle in ended { await plane.remove(handle) }
    }

    /// Who of a stream has to go next.
    private func leaving(_ name: String, _ countMax: Int, _ sinceNs: UInt64) -> [Session] {
        guard let entry = streams[name] else { return [] }
        let clients = entry.viewers.values.filter { $0.relay == nil }
        guard clients.isEmpty else {
            return Array(clients.sorted { $0.createdNs < $1.createdNs }.prefix(max(0, countMax)))
        }
        let copy = entry.publisher.flatMap { $0.relay == nil ? nil : $0 }
        if let publisher = entry.publisher, copy == nil { return countMax > 0 ? [publisher] : [] }
        if entry.viewers.isEmpty { return copy.map { [$0] } ?? [] }
        let alone = entry.publisher == nil ? max(entry.publisherLeft.monotonicNs, sinceNs) : sinceNs
        return time().monotonicNs >= alone &+ Self.relayGraceNs ? Array(entry.viewers.values) : []
    }
}
