import HTTP

/// ECS tasks and EKS pod identities: an address in the environment that gives credentials.
struct ContainerCredentials: CredentialSource {
    private static let tokenBytesMax = 64 << 10
    /// Where a relative address is; the container agent's.
    static let agent = "http://169.254.170.2"
    /// Hosts that may be asked without TLS besides the loopback ones: the agents of ECS and EKS.
    private static let agents: Set<String> = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]

    let environment: [String: String]
    let metadata: MetadataClient
    var relativeTo = agent
    var name: String { "the container's role" }

    func fetch() async throws(CredentialError) -> BucketCredentials? {
        guard let url = try address() else { return nil }
        var headers: HTTPHeaders = [:]
        if let file = environment.filled("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            guard let text = SmallFile.text(file, bytesMax: Self.tokenBytesMax) else {
                throw CredentialError("the token file can't be read: \(file)")
            }
            headers["Authorization"] = text.split(whereSeparator: \.isNewline).first.map(String.init)
        } else if let token = environment.filled("AWS_CONTAINER_AUTHORIZATION_TOKEN") {
            headers["Authorization"] = token
        }
        let answer = try await metadata.send(.get, url, headers: headers)
        guard answer.status == .ok else {
            throw CredentialError(
                "the agent answered \(answer.status)",
                isTransient: answer.status.rawValue >= 500 || answer.status == .tooManyRequests)
        }
        guard let document = MetadataDocument(answer.body) else { throw CredentialError("the agent's answer is no JSON object") }
        return try document.credentials()
    }

    private func address() throws(CredentialError) -> String? {
        if let path = environment.filled("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            guard path.hasPrefix("/") else { throw CredentialError("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is no path") }
            return relativeTo + path
        }
        guard let url = environment.filled("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return nil }
        guard let endpoint = Endpoint(url) else { throw CredentialError("AWS_CONTAINER_CREDENTIALS_FULL_URI is no address") }
        guard endpoint.isTLS || Self.agents.contains(endpoint.host) || endpoint.isLoopback else {
            throw CredentialError("AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, loopback or the agent's address")
        }
        return url
    }
}

/// A cloud's metadata service, which all of its machines have at one address: Alibaba's is Amazon's with other words.
struct MetadataService: Sendable {
    let endpoint: String
    /// Where it is by IPv6 instead, and the variable that says `ipv6` then.
    var endpointV6: (url: String, variable: String)?
    /// Names of environment variables: another endpoint; `true` for not to be asked; `true` for never without a token; the role.
    let endpointVariable, disabledVariable, tokenlessDisabledVariable: String
    var roleVariable: String?
    /// Beneath it the role's name, beneath that its credentials.
    let path: String
    /// Fields of the token and of how long it is wanted for.
    let tokenField, tokenSecondsField: String

    /// EC2's.
    static let amazon = MetadataService(
        endpoint: "http://169.254.169.254", endpointV6: ("http://[fd00:ec2::254]", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
        endpointVariable: "AWS_EC2_METADATA_SERVICE_ENDPOINT", disabledVariable: "AWS_EC2_METADATA_DISABLED",
        tokenlessDisabledVariable: "AWS_EC2_METADATA_V1_DISABLED", path: "/latest/meta-data/iam/security-credentials/",
        tokenField: "x-aws-ec2-metadata-token", tokenSecondsField: "x-aws-ec2-metadata-token-ttl-seconds")
    /// ECS's.
    static let alibaba = MetadataService(
        endpoint: "http://100.100.100.200", endpointVariable: "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT",
        disabledVariable: "ALIBABA_CLOUD_ECS_METADATA_DISABLED", tokenlessDisabledVariable: "ALIBABA_CLOUD_IMDSV1_DISABLED",
        roleVariable: "ALIBABA_CLOUD_ECS_METADATA", path: "/latest/meta-data/ram/security-credentials/",
        tokenField: "X-aliyun-ecs-metadata-token", tokenSecondsField: "X-aliyun-ecs-metadata-token-ttl-seconds")

    /// Without a slash at its end.
    func endpoint(_ environment: [String: String]) -> String {
        let isV6 = endpointV6.map { environment[$0.variable]?.lowercased() == "ipv6" } ?? false
        let url = environment.filled(endpointVariable) ?? (isV6 ? endpointV6?.url : nil) ?? endpoint
        return url.hasSuffix("/") ? String(url.dropLast()) : url
    }
}

/// The role of a machine in a cloud, by its metadata service: a token first, then the role's name, then its credentials.
struct InstanceCredentials: CredentialSource {
    let environment: [String: String]
    let metadata: MetadataClient
    var service = MetadataService.amazon
    var name: String { "the instance's role" }

    func fetch() async throws(CredentialError) -> BucketCredentials? {
        guard environment[service.disabledVariable]?.lowercased() != "true" else { return nil }
        guard let headers = try await tokenHeaders(), let role = try await role(headers) else { return nil }
        guard let bytes = try await get(service.path + PercentCoding.encode(role), headers) else {
            throw CredentialError("the role has no credentials")
        }
        guard let document = MetadataDocument(bytes) else { throw CredentialError("the answer is no JSON object") }
        return try document.credentials()
    }

    private func role(_ headers: HTTPHeaders) async throws(CredentialError) -> String? {
        if let named = service.roleVariable.flatMap({ environment.filled($0) }) { return named }
        let roles = try await get(service.path, headers).flatMap { String(validating: $0, as: UTF8.self) }
        return roles?.split(whereSeparator: \.isNewline).first.map(String.init)
    }

    private var endpoint: String { service.endpoint(environment) }

    /// Nil when this machine has no such service. A service without tokens (version 1) says so with 403, 404 or 405; silence is
    /// no such answer: behind a hop limit the token never arrives, and asking without it would be the attack that tokens prevent.
    private func tokenHeaders() async throws(CredentialError) -> HTTPHeaders? {
        let answer: (status: HTTPStatus, body: [UInt8])
        do throws(CredentialError) {
            answer = try await metadata.send(
                .put, endpoint + "/latest/api/token", headers: [service.tokenSecondsField: "21600"])
        } catch {
            // Not being in the cloud looks the same.
            return nil
        }
        switch answer.status.rawValue {
        case 200:
            guard let token = String(validating: answer.body, as: UTF8.self), !token.isEmpty else {
                throw CredentialError("the token is empty")
            }
            return [service.tokenField: token]
        case 403, 404, 405:
            guard environment[service.tokenlessDisabledVariable]?.lowercased() != "true" else { return nil }
            return [:]
        case let status: throw CredentialError("the metadata service answered \(status)", isTransient: status >= 500)
        }
    }

    /// Nil for 404.
    private func get(_ path: String, _ headers: HTTPHeaders) async throws(CredentialError) -> [UInt8]? {
        let answer = try await metadata.send(.get, endpoint + path, headers: headers)
        if answer.status == .notFound { return nil }
        guard answer.status == .ok else {
            throw CredentialError("the metadata service answered \(answer.status)", isTransient: answer.status.rawValue >= 500)
        }
        return answer.body
    }
}
