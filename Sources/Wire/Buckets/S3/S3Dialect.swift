import Config
import HTTP
import Log
import Store
import Synchronization

/// How S3 is addressed and signed to.
final class S3Dialect: BucketDialect {
    private static let log = Logger("buckets")
    /// Where buckets are whose region nobody tells.
    private static let defaultRegion = "us-east-1"
    /// How much earlier than the credentials a presigned address ends.
    private static let marginSeconds: Int64 = 60

    private let settings: StorageSettings.S3
    private let endpoint: Endpoint?
    private let client: HTTPClient
    private let provider: CredentialProvider
    private let region: Mutex<String?>
    private let lastUsed = Mutex<BucketCredentials?>(nil)

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
        let signer = SigV4(region: region, credentials: credentials, atSeconds: seconds)
        let headers = signer.headers(
            request.method, host: address.host, path: address.path(request.key), query: request.query, headers: request.headers,
            payloadHash: request.digest.sha256)
        return SignedRequest(
            url: address.url(request.key, query: SigV4.encoded(request.query)), headers: headers,
            isTemporary: credentials.isTemporary)
    }

    /// An address that needs no credentials. It ends before the credentials that sign it.
    func presigned(
        _ method: HTTPMethod, _ key: String, query: [BucketRequest.Parameter] = [], validSeconds: Int, atSeconds seconds: Int64
    ) async throws(StoreError) -> String {
        let credentials = try await provider.credentials()
        let region = await knownRegion()
        let address = try address(region)
        var valid = Int64(min(validSeconds, SigV4.presignSecondsMax))
        if let expiresUs = credentials.expiresUs { valid = min(valid, expiresUs / 1_000_000 - seconds - Self.marginSeconds) }
        guard valid > 0 else { throw .unavailable(reason: "the credentials end too soon to sign an address") }
        let signer = SigV4(region: region, credentials: credentials, atSeconds: seconds)
        let query = signer.presignedQuery(
            method, host: address.host, path: address.path(key), query: query, seconds: Int(valid))
        return address.url(key, query: query)
    }

    func renewCredentials() async -> Bool {
        guard let refused = lastUsed.withLock({ $0 }) else { return false }
        return await provider.renew(refused)
    }

    func changeRegion(_ fault: BucketFault) async -> Bool {
        guard let found = fault.region else { return false }
        let old = region.withLock { region in
            defer { region = found }
            return region
        }
        if old != found { Self.log.info("the bucket is in another region", ["bucket": settings.bucket, "region": found]) }
        return old != found
    }

    private func address(_ region: String) throws(StoreError) -> S3Address {
        try S3Address(
            bucket: settings.bucket, endpoint: endpoint, region: region, isVirtualHostStyle: settings.isVirtualHostStyle)
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
