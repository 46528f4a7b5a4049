import HTTP
import Store

/// Short questions to services on or near this machine that give credentials.
struct MetadataClient: Sendable {
    private static let bytesMax = 64 << 10
    let client: HTTPClient
    var connectMs = 1_000
    var totalMs = 5_000

    /// An answer of whatever status. Throws a transient error when there is none; it names the host, never the query.
    func send(
        _ method: HTTPMethod, _ url: String, headers: HTTPHeaders = [:], body: HTTPClientRequest.Body = .none
    ) async throws(CredentialError) -> (status: HTTPStatus, body: [UInt8]) {
        var request = HTTPClientRequest(method, url, headers: headers, body: body)
        (request.connectMs, request.totalMs) = (connectMs, totalMs)
        do throws(HTTPClientError) {
            let response = try await client.send(request)
            return (response.status, try await response.collect(limit: Self.bytesMax))
        } catch {
            throw CredentialError("\(url.prefix { $0 != "?" }): \(error)", isTransient: true)
        }
    }
}

/// What the metadata services answer.
struct MetadataDocument: Sendable {
    private let fields: [String: String]

    /// Nil when it is no JSON object, or has none of the name `member` where one is asked for; other values than strings are left out.
    init?(_ bytes: [UInt8], member: String? = nil) {
        guard let fields = FlatJSON.strings(bytes, member: member) else { return nil }
        self.fields = fields
    }

    /// Throws when a part is missing. `Code` other than `Success` is a metadata service's way to say that the role gives nothing.
    /// Amazon and Alibaba have different names for the secret and the token.
    func credentials() throws(CredentialError) -> BucketCredentials {
        if let code = fields["Code"], code != "Success" { throw CredentialError("the role gives no credentials") }
        guard let id = fields.filled("AccessKeyId"),
            let secret = fields.filled("SecretAccessKey") ?? fields.filled("AccessKeySecret"),
            let expires = fields["Expiration"].flatMap({ BasicDate.parse($0) })
        else { throw CredentialError("the answer holds no credentials") }
        return BucketCredentials(
            accessKeyID: id, secret: secret, token: fields.filled("Token") ?? fields.filled("SecurityToken"), expiresUs: expires)
    }
}

/// STS as far as it gives credentials for a token (AssumeRoleWithWebIdentity).
struct SecurityTokenService: Sendable {
    private static let tokenBytesMax = 64 << 10
    let metadata: MetadataClient
    let environment: [String: String]
    /// For the regional endpoint; nil for the global one.
    let region: String?

    /// Credentials of a role for the token in a file, which is read each time, since it is replaced every few hours.
    func assumeRole(_ role: String, tokenFile: String, session: String?) async throws(CredentialError) -> BucketCredentials {
        guard let text = SmallFile.text(tokenFile, bytesMax: Self.tokenBytesMax) else {
            throw CredentialError("the token file can't be read: \(tokenFile)")
        }
        let token = String(text.split(whereSeparator: \.isWhitespace).first ?? "")
        let form: [BucketRequest.Parameter] = [
            .init("Action", "AssumeRoleWithWebIdentity"), .init("Version", "2011-06-15"), .init("RoleArn", role),
            .init("RoleSessionName", session ?? "tributary"), .init("WebIdentityToken", token),
        ]
        let answer = try await metadata.send(
            .post, endpoint + "/", headers: ["Content-Type": "application/x-www-form-urlencoded"],
            body: .bytes(Array(SigV4.encoded(form).utf8)))
        let root = try? XMLReader.parse(answer.body)
        guard answer.status == .ok else {
            let isBusy = answer.status.rawValue >= 500 || answer.status == .tooManyRequests
            throw CredentialError("STS answered \(answer.status)", isTransient: isBusy)
        }
        guard let found = root?["AssumeRoleWithWebIdentityResult"]?["Credentials"], let id = found.text("AccessKeyId"),
            let secret = found.text("SecretAccessKey"), let expires = found.text("Expiration").flatMap({ BasicDate.parse($0) })
        else { throw CredentialError("STS's answer holds no credentials") }
        return BucketCredentials(accessKeyID: id, secret: secret, token: found.text("SessionToken"), expiresUs: expires)
    }

    private var endpoint: String {
        let given = environment.filled("AWS_ENDPOINT_URL_STS")
        let domain = region?.hasPrefix("cn-") == true ? "amazonaws.com.cn" : "amazonaws.com"
        let url = given ?? region.map { "https://sts.\($0).\(domain)" } ?? "https://sts.amazonaws.com"
        return url.hasSuffix("/") ? String(url.dropLast()) : url
    }
}
