import HTTP

/// AWS Signature Version 4 as S3 wants it: a pure function of request, credentials and date.
///
/// Paths are encoded once and never normalised; what is signed is exactly what is sent.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
struct SigV4: Sendable {
    /// The longest that an address may be good for.
    static let presignSecondsMax = 604_800
    /// The hash of a body that is not signed.
    static let unsignedPayload = "UNSIGNED-PAYLOAD"
    private static let algorithm = "AWS4-HMAC-SHA256"

    /// Such as `us-east-1`.
    let region: String
    /// Such as `s3`.
    let service: String
    /// Who signs.
    let credentials: BucketCredentials
    /// Such as `20130524T000000Z`.
    let date: String

    /// - Parameter seconds: Unix seconds of the signature's date.
    init(region: String, service: String = "s3", credentials: BucketCredentials, atSeconds seconds: Int64) {
        (self.region, self.service, self.credentials) = (region, service, credentials)
        date = BasicDate.format(seconds)
    }

    /// What is signed of a request.
    struct Canonical {
        let method: HTTPMethod
        /// The path, encoded as it is sent.
        let path: String
        /// The query, not encoded.
        let query: [BucketRequest.Parameter]
        /// Every field to sign, `Host` among them.
        let headers: HTTPHeaders
        /// In hexadecimal, or `UNSIGNED-PAYLOAD`.
        let payloadHash: String

        /// Lower-case names in order, joined by `;`.
        var signedNames: String { names.joined(separator: ";") }

        private var names: [String] { Set(headers.map { $0.name.lowercased() }).sorted() }

        /// The text that is hashed.
        var text: String {
            let fields = names.map { name in "\(name):\(headers.all(name).map(Self.collapsed).joined(separator: ","))\n" }
            return [method.rawValue, path, SigV4.encoded(query), fields.joined(), signedNames, payloadHash].joined(
                separator: "\n")
        }

        /// Without blanks at the ends and with one for each run inside.
        private static func collapsed(_ value: String) -> String {
            value.utf8.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).map { String(Substring($0)) }.joined(separator: " ")
        }
    }

    private var scope: String { "\(date.prefix(8))/\(region)/\(service)/aws4_request" }

    /// The text whose code is the signature.
    func stringToSign(_ canonical: Canonical) -> String {
        [Self.algorithm, date, scope, Digest.hex(Digest.sha256(Array(canonical.text.utf8)))].joined(separator: "\n")
    }

    /// 64 hexadecimal digits.
    func signature(_ canonical: Canonical) -> String {
        let key = [String(date.prefix(8)), region, service, "aws4_request"].reduce(Array("AWS4\(credentials.secret)".utf8)) {
            Digest.hmacSHA256($0, Array($1.utf8))
        }
        return Digest.hex(Digest.hmacSHA256(key, Array(stringToSign(canonical).utf8)))
    }

    /// The fields of a signed request: those given, `x-amz-date`, `x-amz-content-sha256`, the token and `Authorization`.
    /// - Parameter host: as it will stand in `Host`, with a port that is not the scheme's.
    func headers(
        _ method: HTTPMethod, host: String, path: String, query: [BucketRequest.Parameter], headers: HTTPHeaders,
        payloadHash: String
    ) -> HTTPHeaders {
        var headers = headers
        headers["x-amz-date"] = date
        if service == "s3" { headers["x-amz-content-sha256"] = payloadHash }
        if let token = credentials.token { headers["x-amz-security-token"] = token }
        var signed = headers
        signed["Host"] = host
        let canonical = Canonical(method: method, path: path, query: query, headers: signed, payloadHash: payloadHash)
        headers["Authorization"] =
            "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scope), SignedHeaders=\(canonical.signedNames), "
            + "Signature=\(signature(canonical))"
        return headers
    }

    /// The encoded query of an address that needs no further signature.
    /// - Parameter seconds: how long it is good for, 1 to `presignSecondsMax`.
    func presignedQuery(
        _ method: HTTPMethod, host: String, path: String, query: [BucketRequest.Parameter], seconds: Int
    ) -> String {
        var query = query
        query += [
            .init("X-Amz-Algorithm", Self.algorithm), .init("X-Amz-Credential", "\(credentials.accessKeyID)/\(scope)"),
            .init("X-Amz-Date", date), .init("X-Amz-Expires", String(min(max(1, seconds), Self.presignSecondsMax))),
            .init("X-Amz-SignedHeaders", "host"),
        ]
        if let token = credentials.token { query.append(.init("X-Amz-Security-Token", token)) }
        let canonical = Canonical(
            method: method, path: path, query: query, headers: ["Host": host], payloadHash: Self.unsignedPayload)
        return Self.encoded(query) + "&X-Amz-Signature=" + signature(canonical)
    }

    /// A query as it is signed and sent: encoded, then sorted by bytes; a name alone gets its `=`.
    static func encoded(_ query: [BucketRequest.Parameter]) -> String {
        query.map { (PercentCoding.encode($0.name), PercentCoding.encode($0.value ?? "")) }
            .sorted { left, right in
                left.0 == right.0
                    ? left.1.utf8.lexicographicallyPrecedes(right.1.utf8) : left.0.utf8.lexicographicallyPrecedes(right.0.utf8)
            }
            .map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }
}
