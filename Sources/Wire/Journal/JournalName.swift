import Store

/// What journals are called and how large they may be: `session_{id}.jsonl`, beside the objects they tell of.
package enum JournalName {
    package static let prefix = "session_"
    package static let suffix = ".jsonl"
    /// A day of short segments is some 10 MB; more is no journal of ours.
    package static let bytesMax = 256 << 20

    /// The name of a session's journal.
    package static func of(_ id: String) -> String { prefix + id + suffix }

    /// Whether an object is a journal, by its name. One without a directory is none.
    package static func isOne(_ key: ObjectKey) -> Bool {
        key.name.hasPrefix(prefix) && key.name.hasSuffix(suffix) && key.parent != nil
    }

    /// The session that a journal belongs to; nil for what is no journal.
    package static func id(of key: ObjectKey) -> String? {
        isOne(key) ? String(key.name.dropFirst(prefix.count).dropLast(suffix.count)) : nil
    }
}
