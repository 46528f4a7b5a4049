import Journal
import Media
import Store

/// Finds every journal in a store by listing it, a page at a time and in the order of keys.
///
/// Media are nearly all there is in a bucket: a day of two tracks has 43,000 segments and one journal. Where a page ends among numbered
/// segments the rest of that number is passed over, so a day costs two or three pages rather than 44.
struct JournalWalk {
    /// What one request brought.
    struct Page {
        let journals: [ObjectInfo]
        /// The journals of the store whose keys lie behind `after`, up to `through`, are those; nil: from the first, to the last.
        let after: String?
        let through: String?
    }

    /// What a request asks for; stores give no more.
    static let pageObjects = 1_000

    private let store: any ObjectStore
    private let pageObjects: Int
    private var after: String?
    private var isAtEnd = false

    init(_ store: any ObjectStore, pageObjects: Int = Self.pageObjects) { (self.store, self.pageObjects) = (store, pageObjects) }

    /// The next page; nil behind the last.
    mutating func next() async throws(StoreError) -> Page? {
        guard !isAtEnd else { return nil }
        let from = after
        let page = try await store.list(prefix: "", after: from, limit: pageObjects)
        after = page.continuation.map { Self.pass($0) }
        isAtEnd = after == nil
        if let after, let from, !from.utf8.lexicographicallyPrecedes(after.utf8) {
            throw .unavailable(reason: "a listing does not come to an end")
        }
        return Page(journals: page.objects.filter { JournalName.isOne($0.key) }, after: from, through: after)
    }

    /// Where to go on behind a key. A folder that is called like a segment, beside segments, is passed over with them.
    static func pass(_ path: String) -> String {
        guard let key = try? ObjectKey(path), let directory = key.parent, SegmentContainer.holds(key.name),
            let name = NumberedName(key.name)
        else { return path }
        // The colon follows the digits.
        return "\(directory.path)/\(name.prefix):"
    }
}
