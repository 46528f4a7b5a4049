import Cascade
import Cluster
import Config

/// `[cascade]` and `[stream.X]`: streams between nodes.
public struct CascadeOptions: Sendable, Hashable {
    /// `idle_seconds`: a pulled stream that nobody has used for so long is let go; 0: never.
    public var idleSeconds: Int
    /// `max_depth`: nodes that a stream may go through after the one it was published on.
    public var depthMax: Int
    /// `[[stream.X.sources]]`, of which one is pulled, and `[[stream.X.targets]]`, of which each is pushed to.
    public var declared: [DeclaredCascade]

    init(reading root: ConfigSection) {
        let cascade = root.section("cascade")
        idleSeconds = cascade.integer("idle_seconds", default: 60, in: 0...86_400)
        depthMax = cascade.integer("max_depth", default: 4, in: 1...16)
        let rule = "not a stream name: 1 to 64 of A-Z a-z 0-9 _ . ~ - and no dot first"
        declared = root.tables("stream") { StreamName.isValid($0) ? nil : rule }.flatMap { name, stream in
            let sources = Self.addresses(stream, "sources", schemes: "whep")
            let targets = Self.addresses(stream, "targets", schemes: "whip")
            let pull = DeclaredCascade(stream: name, direction: .pull, addresses: sources)
            let push = targets.map { DeclaredCascade(stream: name, direction: .push, addresses: [$0]) }
            return ([pull] + push).compactMap { $0 }
        }
    }

    private static func addresses(_ stream: ConfigSection, _ key: String, schemes: String) -> [CascadeAddress] {
        stream.sections(key).compactMap { entry in
            let url = entry.string("url")
            let token = entry.string("token")
            if url.isEmpty {
                entry.problem("url", "is required")
            } else if CascadeAddress(url, token: nil) == nil {
                entry.problem("url", "expected http://host/path, https://host/path or \(schemes)://host/path")
            } else if CascadeAddress(url, token: token) == nil {
                entry.problem("token", "must be printable ASCII")
            }
            return CascadeAddress(url, token: token)
        }
    }
}

extension CascadeDesk.Settings {
    init(_ options: CascadeOptions) {
        self.init()
        idleSeconds = options.idleSeconds
    }
}
