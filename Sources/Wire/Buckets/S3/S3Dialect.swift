import Config
import HTTP
import Log
import Store
import Synchronization

extension RemoteBucket {
    /// A bucket of S3 as it is configured. Throws `denied` for an endpoint that is none; nothing is sent.
    public convenience init(
        _ settings: StorageSettings.S3, client: HTTPClient, environment: [String: String]
    ) throws(StoreError) {
        let provider = CredentialProvider(
            CredentialChain.sources(settings, client: client, environment: environment), nowUs: BucketClock.system.nowUs)
        try self.init(settings, client: client, environment: environment, provider: provider)
    }

    convenience init(
        _ settings: StorageSettings.S3, client: HTTPClient, environment: [String: String], provider: CredentialProvider,
        parts: PartSizes = PartSizes(), limits: RetryPolicy.Limits = .init(), clock: BucketClock = .system
    ) throws(StoreError) {
        self.init(
            try S3Dialect(settings, client: client, environment: environment, provider: provider), root: settings.root,
            store: "s3://" + settings.bucket, client: client, parts: parts, limits: limits, clock: clock)
    }
}

/// How S3 is addressed and signed to.
final class S3Dialect: BucketDialect {
    private static let log = Logger("buckets")
    /// Where buckets are whose region nobody tells.
    private static let defaultRegion = "us-east-1"

    let traits = BucketTraits(
        digest: .sha256, absent: ["If-None-Match": "*"], hasMatch: true, rangeFields: [:], isSilentOnSuccess: false)
    /// An address for another region is refused or led on, both of which name the right one.
    let isUnsure = false
    private let settings: StorageSettings.S3
    private let endpoint: Endpoint?
    private let client: HTTPClient
    private let provider: CredentialProvider
    private let region: Mutex<String?>
    private let lastUsed = Mutex<BucketCredentials?>(nil)
    private let keys = SigningKey.Memo()
    /// Where the bucket is in the region that was asked for last.
    private let lastAddress = Mutex<(region: String, address: S3Address)?>(nil)

    /// Throws `denied` for an endpoint that is none.
    init(
        _ settings: StorageSettings.S3, client: HTTPClient, environment: [String: String], provider: CredentialProvider
    ) throws(StoreError) {
        (self.settings, self.client, self.provider) = (settings, client, provider)
        endpoint = settings.endpoint.isEmpty ? nil : Endpoint(settings.endpoint)
        guard settings.endpoint.isEmpty || endpoint != nil else {
            throw .denied(reason: "endpoint must be http(s)://host[:port][/prefix]")
        }
        region = Mutex(CredentialChain.region(settings, environment) ?? endpoint.flatMap { S3Address.region(of: $0) })
    }

    func signed(_ request: BucketRequest, atSeconds seconds: Int64) async throws(StoreError) -> SignedRequest {
        let credentials = try await provider.credentials()
        lastUsed.withLock { $0 = credentials }
        let region = await knownRegion()
        let address = try address(region)
        let signer = SigV4(region: region, credentials: credentials, atSeconds: seconds, keys: keys)
        let headers = signer.headers(
            request.method, host: address.host, path: address.path(request.key), query: request.query, headers: request.headers,
            payloadHash: request.digest.sha256)
        return SignedRequest(
            url: address.url(request.key, query: SigV4.encoded(request.query)), headers: headers,
            isTemporary: credentials.isTemporary)
    }

    func presigned(
        _ method: HTTPMethod, _ key: String, validSeconds: Int, atSeconds seconds: Int64
    ) async throws(StoreError) -> String {
        let credentials = try await provider.credentials()
        let region = await knownRegion()
        let address = try address(region)
        let valid = try credentials.presignSeconds(min(validSeconds, SigV4.presignSecondsMax), atSeconds: seconds)
        let signer = SigV4(region: region, credentials: credentials, atSeconds: seconds)
        let query = signer.presignedQuery(method, host: address.host, path: address.path(key), query: [], seconds: valid)
        return address.url(key, query: query)
    }

    /// The tag of an object in one piece is its MD5, unless the store encrypts it with keys of its own or its owner's; of one in parts
    /// it is so at most stores, but not all.
    func judge(_ headers: HTTPHeaders, _ digest: PayloadDigest) -> StoredBytes {
        let tag = ObjectInfo.tag(headers["ETag"]).lowercased()
        if tag == digest.etag { return .same }
        let digits = tag.utf8.dropFirst().dropLast()
        let isDigest =
            tag.utf8.count == 34 && digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
            && headers["x-amz-server-side-encryption"]?.hasPrefix("aws:kms") != true
            && headers["x-amz-server-side-encryption-customer-algorithm"] == nil
        return digest.parts == 0 && isDigest ? .other : .unknown
    }

    func heard(_ fault: BucketFault?) {}

    /// What S3 answers to a wrong region is told by the fault itself.
    func hasOtherWay(than fault: BucketFault) -> Bool { false }

    func renewCredentials() async -> Bool {
        guard let refused = lastUsed.withLock({ $0 }) else { return false }
        return await provider.renew(refused)
    }

    /// Signs for the region that the fault names.
    func adapt(to fault: BucketFault) async -> Bool {
        guard let found = fault.region else { return false }
        let old = region.withLock { region in
            defer { region = found }
            return region
        }
        if old != found { Self.log.info("the bucket is in another region", ["bucket": settings.bucket, "region": found]) }
        return old != found
    }

    private func address(_ region: String) throws(StoreError) -> S3Address {
        if let last = lastAddress.withLock({ $0 }), last.region == region { return last.address }
        let address = try S3Address(
            bucket: settings.bucket, endpoint: endpoint, region: region, isVirtualHostStyle: settings.isVirtualHostStyle)
        lastAddress.withLock { $0 = (region, address) }
        return address
    }

    /// Said somewhere, or asked of the bucket once: without a signature it is refused, and the refusal names the region.
    private func knownRegion() async -> String {
        if let known = region.withLock({ $0 }) { return known }
        guard let address = try? address(Self.defaultRegion) else { return Self.defaultRegion }
        var request = HTTPClientRequest(.head, address.url("", query: ""))
        request.totalMs = 5_000
        // Not kept when there is no answer at all: the next request asks again.
        guard let answer = try? await client.send(request) else { return Self.defaultRegion }
        let fault = BucketFault(status: answer.status, headers: answer.headers, body: [])
        let found = fault.region ?? Self.defaultRegion
        return region.withLock { region in
            region = region ?? found
            return region ?? found
        }
    }
}
