import CLinux
import HTTP
import Store

/// A request to a bucket before it is signed.
struct BucketRequest: Sendable {
    /// What is sent.
    enum Body: Sendable {
        /// Nothing.
        case none
        /// Bytes in memory.
        case bytes([UInt8])
        /// A part of an open file, read while it is sent.
        case file(LocalFile, Range<Int64>)
    }

    /// A name in the query; `value` nil is a name alone, such as `uploads`.
    struct Parameter: Sendable, Equatable {
        let name: String
        let value: String?

        init(_ name: String, _ value: String? = nil) {
            (self.name, self.value) = (name, value)
        }
    }

    /// The method.
    let method: HTTPMethod
    /// The key in the bucket, the configured root included, not encoded; empty for the bucket itself.
    let key: String
    /// The query, not encoded, in any order.
    var query: [Parameter] = []
    /// More header fields than the signature's own; all are signed.
    var headers: HTTPHeaders = [:]
    /// The body.
    private(set) var body = Body.none
    /// Of the body.
    private(set) var digest = PayloadDigest.empty

    init(_ method: HTTPMethod, _ key: String, query: [Parameter] = [], headers: HTTPHeaders = [:]) {
        (self.method, self.key, self.query, self.headers) = (method, key, query, headers)
    }

    /// The same with a body in memory.
    func with(_ bytes: [UInt8]) -> BucketRequest {
        var copy = self
        (copy.body, copy.digest) = (.bytes(bytes), PayloadDigest(bytes))
        return copy
    }

    /// The same with a part of a file, which has this digest.
    func with(_ file: LocalFile, _ range: Range<Int64>, _ digest: PayloadDigest) -> BucketRequest {
        var copy = self
        (copy.body, copy.digest) = (.file(file, range), digest)
        return copy
    }
}

/// A request as it goes out.
struct SignedRequest: Sendable {
    /// The whole address, encoded as it was signed.
    let url: String
    /// All fields but `Host` and `Content-Length`.
    let headers: HTTPHeaders
    /// The credentials end some day.
    let isTemporary: Bool
}

/// What differs between kinds of stores in sending a request.
protocol BucketDialect: Sendable {
    /// Addresses and signs; called for each attempt, so that neither date nor credentials are ever stale.
    /// - Parameter seconds: Unix seconds by the store's clock, as far as it is known.
    func signed(_ request: BucketRequest, atSeconds seconds: Int64) async throws(StoreError) -> SignedRequest

    /// Fetches new credentials; false when there are none but those that were refused.
    func renewCredentials() async -> Bool

    /// Signs for the region that the fault names from now on; false when that can't be it.
    func changeRegion(_ fault: BucketFault) async -> Bool
}

/// The clocks a transport goes by; tests have their own.
struct BucketClock: Sendable {
    /// Unix microseconds.
    var nowUs: @Sendable () -> Int64
    /// Waits; throws when the task is cancelled.
    var sleep: @Sendable (_ ms: Int) async throws -> Void
}

extension BucketClock {
    /// The machine's.
    static let system = BucketClock(
        nowUs: { Int64(tributary_realtime_ns() / 1_000) },
        sleep: { ms in try await Task.sleep(for: .milliseconds(ms)) })
}
