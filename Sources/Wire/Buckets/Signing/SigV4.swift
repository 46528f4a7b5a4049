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
    private let keys: SigningKey.Memo

    /// - Parameters:
    ///   - seconds: Unix seconds of the signature's date.
    ///   - keys: saves deriving the key anew.
    init(
        region: String, service: String = "s3", credentials: BucketCredentials, atSeconds seconds: Int64,
        keys: SigningKey.Memo = .init()
    ) {
        (self.region, self.service, self.credentials, self.keys) = (region, service, credentials, keys)
        date = BasicDate.format(seconds)
    }

    /// What is signed of a request.
    struct Canonical {
        let method: HTTPMethod
        /// The path, encoded as it is sent.
        let path: String
        /// The query, not encoded.
        let query: [BucketRequest.Parameter]
        /// In hexadecimal, or `UNSIGNED-PAYLOAD`.
        let payloadHash: String
        /// Every field to sign, by lower-case names in order; values of one name in the order they came.
        private let fields: [(name: String, value: String)]
        /// Lower-case names in order, joined by `;`.
        let signedNames: String

        /// - Parameter headers: every field to sign, `Host` among them.
        init(
            method: HTTPMethod, path: String, query: [BucketRequest.Parameter], headers: HTTPHeaders, payloadHash: String
        ) {
            (self.method, self.path, self.query, self.payloadHash) = (method, path, query, payloadHash)
            var fields: [(name: String, value: String)] = []
            fields.reserveCapacity(headers.count)
            for field in headers {
                let name = field.name.lowercased()
                // There are few, and none moves past others of its name.
                let place = fields.lastIndex { $0.name <= name }.map { $0 + 1 } ?? 0
                fields.insert((name, Self.collapsed(field.value)), at: place)
            }
            var names = ""
            for (index, field) in fields.enumerated() where index == 0 || fields[index - 1].name != field.name {
                if index > 0 { names += ";" }
                names += field.name
            }
            (self.fields, signedNames) = (fields, names)
        }

        /// The text that is hashed.
        var text: String { String(decoding: bytes, as: UTF8.self) }

        /// The same in UTF-8. Written byte by byte, since every request that is passed on is signed.
        var bytes: [UInt8] {
            var out: [UInt8] = []
            out.reserveCapacity(512)
            out.append(line: method.rawValue)
            out.append(line: path)
            out.append(line: SigV4.encoded(query))
            for (index, field) in fields.enumerated() {
                if index > 0, fields[index - 1].name == field.name {
                    out[out.count - 1] = 0x2C
                } else {
                    out += field.name.utf8
                    out.append(0x3A)
                }
                out.append(line: field.value)
            }
            out.append(line: "")
            out.append(line: signedNames)
            out += payloadHash.utf8
            return out
        }

        /// Without blanks at the ends and with one for each run inside.
        private static func collapsed(_ value: String) -> String {
            // Most values have none.
            guard value.utf8.contains(where: { $0 == 0x20 || $0 == 0x09 }) else { return value }
            return value.utf8.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).map { String(Substring($0)) }
                .joined(separator: " ")
        }
    }

    private var scope: String { "\(date.prefix(8))/\(region)/\(service)/aws4_request" }

    /// The text whose code is the signature.
    func stringToSign(_ canonical: Canonical) -> String { String(decoding: bytesToSign(canonical), as: UTF8.self) }

    private func bytesToSign(_ canonical: Canonical) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(192)
        for line in [Self.algorithm, date, scope] { out.append(line: line) }
        out += Digest.hex(Digest.sha256(canonical.bytes)).utf8
        return out
    }

    /// 64 hexadecimal digits.
    func signature(_ canonical: Canonical) -> String {
        let key = keys.key(["AWS4\(credentials.secret)", String(date.prefix(8)), region, service, "aws4_request"])
        return Digest.hex(Digest.hmacSHA256(key.bytes, bytesToSign(canonical)))
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
        if query.isEmpty { return "" }
        return query.map { (PercentCoding.encode($0.name), PercentCoding.encode($0.value ?? "")) }
            .sorted { left, right in
                left.0 == right.0
                    ? left.1.utf8.lexicographicallyPrecedes(right.1.utf8) : left.0.utf8.lexicographicallyPrecedes(right.0.utf8)
            }
            .map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }
}

extension [UInt8] {
    /// A text and the end of its line.
    fileprivate mutating func append(line: String) {
        self += line.utf8
        append(0x0A)
    }
}
