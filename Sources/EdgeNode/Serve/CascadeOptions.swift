import Cascade
import Config

/// `[cascade]`: streams between nodes.
public struct CascadeOptions: Sendable, Hashable {
    /// `idle_seconds`: a pulled stream that nobody has used for so long is let go; 0: never.
    public var idleSeconds: Int
    /// `max_depth`: nodes that a stream may go through after the one it was published on.
    public var depthMax: Int

    init(reading root: ConfigSection) {
        let cascade = root.section("cascade")
        idleSeconds = cascade.integer("idle_seconds", default: 60, in: 0...86_400)
        depthMax = cascade.integer("max_depth", default: 4, in: 1...16)
    }
}

extension CascadeDesk.Settings {
    init(_ options: CascadeOptions) {
        self.init()
        idleSeconds = options.idleSeconds
    }
}
