/// What this program calls itself.
public enum EdgeVersion {
    /// Semantic version.
    public static let current = "0.1.0"
    /// The program's name, as in `--version` and the OpenAPI document.
    public static let program = "edge-node"
}
