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

/// What was decided here and is not remembered yet: until it is, it goes before what the memory says.
struct UnsavedDecisions {
    /// Nodes by alias; nil: it is to be forgotten.
    var nodes: [String: ConfiguredNode?] = [:]
    /// Whether they are drained, by alias.
    var drained: [String: Bool] = [:]

    func applied(to decisions: NodeDecisions) -> NodeDecisions {
        var decisions = decisions
        decisions.added.removeAll { nodes.keys.contains($0.alias) }
        decisions.added += nodes.values.compactMap { $0 }
        for (alias, isDrained) in drained {
            if isDrained { decisions.drained.insert(alias) } else { decisions.drained.remove(alias) }
        }
        return decisions
    }
}

/// Keeps operators' decisions over restarts, and for other coordinators where it is shared. A memory that fails is no reason not to do
/// what was decided: it says so in the log, and is asked again.
public protocol NodeMemory: Sendable {
    /// What is remembered; nil when that can't be read now.
    func decisions() async -> NodeDecisions?
    /// Remembers a node, in place of another of its alias; false when that fails.
    func remember(_ node: ConfiguredNode) async -> Bool
    /// Forgets a node that was added; false when that fails.
    func forget(_ alias: String) async -> Bool
    /// Remembers whether a node is drained; false when that fails.
    func setDrained(_ alias: String, _ isDrained: Bool) async -> Bool
}
