import Foundation
import Journal
import Store

/// What of a recording is in the remote store, kept beside its journal: a line for each object, written before the local file goes.
///
/// A torn line is ended by the line feed that begins the next one. When everything is remote, one line says so in place of all.
struct UploadLog {
    let store: FileStore
    let key: ObjectKey

    static let prefix = "uploads_"

    private struct Line: Codable {
        var name: String?
        var bytes: Int64?
        var complete: Bool?
    }

    struct Contents: Equatable {
        /// Sizes of objects by name.
        var uploaded: [String: Int64] = [:]
        /// Everything, with journal and manifest.
        var isComplete = false

        func has(_ name: String, bytes: Int64?) -> Bool {
            isComplete || uploaded[name].map { $0 == bytes ?? $0 } ?? false
        }
    }

    /// - Parameter journal: the recording's journal.
    init(store: FileStore, journal: ObjectKey) throws(StoreError) {
        self.store = store
        guard let id = JournalName.id(of: journal), let parent = journal.parent else { throw .notFound }
        key = try parent.appending(Self.name(id))
    }

    static func name(_ id: String) -> String { prefix + id + JournalName.suffix }

    /// Empty when there is none.
    func read() throws(StoreError) -> Contents {
        let bytes: [UInt8]
        do throws(StoreError) {
            bytes = try store.readNow(key, limit: JournalName.bytesMax)
        } catch {
            guard error == .notFound else { throw error }
            return Contents()
        }
        return Self.parse(bytes)
    }

    static func parse(_ bytes: [UInt8]) -> Contents {
        let decoder = JSONDecoder()
        var contents = Contents()
        for piece in bytes.split(separator: 0x0A) {
            guard let line = try? decoder.decode(Line.self, from: Data(piece)) else { continue }
            if line.complete == true { contents.isComplete = true }
            if let name = line.name, let size = line.bytes { contents.uploaded[name] = size }
        }
        return contents
    }

    func add(_ name: String, bytes: Int64) throws(StoreError) {
        let file: AppendFile
        do throws(StoreError) {
            file = try store.appendingNow(key, exclusively: false)
        } catch {
            guard error == .notFound else { throw error }
            file = try store.appendingNow(key, exclusively: true)
        }
        try file.append([0x0A] + Self.encoded(Line(name: name, bytes: bytes)))
    }

    func complete() throws(StoreError) {
        try store.putNow(key, Self.encoded(Line(complete: true)) + [0x0A], ifAbsent: false)
    }

    private static func encoded(_ line: Line) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only integers, strings and a flag are in it, which always encode.
        return [UInt8]((try? encoder.encode(line)) ?? Data())
    }
}
