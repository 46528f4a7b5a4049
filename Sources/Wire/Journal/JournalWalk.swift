import Media
import Store

/// Finds every journal in a store by listing it, a page at a time and in the order of keys.
///
/// Media are nearly all there is in a bucket: a day of two tracks has 43,000 segments and one journal. Where a page ends among numbered
/// segments the rest of that number is passed over, so a day costs two or three pages rather than 44.
package struct JournalWalk: Sendable {
    /// What one request brought.
    package struct Page: Sendable {
        package let journals: [ObjectInfo]
        /// The journals of the store whose keys lie behind `after`, up to `through`, are those; nil: from the first, to the last.
        package let after: String?
        package let through: String?
    }

    /// What a request asks for; stores give no more.
    package static let pageObjects = 1_000

    private let store: any ObjectStore
    private let pageObjects: Int
    private let isPassed: @Sendable (ObjectKey) -> Bool
    private var after: String?
    private var isAtEnd = false

    /// - Parameter isPassed: directories whose journals nobody asks for; the rest of one costs no page.
    package init(
        _ store: any ObjectStore, pageObjects: Int = Self.pageObjects,
        passing isPassed: @escaping @Sendable (ObjectKey) -> Bool = { _ in false }
    ) {
        (self.store, self.pageObjects, self.isPassed) = (store, pageObjects, isPassed)
    }

    /// The next page; nil behind the last.
    package mutating func next() async throws(StoreError) -> Page? {
        guard !isAtEnd else { return nil }
        let from = after
        let page = try await store.list(prefix: "", after: from, limit: pageObjects)
        after = page.continuation.map { goOn(behind: $0) }
        isAtEnd = after == nil
        if let after, let from, !from.utf8.lexicographicallyPrecedes(after.utf8) {
            throw .unavailable(reason: "a listing does not come to an end")
        }
        let journals = page.objects.filter { info in
            JournalName.isOne(info.key) && !(info.key.parent.map(isPassed) ?? false)
        }
        return Page(journals: journals, after: from, through: after)
    }

    private func goOn(behind path: String) -> String {
        guard let directory = (try? ObjectKey(path))?.parent, isPassed(directory) else { return Self.pass(path) }
        // The digit 0 follows the slash.
        return "\(directory.path)0"
    }

    /// Where to go on behind a key. A folder that is called like a segment, beside segments, is passed over with them.
    package static func pass(_ path: String) -> String {
        guard let key = try? ObjectKey(path), let directory = key.parent, SegmentContainer.holds(key.name),
            let name = NumberedName(key.name)
        else { return path }
        // The colon follows the digits.
        return "\(directory.path)/\(name.prefix):"
    }
}
