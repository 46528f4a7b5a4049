import Glibc

/// Keys in environment variables.
struct EnvironmentCredentials: CredentialSource {
    /// The variables of one set of keys.
    struct Names: Sendable {
        let id: String
        let secret: String
        let token: String
    }

    static let amazons = [Names(id: "AWS_ACCESS_KEY_ID", secret: "AWS_SECRET_ACCESS_KEY", token: "AWS_SESSION_TOKEN")]
    /// OSS's own tools' first, then those of all of Alibaba Cloud's.
    static let alibabas = [
        Names(id: "OSS_ACCESS_KEY_ID", secret: "OSS_ACCESS_KEY_SECRET", token: "OSS_SESSION_TOKEN"),
        Names(
            id: "ALIBABA_CLOUD_ACCESS_KEY_ID", secret: "ALIBABA_CLOUD_ACCESS_KEY_SECRET", token: "ALIBABA_CLOUD_SECURITY_TOKEN"),
    ]

    let environment: [String: String]
    var names = amazons
    var name: String { "the environment" }

    func fetch() async throws(CredentialError) -> BucketCredentials? {
        guard let names = names.first(where: { environment.filled($0.id) != nil }), let id = environment.filled(names.id) else {
            return nil
        }
        guard let secret = environment.filled(names.secret) else {
            throw CredentialError("\(names.id) is set without \(names.secret)")
        }
        return BucketCredentials(accessKeyID: id, secret: secret, token: environment.filled(names.token))
    }
}

/// The profile of `~/.aws/credentials` and `~/.aws/config`, or of the files that the environment names, as it is now.
struct SharedProfile {
    private static let bytesMax = 1 << 20

    /// `AWS_PROFILE`, or `default`.
    let name: String
    /// Its keys in the credentials file, then in the configuration file; a file without it is left out.
    let files: [[String: String]]

    init(_ environment: [String: String]) {
        let name = environment.filled("AWS_PROFILE") ?? "default"
        func file(_ variable: String, _ inHome: String) -> SharedFile? {
            let path = environment.filled(variable) ?? environment.filled("HOME").map { "\($0)/.aws/\(inHome)" }
            return path.flatMap { SmallFile.text($0, bytesMax: Self.bytesMax) }.map { SharedFile($0) }
        }
        self.name = name
        files = [
            file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?.profile(name, isConfig: false),
            file("AWS_CONFIG_FILE", "config")?.profile(name, isConfig: true),
        ].compactMap { $0 }
    }

    /// A key's value, the credentials file first.
    func filled(_ key: String) -> String? {
        files.lazy.compactMap { $0.filled(key) }.first
    }
}

/// Keys or a web identity in the shared files, which are read anew each time, so that a rotated key is found.
///
/// Deviation: of a profile's other ways to credentials, `source_profile`, `credential_process` and SSO are not followed but named
/// in the error.
struct SharedFileCredentials: CredentialSource {
    let environment: [String: String]
    let sts: SecurityTokenService
    var name: String { "the shared credentials file" }

    func fetch() async throws(CredentialError) -> BucketCredentials? {
        let profile = SharedProfile(environment)
        guard !profile.files.isEmpty else {
            guard let named = environment.filled("AWS_PROFILE") else { return nil }
            throw CredentialError("there is no profile \(named)")
        }
        for keys in profile.files {
            guard let id = keys.filled("aws_access_key_id") else { continue }
            guard let secret = keys.filled("aws_secret_access_key") else {
                throw CredentialError("profile \(profile.name) has aws_access_key_id without aws_secret_access_key")
            }
            return BucketCredentials(accessKeyID: id, secret: secret, token: keys.filled("aws_session_token"))
        }
        if let file = profile.filled("web_identity_token_file"), let role = profile.filled("role_arn") {
            return try await sts.assumeRole(role, tokenFile: file, session: profile.filled("role_session_name"))
        }
        for unknown in ["credential_process", "source_profile", "sso_session", "sso_start_url"]
        where profile.filled(unknown) != nil {
            throw CredentialError("profile \(profile.name) uses \(unknown), which is not supported")
        }
        return nil
    }
}

/// A token in a file for a role: EKS's "IAM roles for service accounts" (`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`).
struct WebIdentityCredentials: CredentialSource {
    let environment: [String: String]
    let sts: SecurityTokenService
    var name: String { "the web identity token" }

    func fetch() async throws(CredentialError) -> BucketCredentials? {
        guard let file = environment.filled("AWS_WEB_IDENTITY_TOKEN_FILE") else { return nil }
        guard let role = environment.filled("AWS_ROLE_ARN") else {
            throw CredentialError("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN")
        }
        return try await sts.assumeRole(role, tokenFile: file, session: environment.filled("AWS_ROLE_SESSION_NAME"))
    }
}

extension [String: String] {
    /// The value where there is one; an empty one is none.
    func filled(_ key: String) -> String? {
        self[key].flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// Files of other programs that hold a token or a few lines.
enum SmallFile {
    /// The text; nil when it can't be read, is longer than `bytesMax`, or is not UTF-8.
    static func text(_ path: String, bytesMax: Int) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while bytes.count <= bytesMax {
            var piece = [UInt8](repeating: 0, count: 4_096)
            let got = read(descriptor, &piece, piece.count)
            if got == 0 { return String(validating: bytes, as: UTF8.self) }
            guard got > 0 || errno == EINTR else { return nil }
            bytes += piece.prefix(max(0, got))
        }
        return nil
    }
}
