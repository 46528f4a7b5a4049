/// What operators said of nodes while the cluster ran.
public struct NodeDecisions: Sendable, Equatable {
    /// Nodes that were added, to be followed like those of the configuration.
    public var added: [ConfiguredNode]
    /// Aliases of nodes that are to take nothing new.
    public var drained: Set<String>

    /// Nothing decided unless given.
    public init(added: [ConfiguredNode] = [], drained: Set<String> = []) {
        self.added = added
        self.drained = drained
    }
}

/// Keeps operators' decisions over restarts, and for other coordinators where it is shared. A memory that fails is no reason not to do
/// what was decided: it says so in the log, and the decision holds here.
public protocol NodeMemory: Sendable {
    /// What is remembered; nil when that can't be read now.
    func decisions() async -> NodeDecisions?
    /// Remembers a node, in place of another of its alias.
    func remember(_ node: ConfiguredNode) async
    /// Forgets a node that was added.
    func forget(_ alias: String) async
    /// Remembers whether a node is drained.
    func setDrained(_ alias: String, _ isDrained: Bool) async
}
