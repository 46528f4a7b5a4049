import Config
import HTTP
import Log
import Store
import Synchronization

extension RemoteBucket {
    /// A bucket of OSS as it is configured. Throws `denied` for an endpoint that is none; nothing is sent.
    public convenience init(
        _ settings: StorageSettings.OSS, client: HTTPClient, environment: [String: String]
    ) throws(StoreError) {
        let provider = CredentialProvider(
            CredentialChain.sources(settings, client: client, environment: environment), nowUs: BucketClock.system.nowUs)
        try self.init(settings, client: client, provider: provider)
    }

    convenience init(
        _ settings: StorageSettings.OSS, client: HTTPClient, provider: CredentialProvider, parts: PartSizes = PartSizes(),
        limits: RetryPolicy.Limits = .init(), clock: BucketClock = .system
    ) throws(StoreError) {
        self.init(
            try OSSDialect(settings, provider: provider), root: settings.root, store: "oss://" + settings.bucket, client: client,
            parts: parts, limits: limits, clock: clock)
    }
}

/// How OSS is addressed and signed to.
///
/// Its keys in a configuration say neither which signature a store knows nor where it wants the bucket's name. What the endpoint's name
/// does not show is found out: the store's first refusals tell.
final class OSSDialect: BucketDialect {
    private static let log = Logger("buckets")

    /// How requests are made.
    private struct Way: Equatable {
        /// Nil: by version 1.
        var region: String?
        var style: OSSAddress.Style
        /// The store has answered in a way that shows that it takes them so.
        var isProven = false
    }

    let traits = BucketTraits(
        digest: .crc64, absent: ["x-oss-forbid-overwrite": "true"], hasMatch: false,
        // Without it a range that reaches past the end is answered with everything.
        rangeFields: ["x-oss-range-behavior": "standard"], isSilentOnSuccess: true)
    private let bucket: String
    private let endpoint: Endpoint
    private let provider: CredentialProvider
    private let way: Mutex<Way>
    private let lastUsed = Mutex<BucketCredentials?>(nil)
    private let keys = SigningKey.Memo()

    /// Throws `denied` for an endpoint that is none.
    init(_ settings: StorageSettings.OSS, provider: CredentialProvider) throws(StoreError) {
        guard let endpoint = Endpoint(settings.endpoint) else {
            throw .denied(reason: "endpoint must be http(s)://host[:port][/prefix]")
        }
        (bucket, self.endpoint, self.provider) = (settings.bucket, endpoint, provider)
        let configured = OSSAddress.region(configured: settings.region)
        let named = OSSAddress.region(of: endpoint)
        if let named, !configured.isEmpty, named != configured {
            Self.log.warning(
                "region is not the endpoint's, which is taken", ["bucket": bucket, "region": configured, "endpoint": named])
        }
        way = Mutex(
            Way(region: named ?? (configured.isEmpty ? nil : configured), style: OSSAddress.style(bucket: bucket, endpoint)))
    }

    var isUnsure: Bool { !way.withLock { $0.isProven } }

    func signed(_ request: BucketRequest, atSeconds seconds: Int64) async throws(StoreError) -> SignedRequest {
        let credentials = try await provider.credentials()
        lastUsed.withLock { $0 = credentials }
        let way = way.withLock { $0 }
        let address = OSSAddress(bucket: bucket, endpoint: endpoint, style: way.style)
        let resource = address.resource(request.key)
        // Nothing is what a parameter without a value means, and a signer may take it for a name alone.
        let query = request.query.filter { $0.value != "" }
        let headers =
            if let region = way.region {
                OSSV4(region: region, credentials: credentials, atSeconds: seconds, keys: keys).headers(
                    request.method, resource: resource, query: query, headers: request.headers)
            } else {
                OSSV1(credentials: credentials, atSeconds: seconds).headers(
                    request.method, resource: resource, query: query, headers: request.headers)
            }
        return SignedRequest(
            url: address.url(request.key, query: OSSV4.encoded(query)), headers: headers, isTemporary: credentials.isTemporary)
    }

    func presigned(
        _ method: HTTPMethod, _ key: String, validSeconds: Int, atSeconds seconds: Int64
    ) async throws(StoreError) -> String {
        let credentials = try await provider.credentials()
        let way = way.withLock { $0 }
        let address = OSSAddress(bucket: bucket, endpoint: endpoint, style: way.style)
        let valid = try credentials.presignSeconds(min(validSeconds, OSSV4.presignSecondsMax), atSeconds: seconds)
        let query =
            if let region = way.region {
                OSSV4(region: region, credentials: credentials, atSeconds: seconds).presignedQuery(
                    method, resource: address.resource(key), query: [], seconds: valid)
            } else {
                OSSV1(credentials: credentials, atSeconds: seconds).presignedQuery(
                    method, resource: address.resource(key), query: [], seconds: valid)
            }
        return address.url(key, query: query)
    }

    /// OSS tells a CRC of what it has, whole or in parts, encrypted or not. The tag is an MD5 only of objects in one piece.
    func judge(_ headers: HTTPHeaders, _ digest: PayloadDigest) -> StoredBytes {
        guard let ours = digest.crc64, let theirs = headers["x-oss-hash-crc64ecma"].flatMap({ UInt64($0) }) else {
            return .unknown
        }
        return ours == theirs ? .same : .other
    }

    func renewCredentials() async -> Bool {
        guard let refused = lastUsed.withLock({ $0 }) else { return false }
        return await provider.renew(refused)
    }

    // MARK: finding the way

    func heard(_ fault: BucketFault?) {
        // Who is told that there is no such object, or that it isn't theirs, was understood.
        guard fault == nil || fault?.status == 404 || fault?.code == "AccessDenied" else { return }
        way.withLock { $0.isProven = true }
    }

    func hasOtherWay(than fault: BucketFault) -> Bool {
        let way = way.withLock { $0 }
        return next(after: way, fault) != nil
    }

    func adapt(to fault: BucketFault) async -> Bool {
        let found = way.withLock { way -> Way? in
            guard let next = next(after: way, fault) else { return nil }
            way = next
            return next
        }
        guard let found else { return false }
        Self.log.info(
            "the bucket is asked in another way",
            [
                "bucket": bucket, "reason": fault.reason, "signature": found.region == nil ? "V1" : "V4",
                "style": "\(found.style)",
            ])
        return true
    }

    private func next(after way: Way, _ fault: BucketFault) -> Way? {
        guard !way.isProven else { return nil }
        var next = way
        switch (fault.code, way.style) {
        // A store that does not know version 4, or knows the bucket by another region: version 1 has none. Some say no word to HEAD.
        case ("InvalidArgument", _) where fault.status == 400 && way.region != nil,
            ("", _) where fault.status == 400 && way.region != nil:
            next.region = nil
        case ("SecondLevelDomainForbidden", .path) where OSSAddress.canBeInHost(bucket: bucket, endpoint): next.style = .host
        // A bucket's own domain takes the bucket's name for a part of the key. A wrong secret is answered in the same way, so that
        // the next attempt begins where this one did.
        case ("SignatureDoesNotMatch", .path) where !endpoint.isNumeric: next.style = .bare
        case ("SignatureDoesNotMatch", .bare) where OSSAddress.style(bucket: bucket, endpoint) == .path: next.style = .path
        default: return nil
        }
        return next
    }
}
