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
    /// An answer of at most so many bytes is given when all of it has come.
    var wholeBytesMax = 0
    /// The body.
    private(set) var body = Body.none
    /// Of the body.
    private(set) var digest = PayloadDigest.empty

    init(_ method: HTTPMethod, _ key: String, query: [Parameter] = [], headers: HTTPHeaders = [:]) {
        (self.method, self.key, self.query, self.headers) = (method, key, query, headers)
    }

    /// The same with a body in memory.
    func with(_ bytes: [UInt8], _ kind: PayloadDigest.Kind) -> BucketRequest {
        var copy = self
        (copy.body, copy.digest) = (.bytes(bytes), PayloadDigest(bytes, kind))
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

/// What never changes in a kind of store.
struct BucketTraits: Sendable {
    /// What a body is checked by besides its MD5.
    let digest: PayloadDigest.Kind
    /// The fields of a PUT that must not replace anything.
    let absent: HTTPHeaders
    /// `If-Match` is judged when something is written.
    let hasMatch: Bool
    /// Fields that go along with `Range`.
    let rangeFields: HTTPHeaders
    /// Deleting many is answered with nothing when all went well.
    let isSilentOnSuccess: Bool
}

/// What an answer says of the bytes that the store has.
enum StoredBytes: Sendable {
    /// They are those of the digest.
    case same
    /// They are not.
    case other
    /// It does not tell.
    case unknown
}

/// What differs between kinds of stores: how a request is addressed and signed, and how an answer is read.
protocol BucketDialect: Sendable {
    /// What never changes.
    var traits: BucketTraits { get }

    /// How the store is addressed or signed to is a guess that no answer has confirmed yet.
    var isUnsure: Bool { get }

    /// Addresses and signs; called for each attempt, so that neither date nor credentials are ever stale.
    /// - Parameter seconds: Unix seconds by the store's clock, as far as it is known.
    func signed(_ request: BucketRequest, atSeconds seconds: Int64) async throws(StoreError) -> SignedRequest

    /// An address that needs no credentials. It ends before the credentials that sign it. `query` and `key` are not encoded.
    func presigned(
        _ method: HTTPMethod, _ key: String, validSeconds: Int, atSeconds seconds: Int64
    ) async throws(StoreError) -> String

    /// Compares what an answer to PUT or HEAD tells with what was sent.
    func judge(_ headers: HTTPHeaders, _ digest: PayloadDigest) -> StoredBytes

    /// Told each answer: nil for one of 2xx.
    func heard(_ fault: BucketFault?)

    /// The refusal may be for how the request was addressed or signed, and there is another way.
    func hasOtherWay(than fault: BucketFault) -> Bool

    /// Fetches new credentials; false when there are none but those that were refused.
    func renewCredentials() async -> Bool

    /// Addresses and signs as the fault tells from now on; false when that can't be it.
    func adapt(to fault: BucketFault) async -> Bool
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
