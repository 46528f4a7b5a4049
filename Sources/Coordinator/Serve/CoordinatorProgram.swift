import CLinux
import Program

/// The coordinator as a program.
public enum CoordinatorProgram: ServerProgram {
    /// What is said of it.
    public static let description = ProgramDescription(
        name: "coordinator", purpose: "Spreads publishers and viewers over edge nodes and plays back what they recorded.",
        environmentPrefix: "COORDINATOR", metricPrefix: CoordinatorMetric.prefix)

    /// Everything that runs in a coordinator; nothing is answered yet.
    public static func parts(_ config: CoordinatorConfig) async throws -> Coordinator {
        // What passes through comes and goes in small blocks; given back to the system, they come again with page faults.
        tributary_keep_freed_memory(1 << 20, 16 << 20)
        return try await Coordinator(config)
    }
}
