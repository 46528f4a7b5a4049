import HTTP
import Store

/// A store that other servers stand for, whose answers can be passed on without a task between the two connections.
public protocol RelayingStore: ObjectStore {
    /// Opens an object for an answer; `range` is cut to the object's end, nil is all of it. Throws `rangeNotSatisfiable` also for an
    /// empty range.
    func relay(_ key: ObjectKey, range: Range<Int64>?) async throws(StoreError) -> RelayedObject
}

/// An object whose bytes are on their way.
public struct RelayedObject: Sendable {
    /// The whole object.
    public let info: ObjectInfo
    /// The bytes that come, counted in the object.
    public let range: Range<Int64>
    private let body: RelayedBody

    init(info: ObjectInfo, range: Range<Int64>, body: RelayedBody) { (self.info, self.range, self.body) = (info, range, body) }

    /// What an answer sends. Throws what broke an object that is small enough to be waited for.
    public func answer() async throws(StoreError) -> HTTPResponse.Body {
        do { return try await body.passed() } catch { throw Self.storeError(error) }
    }

    /// The next piece; nil after the last. Throws `unavailable` when the rest can't be had, `preconditionFailed` when the object is
    /// another by now.
    func next() async throws(StoreError) -> [UInt8]? {
        do { return try await body.next() } catch { throw Self.storeError(error) }
    }

    private static func storeError(_ error: any Error) -> StoreError {
        switch error {
        case let error as StoreError: error
        case let error as HTTPClientError: BucketTransport.storeError(error)
        default: .unavailable(reason: "the transfer was given up")
        }
    }
}
