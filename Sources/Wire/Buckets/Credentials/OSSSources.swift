import Config
import FoundationEssentials
import HTTP

extension CredentialChain {
    /// The places of an OSS store in their order: the configuration alone where it has keys; else the environment, a token of an
    /// identity provider, the instance's role.
    static func sources(
        _ settings: StorageSettings.OSS, client: HTTPClient, environment: [String: String],
        nowUs: @escaping @Sendable () -> Int64 = BucketClock.system.nowUs
    ) -> [any CredentialSource] {
        if !settings.accessKeyID.isEmpty {
            return [
                FixedCredentials(
                    credentials: BucketCredentials(
                        accessKeyID: settings.accessKeyID, secret: settings.accessKeySecret, token: settings.securityToken))
            ]
        }
        let services = MetadataClient(client: client, connectMs: 5_000, totalMs: 15_000)
        return [
            EnvironmentCredentials(environment: environment, names: EnvironmentCredentials.alibabas),
            OIDCCredentials(environment: environment, metadata: services, nowUs: nowUs),
            InstanceCredentials(environment: environment, metadata: MetadataClient(client: client), service: .alibaba),
        ]
    }
}

/// A token in a file for a role: ACK's "RAM roles for service accounts" (`ALIBABA_CLOUD_OIDC_TOKEN_FILE`, `…_ROLE_ARN`,
/// `…_OIDC_PROVIDER_ARN`), changed for credentials at STS (AssumeRoleWithOIDC).
struct OIDCCredentials: CredentialSource {
    private static let tokenBytesMax = 64 << 10

    let environment: [String: String]
    let metadata: MetadataClient
    let nowUs: @Sendable () -> Int64
    var name: String { "the OIDC token" }

    func fetch() async throws(CredentialError) -> BucketCredentials? {
        guard let file = environment.filled("ALIBABA_CLOUD_OIDC_TOKEN_FILE") else { return nil }
        guard let role = environment.filled("ALIBABA_CLOUD_ROLE_ARN"),
            let provider = environment.filled("ALIBABA_CLOUD_OIDC_PROVIDER_ARN")
        else {
            throw CredentialError(
                "ALIBABA_CLOUD_OIDC_TOKEN_FILE is set without ALIBABA_CLOUD_ROLE_ARN and ALIBABA_CLOUD_OIDC_PROVIDER_ARN")
        }
        // Read each time, since it is replaced every few hours.
        guard let text = SmallFile.text(file, bytesMax: Self.tokenBytesMax) else {
            throw CredentialError("the token file can't be read: \(file)")
        }
        let session = environment.filled("ALIBABA_CLOUD_ROLE_SESSION_NAME") ?? "tributary"
        let form: [BucketRequest.Parameter] = [
            .init("RoleArn", role), .init("OIDCProviderArn", provider), .init("RoleSessionName", session),
            .init("OIDCToken", String(text.split(whereSeparator: \.isWhitespace).first ?? "")),
        ]
        let answer = try await metadata.send(
            .post, "\(endpoint)/?\(SigV4.encoded(action))", headers: ["Content-Type": "application/x-www-form-urlencoded"],
            body: .bytes(Array(SigV4.encoded(form).utf8)))
        guard answer.status == .ok else {
            let isBusy = answer.status.rawValue >= 500 || answer.status == .tooManyRequests
            throw CredentialError("STS answered \(answer.status)", isTransient: isBusy)
        }
        guard let document = MetadataDocument(answer.body, member: "Credentials") else {
            throw CredentialError("STS's answer holds no credentials")
        }
        return try document.credentials()
    }

    private var action: [BucketRequest.Parameter] {
        [
            .init("Action", "AssumeRoleWithOIDC"), .init("Version", "2015-04-01"), .init("Format", "JSON"),
            .init("Timestamp", BasicDate.extended(nowUs() / 1_000_000)), .init("SignatureNonce", UUID().uuidString),
        ]
    }

    private var endpoint: String {
        if let given = environment.filled("ALIBABA_CLOUD_STS_ENDPOINT") {
            let url = given.contains("://") ? given : "https://" + given
            return url.hasSuffix("/") ? String(url.dropLast()) : url
        }
        let service = environment["ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"]?.lowercased() == "true" ? "sts-vpc" : "sts"
        return environment.filled("ALIBABA_CLOUD_STS_REGION").map { "https://\(service).\($0).aliyuncs.com" }
            ?? "https://sts.aliyuncs.com"
    }
}
