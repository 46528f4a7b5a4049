import HTTP
import Store

extension RemoteBucket {
    /// The most that one request lists or deletes.
    static let batchMax = 1_000

    /// Objects by rising key, a thousand a request. Keys of the bucket that cannot be keys here are passed over.
    public func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> ObjectPage {
        let limit = max(1, limit)
        var objects: [ObjectInfo] = []
        var after = after
        while true {
            let page = try await page(
                prefix: name(prefix: prefix), after: after.map { name(prefix: $0) },
                limit: min(Self.batchMax, limit - objects.count))
            for entry in page.entries {
                guard let path = relative(entry.name) else { continue }
                after = path
                guard let key = try? ObjectKey(path) else { continue }
                objects.append(ObjectInfo(key: key, size: entry.size, etag: entry.tag, modifiedUs: entry.modifiedUs))
            }
            guard page.isTruncated else { return ObjectPage(objects: objects, continuation: nil) }
            guard !page.entries.isEmpty else { throw .unavailable(reason: "a page of a listing was empty and not the last") }
            if objects.count >= limit { return ObjectPage(objects: objects, continuation: after) }
        }
    }

    /// By bytes: a character may begin with the slash and go on with the key's first scalar.
    private func relative(_ name: String) -> String? {
        if root.isEmpty { return name }
        let prefix = Array((root + "/").utf8)
        return name.utf8.starts(with: prefix) ? String(decoding: name.utf8.dropFirst(prefix.count), as: UTF8.self) : nil
    }

    struct Entry {
        let name: String
        let size: Int64
        let tag: String
        let modifiedUs: Int64
    }

    struct Page {
        var entries: [Entry]
        var isTruncated: Bool
    }

    /// One request's worth, with names as they are in the bucket (ListObjectsV2).
    func page(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Page {
        var query: [BucketRequest.Parameter] = [
            .init("list-type", "2"), .init("encoding-type", "url"), .init("max-keys", String(limit)), .init("prefix", prefix),
        ]
        if let after { query.append(.init("start-after", after)) }
        let answer = try await send(BucketRequest(.get, "", query: query))
        guard let page = Self.read(answer.body) else { throw .unavailable(reason: "the listing is not what stores write") }
        // A server that begins anew would be read for ever.
        if let after, let first = page.entries.first, !after.utf8.lexicographicallyPrecedes(first.name.utf8) {
            let rest = page.entries.drop { !after.utf8.lexicographicallyPrecedes($0.name.utf8) }
            return Page(entries: Array(rest), isTruncated: page.isTruncated)
        }
        return page
    }

    /// Nil for what is no listing. Names that are not UTF-8 are passed over.
    static func read(_ bytes: [UInt8]) -> Page? {
        guard let root = try? XMLReader.parse(bytes), root.name == "ListBucketResult" else { return nil }
        let isEncoded = root.text("EncodingType") == "url"
        let entries = root.all("Contents").compactMap { element -> Entry? in
            guard let raw = element.text("Key"), let size = element.text("Size").flatMap({ Int64($0) }), size >= 0,
                // Servers differ in how they write a space; a plus sign is escaped by all.
                let name = isEncoded ? PercentCoding.decode(raw, plusIsSpace: true) : raw
            else { return nil }
            return Entry(
                name: name, size: size, tag: ObjectInfo.tag(element.text("ETag")),
                modifiedUs: element.text("LastModified").flatMap { BasicDate.parse($0) } ?? 0)
        }
        return Page(entries: entries, isTruncated: root.text("IsTruncated") == "true")
    }

    // MARK: deleting

    /// Removes objects, a thousand a request (DeleteObjects).
    public func deleteAll(_ keys: [ObjectKey]) async throws(StoreError) {
        for start in stride(from: 0, to: keys.count, by: Self.batchMax) {
            try await deleteBatch(keys[start..<min(keys.count, start + Self.batchMax)])
        }
    }

    private func deleteBatch(_ keys: ArraySlice<ObjectKey>) async throws(StoreError) {
        let objects = keys.map { "<Object><Key>\(XMLElement.escaped(name($0)))</Key></Object>" }.joined()
        var request = BucketRequest(.post, "", query: [.init("delete")], headers: ["Content-Type": "application/xml"])
            .with(Array("<Delete><Quiet>true</Quiet>\(objects)</Delete>".utf8), dialect.traits.digest)
        request.headers["Content-MD5"] = request.digest.contentMD5
        let answer = try await send(request)
        if answer.body.isEmpty, dialect.traits.isSilentOnSuccess { return }
        guard let root = try? XMLReader.parse(answer.body) else {
            throw .unavailable(reason: "the answer to deleting is not XML")
        }
        let codes = Set(root.all("Error").compactMap { $0.text("Code") }).subtracting(["NoSuchKey"])
        guard let code = codes.sorted().first else { return }
        throw code == "AccessDenied"
            ? .denied(reason: "deleting: AccessDenied") : .unavailable(reason: "some objects were not deleted")
    }
}
