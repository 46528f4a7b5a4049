import Cluster
import MediaPlane

extension StreamRegistry {
    /// Every stream as others see it, ordered by name.
    public func records() -> [StreamRecord] { streams.values.map(\.record).sorted { $0.id < $1.id } }

    /// The numbers of all streams, in the order of their names.
    public func tallies() -> [StreamTally] { streams.values.map(\.tally).sorted { $0.stream < $1.stream } }

    /// One stream as others see it.
    public func record(of name: String) -> StreamRecord? { streams[name]?.record }

    /// The names of the streams by the media plane's keys, for metrics.
    public func namesByKey() -> [StreamKey: String] { names }

    /// Publishers and viewers that are there or being set up.
    public var counts: (publishers: Int, viewers: Int) {
        streams.values.reduce(into: (0, 0)) { sum, entry in
            sum.0 += entry.publisher == nil ? 0 : 1
            sum.1 += entry.viewers.count
        }
    }

    /// Streams that come from another node.
    public var copyCount: Int { streams.values.count { $0.publisher?.relay != nil } }

    /// A value whenever streams, sessions or their counters have changed; several changes may come as one. Any number of readers.
    public func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        lastListener += 1
        let id = lastListener
        changeListeners[id] = continuation
        continuation.onTermination = { [weak self] _ in
            Task { await self?.dropListener(id) }
        }
        return stream
    }

    /// Publishers' coming and going from now on, none left out. Any number of readers.
    public func publications() -> AsyncStream<PublicationEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: PublicationEvent.self)
        lastListener += 1
        let id = lastListener
        publicationListeners[id] = continuation
        continuation.onTermination = { [weak self] _ in
            Task { await self?.dropListener(id) }
        }
        return stream
    }

    func dropListener(_ id: Int) {
        changeListeners[id] = nil
        relayListeners[id] = nil
        publicationListeners[id] = nil
    }

    func noteChange() { changeListeners.values.forEach { $0.yield() } }

    func emit(_ event: PublicationEvent) { publicationListeners.values.forEach { $0.yield(event) } }
}
