import CLinux
import MediaPlane
import Program

/// The edge node as a program.
public enum EdgeProgram: ServerProgram {
    /// What is said of it.
    public static let description = ProgramDescription(
        name: "edge-node", purpose: "Takes live streams over WHIP, hands them to viewers over WHEP and records them.",
        environmentPrefix: "EDGE", metricPrefix: EdgeMetric.prefix)

    /// Everything that runs in a node; nothing is served yet.
    public static func parts(_ config: EdgeConfig) async throws -> EdgeServices {
        // Recordings fill and free chunks of hundreds of kilobytes all the time. Given back to the system, each comes with page faults that
        // cost a sixth of recording.
        tributary_keep_freed_memory(8 << 20, 64 << 20)
        let services = try await EdgeServices(config)
        ControlPriority.lower()
        return services
    }
}
