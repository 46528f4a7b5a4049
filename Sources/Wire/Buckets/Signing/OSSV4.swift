import HTTP

/// Signature version 4 of Alibaba Cloud OSS: AWS's idea with other words. A pure function of request, credentials and date.
///
/// The resource is always `/bucket/key`, wherever the bucket stands in the address. Only `Content-Type`, `Content-MD5` and fields of
/// OSS's own are signed, bodies never; a name without a value stands alone in the query.
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4>
struct OSSV4: Sendable {
    /// The longest that an address may be good for.
    static let presignSecondsMax = 604_800
    private static let algorithm = "OSS4-HMAC-SHA256"
    private static let payload = "UNSIGNED-PAYLOAD"
    private static let contentFields: Set<String> = ["content-type", "content-md5"]

    /// Such as `cn-hangzhou`, without `oss-` before it.
    let region: String
    /// Who signs.
    let credentials: BucketCredentials
    /// Such as `20231203T121212Z`.
    let date: String
    private let keys: SigningKey.Memo

    /// - Parameters:
    ///   - seconds: Unix seconds of the signature's date.
    ///   - keys: saves deriving the key anew.
    init(region: String, credentials: BucketCredentials, atSeconds seconds: Int64, keys: SigningKey.Memo = .init()) {
        (self.region, self.credentials, self.keys) = (region, credentials, keys)
        date = BasicDate.format(seconds)
    }

    private var scope: String { "\(date.prefix(8))/\(region)/oss/aliyun_v4_request" }

    /// 64 hexadecimal digits.
    /// - Parameters:
    ///   - resource: `/bucket/key`, not encoded.
    ///   - query: not encoded.
    ///   - headers: more than what is signed is passed over.
    func signature(_ method: HTTPMethod, resource: String, query: [BucketRequest.Parameter], headers: HTTPHeaders) -> String {
        let names = Set(headers.map { $0.name.lowercased() }).filter { $0.hasPrefix("x-oss-") || Self.contentFields.contains($0) }
        let fields = names.sorted().map { "\($0):\(headers.all($0).map { OSSFields.trimmed($0) }.joined(separator: ","))\n" }
        // The empty line names further fields that are signed: none.
        let canonical = [
            method.rawValue, PercentCoding.encode(resource, keepSlash: true), Self.encoded(query), fields.joined(), "",
            Self.payload,
        ].joined(separator: "\n")
        let text = [Self.algorithm, date, scope, Digest.hex(Digest.sha256(Array(canonical.utf8)))].joined(separator: "\n")
        let key = keys.key(["aliyun_v4\(credentials.secret)", String(date.prefix(8)), region, "oss", "aliyun_v4_request"])
        return Digest.hex(Digest.hmacSHA256(key.bytes, Array(text.utf8)))
    }

    /// The fields of a signed request: those given, the date, the token and `Authorization`.
    func headers(
        _ method: HTTPMethod, resource: String, query: [BucketRequest.Parameter], headers: HTTPHeaders
    ) -> HTTPHeaders {
        var headers = headers
        headers["x-oss-date"] = date
        headers["x-oss-content-sha256"] = Self.payload
        if let token = credentials.token { headers["x-oss-security-token"] = token }
        let signature = signature(method, resource: resource, query: query, headers: headers)
        headers["Authorization"] =
            "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scope), Signature=\(signature)"
        return headers
    }

    /// The encoded query of an address that needs no further signature, for a request without `Content-Type`.
    /// - Parameter seconds: how long it is good for, 1 to `presignSecondsMax`.
    func presignedQuery(
        _ method: HTTPMethod, resource: String, query: [BucketRequest.Parameter], seconds: Int, headers: HTTPHeaders = [:]
    ) -> String {
        var query = query
        query += [
            .init("x-oss-signature-version", Self.algorithm), .init("x-oss-credential", "\(credentials.accessKeyID)/\(scope)"),
            .init("x-oss-date", date), .init("x-oss-expires", String(min(max(1, seconds), Self.presignSecondsMax))),
        ]
        if let token = credentials.token { query.append(.init("x-oss-security-token", token)) }
        let signature = signature(method, resource: resource, query: query, headers: headers)
        return Self.encoded(query) + "&x-oss-signature=" + signature
    }

    /// A query as it is signed and sent: encoded, then sorted by bytes; a name without a value stands alone.
    static func encoded(_ query: [BucketRequest.Parameter]) -> String {
        query.map { (PercentCoding.encode($0.name), PercentCoding.encode($0.value ?? "")) }
            .sorted { left, right in
                left.0 == right.0
                    ? left.1.utf8.lexicographicallyPrecedes(right.1.utf8) : left.0.utf8.lexicographicallyPrecedes(right.0.utf8)
            }
            .map { $0.1.isEmpty ? $0.0 : "\($0.0)=\($0.1)" }.joined(separator: "&")
    }
}

/// What both of OSS's signatures do to header fields.
enum OSSFields {
    /// Without blanks at the ends.
    static func trimmed(_ value: String) -> String {
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        let bytes = value.utf8.drop(while: isBlank)
        guard let last = bytes.lastIndex(where: { !isBlank($0) }) else { return "" }
        return String(Substring(bytes[...last]))
    }
}
