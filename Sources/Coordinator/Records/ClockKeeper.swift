import Nodes

/// Notes in the index how far each node's clock is off, so that recordings of two nodes meet on one timeline where they met in the world,
/// also when they are played long after.
public actor ClockKeeper {
    /// A step smaller than this is measurement.
    static let stepUs: Int64 = 100_000
    private let directory: NodeDirectory
    private let index: RecordingIndex
    private let wallUs: @Sendable () -> Int64
    private var task: Task<Void, Never>?

    /// - Parameter wallUs: the time of day, Unix microseconds.
    public init(directory: NodeDirectory, index: RecordingIndex, wallUs: @escaping @Sendable () -> Int64) {
        self.directory = directory
        self.index = index
        self.wallUs = wallUs
    }

    /// Begins to look, every few seconds.
    public func start() {
        guard task == nil else { return }
        task = Task { [weak self] in
            while !Task.isCancelled {
                await self?.look()
                try? await Task.sleep(for: .seconds(5))
            }
        }
    }

    /// Stops looking.
    public func stop() async {
        task?.cancel()
        await task?.value
        task = nil
    }

    func look() async {
        for node in await directory.view().reachable {
            guard let offsetMs = node.clockOffsetMs, abs(offsetMs) < 1 << 40 else { continue }
            // An index that can't be written is told by everything else that needs it.
            try? await index.noteClock(node: node.alias, offsetUs: offsetMs * 1_000, atUs: wallUs())
        }
    }
}
