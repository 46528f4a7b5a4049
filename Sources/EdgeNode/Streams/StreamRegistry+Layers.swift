import Cluster
import MediaPlane

extension StreamRegistry {
    /// The layers that a viewer may choose from, and its choice.
    ///
    /// - Throws: `StreamError.notSimulcast` when the stream comes once, or the session publishes it.
    public func layers(stream name: String, session id: String) async throws(StreamError) -> ViewerLayers {
        guard let session = streams[name]?.session(id), let handle = session.handle else { throw .sessionNotFound }
        guard !handle.isPublisher else { throw .notSimulcast }
        guard let layers = await plane.layers(of: handle) else { throw .sessionNotFound }
        guard !layers.layers.isEmpty else { throw .notSimulcast }
        return layers
    }

    /// Chooses what of a stream in layers a viewer is sent.
    ///
    /// - Throws: `StreamError.notSimulcast`, and `.layerNotFound` for a layer that the publisher does not have.
    public func choose(_ choice: LayerChoice, stream name: String, session id: String) async throws(StreamError) {
        let known = try await layers(stream: name, session: id)
        if case .pinned(let rid) = choice, !known.layers.contains(where: { $0.rid == rid }) { throw .layerNotFound }
        guard let handle = streams[name]?.session(id)?.handle else { throw .sessionNotFound }
        do throws(MediaPlaneError) { try await plane.choose(choice, for: handle) } catch { throw .sessionNotFound }
    }
}

extension LayerRecord {
    init(_ layer: LayerSnapshot) {
        self.init(
            rid: layer.rid, active: layer.isActive, bitrate: Int64(clamping: layer.bitrate), width: Int(layer.width),
            height: Int(layer.height))
    }
}
