import Buckets
import Config
import Foundation
import HTTP
import Store
import Testing

@Suite("Opening a configured store")
struct BucketStoreTests {
    @Test("type fs opens the directory")
    func files() async throws {
        let root = NSTemporaryDirectory() + "buckets-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: root) }
        let store = try BucketStore.open(.fs(root: root), client: HTTPClient(), environment: [:])
        let key = try ObjectKey("a/b")
        try await store.put(key, [1, 2, 3], ifAbsent: true)
        #expect(try await store.read(key, limit: 3) == [1, 2, 3])
    }
}
