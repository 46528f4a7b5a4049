import Program

/// The coordinator as a program.
public enum CoordinatorProgram: ServerProgram {
    /// What is said of it.
    public static let description = ProgramDescription(
        name: "coordinator", purpose: "Spreads publishers and viewers over edge nodes and plays back what they recorded.",
        environmentPrefix: "COORDINATOR", metricPrefix: CoordinatorMetric.prefix)

    /// Everything that runs in a coordinator; nothing is answered yet.
    public static func parts(_ config: CoordinatorConfig) async throws -> Coordinator { try await Coordinator(config) }

    /// What this build can't do yet.
    public static func unsupported(in config: CoordinatorConfig) -> String? { CoordinatorError(config)?.description }
}
