import Cluster
import Config
import Media

/// `[recorder]`, `[recorder.storage]`, `[recorder.spool]`, `[[recorder.retention]]` and `[recorder.hooks]`.
public struct RecorderSettings: Sendable, Hashable {
    /// How a recording's directory is named.
    public enum Layout: String, Sendable, CaseIterable {
        /// `{stream}/YYYY/MM/DD/`, UTC date of the first frame.
        case date
    }

    /// `enabled`: false answers 501 to everything about recordings.
    public var isEnabled: Bool
    /// What happens when there is less free space than wanted.
    public enum WhenFull: String, Sendable, CaseIterable {
        /// Recording pauses until there is.
        case stop
        /// The oldest recordings of this node are removed.
        case deleteOldest = "delete_oldest"
    }

    /// What sound that recordings cannot hold is turned into.
    public enum Transcoding: String, Sendable, CaseIterable {
        /// Nothing: it is left out.
        case none
        /// Opus.
        case opus
        /// AAC LC.
        case aac

        var target: SoundTarget? { SoundTarget(rawValue: rawValue) }
    }

    /// `auto_streams`: patterns of streams that are recorded without being asked to.
    public var autoStreams: [String]
    /// `node_alias` written to recordings; `node.alias` when not set.
    public var nodeAlias: String
    /// `node_alias` is the node's own alias and that was given, not made of the machine's name: what a bucket has under it is this node's.
    public var ownsAlias: Bool
    /// `layout`.
    public var layout: Layout
    /// `segment_seconds`: the least a segment holds; it ends at the next keyframe.
    public var segmentSeconds: Double
    /// `max_recording_seconds` until a new recording begins; 0: never.
    public var maxRecordingSeconds: Int
    /// `min_free_space`, bytes: with less no recording is begun.
    public var minFreeSpace: Int
    /// `min_free_percent` of the file system; the larger of the two counts.
    public var minFreePercent: Double
    /// `when_full`.
    public var whenFull: WhenFull
    /// `transcode_audio`: what becomes of G.711 and G.722.
    public var transcodeAudio: Transcoding
    /// `retention_days`: days after its end until a recording is removed; 0: never.
    public var retentionDays: Int
    /// `[[recorder.retention]]`: other times for streams that fit a pattern; the first that fits decides.
    public var retention: [RetentionRule]
    /// `[recorder.hooks]`.
    public var hooks: HookOptions
    /// `[recorder.storage]`.
    public var storage: StorageSettings
    /// `[recorder.spool] dir`: where objects wait for a storage that is away; not used with `fs`.
    public var spoolDirectory: String
    /// `[recorder.spool] max_bytes`.
    public var spoolBytesMax: Int

    /// One `[[recorder.retention]]`.
    public struct RetentionRule: Sendable, Hashable {
        /// `pattern` of stream names.
        public var pattern: String
        /// `days`; 0: never.
        public var days: Int
    }

    init(reading root: ConfigSection, node: NodeSettings) {
        let recorder = root.section("recorder")
        isEnabled = recorder.flag("enabled", default: true)
        autoStreams = recorder.strings("auto_streams", check: Self.patternProblem)
        let alias = recorder.string("node_alias") {
            $0.isEmpty || NodeAlias.isValid($0) ? nil : "must be 1 to 64 of A-Z a-z 0-9 _ . - and not start with a dot"
        }
        nodeAlias = alias.isEmpty ? node.alias : alias
        ownsAlias = node.isAliasGiven && nodeAlias == node.alias
        layout = recorder.choice("layout", default: Layout.date)
        segmentSeconds = recorder.number("segment_seconds", default: 4, in: 0.5...60)
        maxRecordingSeconds = recorder.integer("max_recording_seconds", default: 86_400, in: 0...31_536_000)
        minFreeSpace = recorder.bytes("min_free_space", default: 512 << 20, in: 0...1 << 50)
        minFreePercent = recorder.number("min_free_percent", default: 0, in: 0...90)
        whenFull = recorder.choice("when_full", default: WhenFull.stop)
        transcodeAudio = recorder.choice("transcode_audio", default: Transcoding.none)
        retentionDays = recorder.integer("retention_days", default: 0, in: Self.days)
        retention = recorder.sections("retention").map { rule in
            let pattern = rule.string("pattern", check: Self.patternProblem)
            if pattern.isEmpty, !rule.isSet("pattern") { rule.problem("pattern", "is required") }
            let days = rule.integer("days", default: 0, in: Self.days)
            if !rule.isSet("days") { rule.problem("days", "is required") }
            return RetentionRule(pattern: pattern, days: days)
        }
        hooks = HookOptions(reading: recorder)
        storage = StorageSettings(reading: recorder)
        if whenFull == .deleteOldest, storage.isRemote {
            recorder.problem(
                "when_full", "delete_oldest is for storage.type = \"fs\": a bucket has no end, and the spool empties itself")
        }
        let spool = recorder.section("spool")
        spoolDirectory = spool.string("dir", default: "./spool") { $0.isEmpty ? "must not be empty" : nil }
        spoolBytesMax = spool.bytes("max_bytes", default: 10 << 30, in: 1 << 20...1 << 50)
    }

    private static let days = 0...36_500

    private static func patternProblem(_ text: String) -> String? {
        StreamPattern(text) == nil ? "not a pattern of stream names: * is any text, ? one character" : nil
    }

    func check(_ machine: ConfigChecks) {
        storage.check(machine)
        guard storage.isRemote else { return }
        machine.writable(directory: spoolDirectory, key: "recorder.spool.dir")
    }
}

extension StorageSettings {
    fileprivate var isRemote: Bool { if case .fs = self { false } else { true } }
}
