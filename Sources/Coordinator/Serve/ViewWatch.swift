import Nodes

/// Shows the cluster to those who look after it, again and again: each second at least as long as there is a node, so what failed is tried
/// again.
actor ViewWatch {
    /// Many nodes change all the time; the newest view has all that happened meanwhile.
    private static let pause = Duration.milliseconds(200)

    private let directory: NodeDirectory
    private let look: @Sendable (ClusterView) async -> Void
    private var task: Task<Void, Never>?

    init(_ directory: NodeDirectory, _ look: @escaping @Sendable (ClusterView) async -> Void) {
        (self.directory, self.look) = (directory, look)
    }

    func start() async {
        guard task == nil else { return }
        let changes = await directory.changes()
        task = Task { [look] in
            for await view in changes {
                await look(view)
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// Returns when nobody is looking any more.
    func stop() async {
        let running = task
        task = nil
        running?.cancel()
        await running?.value
    }
}
