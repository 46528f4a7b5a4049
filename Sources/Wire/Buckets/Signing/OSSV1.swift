import HTTP

/// Signature version 1 of Alibaba Cloud OSS (HMAC-SHA-1), which needs no region: for stores that don't know version 4.
///
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header>
struct OSSV1: Sendable {
    /// Who signs.
    let credentials: BucketCredentials
    /// Unix seconds of the signature's date.
    let seconds: Int64

    init(credentials: BucketCredentials, atSeconds seconds: Int64) {
        (self.credentials, self.seconds) = (credentials, seconds)
    }

    /// Parameters that name a part of the resource or change the answer's fields; all others are not signed.
    private static let subresources: Set<String> = [
        "accessPoint", "accessPointPolicy", "acl", "append", "asyncFetch", "bucketArchiveDirectRead", "bucketInfo", "callback",
        "callback-var", "cname", "comp", "continuation-token", "cors", "delete", "encryption", "endTime", "group", "httpsConfig",
        "img", "inventory", "inventoryId", "lifecycle", "link", "live", "location", "logging", "metaQuery", "objectInfo",
        "objectMeta", "partNumber", "policy", "position", "publicAccessBlock", "qos", "qosInfo", "qosRequester",
        "redundancyTransition",
        "referer", "regionList", "replication", "replicationLocation", "replicationProgress", "requestPayment",
        "requesterQosInfo", "resourceGroup", "resourcePool", "resourcePoolBuckets", "resourcePoolInfo", "response-cache-control",
        "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type",
        "response-expires", "restore", "security-token", "sequential", "startTime", "stat", "status", "style", "styleName",
        "symlink", "tagging", "transferAcceleration", "uploadId", "uploads", "versionId", "versioning", "versions", "vod",
        "website", "worm", "wormExtend", "wormId", "x-oss-ac-forward-allow", "x-oss-ac-source-ip", "x-oss-ac-subnet-mask",
        "x-oss-ac-vpc-id", "x-oss-access-point-name", "x-oss-async-process", "x-oss-process",
        "x-oss-redundancy-transition-taskid",
        "x-oss-request-payer", "x-oss-target-redundancy-type", "x-oss-traffic-limit", "x-oss-write-get-object-response",
    ]

    /// Base64 of 20 bytes.
    /// - Parameters:
    ///   - resource: `/bucket/key`, not encoded.
    ///   - query: not encoded.
    ///   - date: as `Date` has it, or the Unix seconds at which an address ends.
    func signature(
        _ method: HTTPMethod, resource: String, query: [BucketRequest.Parameter], headers: HTTPHeaders, date: String
    ) -> String {
        let names = Set(headers.map { $0.name.lowercased() }).filter { $0.hasPrefix("x-oss-") }
        let fields = names.sorted().map { "\($0):\(headers.all($0).map { OSSFields.trimmed($0) }.joined(separator: ","))\n" }
        let signed = query.filter { Self.subresources.contains($0.name) }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            .map { parameter in parameter.value.flatMap { $0.isEmpty ? nil : "\(parameter.name)=\($0)" } ?? parameter.name }
        let text = [
            method.rawValue, headers["Content-MD5"] ?? "", headers["Content-Type"] ?? "", date,
            fields.joined() + resource + (signed.isEmpty ? "" : "?" + signed.joined(separator: "&")),
        ].joined(separator: "\n")
        return Digest.base64(Digest.hmacSHA1(Array(credentials.secret.utf8), Array(text.utf8)))
    }

    /// The fields of a signed request: those given, `Date`, the token and `Authorization`.
    func headers(
        _ method: HTTPMethod, resource: String, query: [BucketRequest.Parameter], headers: HTTPHeaders
    ) -> HTTPHeaders {
        var headers = headers
        let date = HTTPDate.format(seconds)
        headers["Date"] = date
        if let token = credentials.token { headers["x-oss-security-token"] = token }
        let signature = signature(method, resource: resource, query: query, headers: headers, date: date)
        headers["Authorization"] = "OSS \(credentials.accessKeyID):\(signature)"
        return headers
    }

    /// The encoded query of an address that needs no further signature, for a request without `Content-Type`.
    /// - Parameter valid: how many seconds it is good for.
    func presignedQuery(
        _ method: HTTPMethod, resource: String, query: [BucketRequest.Parameter], seconds valid: Int, headers: HTTPHeaders = [:]
    ) -> String {
        var query = query
        if let token = credentials.token { query.append(.init("security-token", token)) }
        let end = String(seconds &+ Int64(max(1, valid)))
        let signature = signature(method, resource: resource, query: query, headers: headers, date: end)
        query += [.init("OSSAccessKeyId", credentials.accessKeyID), .init("Expires", end), .init("Signature", signature)]
        return OSSV4.encoded(query)
    }
}
