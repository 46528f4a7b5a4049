import Cluster
import Config

/// `[recorder]`, `[recorder.storage]` and `[recorder.spool]`.
public struct RecorderSettings: Sendable, Hashable {
    /// How a recording's directory is named.
    public enum Layout: String, Sendable, CaseIterable {
        /// `{stream}/YYYY/MM/DD/`, UTC date of the first frame.
        case date
    }

    /// `auto_streams`: patterns of streams that are recorded without being asked to.
    public var autoStreams: [String]
    /// `node_alias` written to recordings; `node.alias` when not set.
    public var nodeAlias: String
    /// `layout`.
    public var layout: Layout
    /// `segment_seconds`: the least a segment holds; it ends at the next keyframe.
    public var segmentSeconds: Double
    /// `max_recording_seconds` until a new recording begins; 0: never.
    public var maxRecordingSeconds: Int
    /// `min_free_space`, bytes: with less no recording is begun.
    public var minFreeSpace: Int
    /// `[recorder.storage]`.
    public var storage: StorageSettings
    /// `[recorder.spool] dir`: where objects wait for a storage that is away; not used with `fs`.
    public var spoolDirectory: String
    /// `[recorder.spool] max_bytes`.
    public var spoolBytesMax: Int

    init(reading root: ConfigSection, nodeAlias fallback: String) {
        let recorder = root.section("recorder")
        autoStreams = recorder.strings("auto_streams") {
            StreamPattern($0) == nil ? "not a pattern of stream names: * is any text, ? one character" : nil
        }
        let alias = recorder.string("node_alias") {
            $0.isEmpty || NodeAlias.isValid($0) ? nil : "must be 1 to 64 of A-Z a-z 0-9 _ . - and not start with a dot"
        }
        nodeAlias = alias.isEmpty ? fallback : alias
        layout = recorder.choice("layout", default: Layout.date)
        segmentSeconds = recorder.number("segment_seconds", default: 4, in: 0.5...60)
        maxRecordingSeconds = recorder.integer("max_recording_seconds", default: 86_400, in: 0...31_536_000)
        minFreeSpace = recorder.bytes("min_free_space", default: 512 << 20, in: 0...1 << 50)
        storage = StorageSettings(reading: recorder)
        let spool = recorder.section("spool")
        spoolDirectory = spool.string("dir", default: "./spool") { $0.isEmpty ? "must not be empty" : nil }
        spoolBytesMax = spool.bytes("max_bytes", default: 10 << 30, in: 1 << 20...1 << 50)
    }

    func check(_ machine: ConfigChecks) {
        storage.check(machine)
        if case .fs = storage { return }
        machine.writable(directory: spoolDirectory, key: "recorder.spool.dir")
    }
}
