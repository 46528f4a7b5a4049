import Config
import HTTP

/// Where a store's credentials and region come from.
enum CredentialChain {
    /// The places of an S3 store in their order: the configuration alone where it has keys or `disable_config_load` forbids the rest; else the
    /// environment, the shared files, a web identity, the container's role, the instance's role.
    static func sources(
        _ settings: StorageSettings.S3, client: HTTPClient, environment: [String: String],
        containerAgent: String = ContainerCredentials.agent
    ) -> [any CredentialSource] {
        if !settings.accessKeyID.isEmpty {
            return [
                FixedCredentials(
                    credentials: BucketCredentials(
                        accessKeyID: settings.accessKeyID, secret: settings.secretAccessKey, token: settings.sessionToken))
            ]
        }
        guard !settings.isConfigLoadDisabled else { return [] }
        let metadata = MetadataClient(client: client)
        let sts = SecurityTokenService(
            metadata: MetadataClient(client: client, connectMs: 5_000, totalMs: 15_000), environment: environment,
            region: region(settings, environment))
        return [
            EnvironmentCredentials(environment: environment), SharedFileCredentials(environment: environment, sts: sts),
            WebIdentityCredentials(environment: environment, sts: sts),
            ContainerCredentials(environment: environment, metadata: metadata, relativeTo: containerAgent),
            InstanceCredentials(environment: environment, metadata: metadata),
        ]
    }

    /// The region as far as it is said somewhere: configuration, environment, the profile. Nil: the bucket must be asked.
    static func region(_ settings: StorageSettings.S3, _ environment: [String: String]) -> String? {
        if !settings.region.isEmpty { return settings.region }
        guard !settings.isConfigLoadDisabled else { return nil }
        return environment.filled("AWS_REGION") ?? environment.filled("AWS_DEFAULT_REGION")
            ?? SharedProfile(environment).filled("region")
    }
}
