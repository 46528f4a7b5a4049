import Program

/// The edge node as a program.
public enum EdgeProgram: ServerProgram {
    /// What is said of it.
    public static let description = ProgramDescription(
        name: "edge-node", purpose: "Takes live streams over WHIP, hands them to viewers over WHEP and records them.",
        environmentPrefix: "EDGE", metricPrefix: EdgeMetric.prefix)

    /// Everything that runs in a node; nothing is served yet.
    public static func parts(_ config: EdgeConfig) async throws -> EdgeServices { try await EdgeServices(config) }

    /// What this build can't do yet.
    public static func unsupported(in config: EdgeConfig) -> String? { nil }
}
