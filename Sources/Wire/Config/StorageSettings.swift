/// `[recorder.storage]`: where recorded objects are.
public enum StorageSettings: Sendable, Hashable {
    /// A directory of this machine.
    case fs(root: String)
    /// Amazon S3 or what speaks its protocol.
    case s3(S3)
    /// Alibaba Cloud OSS.
    case oss(OSS)

    /// `type = "s3"`.
    public struct S3: Sendable, Hashable {
        /// `bucket`.
        public var bucket: String
        /// `root`: prefix of all keys, without slashes at its ends; empty for the whole bucket.
        public var root: String
        /// `region`; empty: from the environment or the bucket.
        public var region: String
        /// `endpoint` URL; empty: Amazon's of the region.
        public var endpoint: String
        /// `access_key_id`; empty: from the environment, files or the machine's role.
        public var accessKeyID: String
        /// `secret_access_key`.
        public var secretAccessKey: String
        /// `session_token` of temporary credentials; may be empty.
        public var sessionToken: String
        /// `disable_config_load`: never look for credentials outside this configuration.
        public var isConfigLoadDisabled: Bool
        /// `enable_virtual_host_style`: the bucket in the host name rather than in the path.
        public var isVirtualHostStyle: Bool

        /// A bucket; what is left out is as in a configuration that leaves it out.
        public init(
            bucket: String, root: String = "", region: String = "", endpoint: String = "", accessKeyID: String = "",
            secretAccessKey: String = "", sessionToken: String = "", isConfigLoadDisabled: Bool = false,
            isVirtualHostStyle: Bool = false
        ) {
            (self.bucket, self.root, self.region, self.endpoint) = (bucket, root, region, endpoint)
            (self.accessKeyID, self.secretAccessKey, self.sessionToken) = (accessKeyID, secretAccessKey, sessionToken)
            (self.isConfigLoadDisabled, self.isVirtualHostStyle) = (isConfigLoadDisabled, isVirtualHostStyle)
        }
    }

    /// `type = "oss"`.
    public struct OSS: Sendable, Hashable {
        /// `bucket`.
        public var bucket: String
        /// `root`: prefix of all keys, without slashes at its ends.
        public var root: String
        /// `region`, such as `oss-cn-hangzhou`.
        public var region: String
        /// `endpoint` URL.
        public var endpoint: String
        /// `access_key_id`; empty: from the environment or the machine's role.
        public var accessKeyID: String
        /// `access_key_secret`.
        public var accessKeySecret: String
        /// `security_token` of temporary (STS) credentials; may be empty.
        public var securityToken: String

        /// A bucket; what is left out is as in a configuration that leaves it out.
        public init(
            bucket: String, root: String = "", region: String, endpoint: String, accessKeyID: String = "",
            accessKeySecret: String = "", securityToken: String = ""
        ) {
            (self.bucket, self.root, self.region, self.endpoint) = (bucket, root, region, endpoint)
            (self.accessKeyID, self.accessKeySecret, self.securityToken) = (accessKeyID, accessKeySecret, securityToken)
        }
    }

    private enum Kind: String, CaseIterable {
        case fs, s3, oss
    }

    /// The directory when there is none in the configuration; live777's.
    public static let defaultRoot = "./storage"

    /// Which keys belong to which type.
    private static let keys: [Kind: Set<String>] = [
        .fs: ["root"],
        .s3: [
            "bucket", "root", "region", "endpoint", "access_key_id", "secret_access_key", "session_token", "disable_config_load",
            "enable_virtual_host_style",
        ],
        .oss: ["bucket", "root", "region", "endpoint", "access_key_id", "access_key_secret", "security_token"],
    ]

    /// Reads `[recorder.storage]`, given the section `[recorder]`.
    public init(reading recorder: ConfigSection) {
        let storage = recorder.section("storage")
        let kind = storage.choice("type", default: Kind.fs)
        let root = storage.string("root", default: kind == .fs ? Self.defaultRoot : "/") {
            $0.isEmpty ? "must not be empty" : nil
        }
        let s3 = S3(
            bucket: storage.string("bucket"), root: Self.prefix(root), region: storage.string("region"),
            endpoint: storage.baseURL("endpoint"), accessKeyID: storage.string("access_key_id"),
            secretAccessKey: storage.string("secret_access_key"), sessionToken: storage.string("session_token"),
            isConfigLoadDisabled: storage.flag("disable_config_load", default: false),
            isVirtualHostStyle: storage.flag("enable_virtual_host_style", default: false))
        let oss = OSS(
            bucket: s3.bucket, root: s3.root, region: s3.region, endpoint: s3.endpoint, accessKeyID: s3.accessKeyID,
            accessKeySecret: storage.string("access_key_secret"), securityToken: storage.string("security_token"))
        switch kind {
        case .fs: self = .fs(root: root)
        case .s3: self = .s3(s3)
        case .oss: self = .oss(oss)
        }
        let used = [
            "bucket": s3.bucket, "region": s3.region, "endpoint": s3.endpoint, "access_key_id": s3.accessKeyID,
            "secret_access_key": s3.secretAccessKey, "session_token": s3.sessionToken, "access_key_secret": oss.accessKeySecret,
            "security_token": oss.securityToken, "disable_config_load": s3.isConfigLoadDisabled ? "true" : "",
            "enable_virtual_host_style": s3.isVirtualHostStyle ? "true" : "",
        ]
        Self.reportForeign(kind, used.filter { !$0.value.isEmpty }.keys.sorted(), storage)
        if kind != .fs { reportIncomplete(storage) }
    }

    /// A key of another type is a mistake, most likely in `type`; an empty one is harmless.
    private static func reportForeign(_ kind: Kind, _ used: [String], _ storage: ConfigSection) {
        for key in used where keys[kind]?.contains(key) == false {
            let owners = Kind.allCases.filter { keys[$0]?.contains(key) == true }.map { "\"\($0.rawValue)\"" }
            storage.problem(key, "belongs to type = \(owners.joined(separator: " or ")), not to \"\(kind.rawValue)\"")
        }
    }

    private func reportIncomplete(_ storage: ConfigSection) {
        func require(_ key: String, _ value: String, _ type: String) {
            if value.isEmpty { storage.problem(key, "must be set for type = \"\(type)\"") }
        }
        func pair(_ id: String, _ secretKey: String, _ secret: String) {
            if id.isEmpty != secret.isEmpty {
                storage.problem(id.isEmpty ? secretKey : "access_key_id", "access_key_id and \(secretKey) go together")
            }
        }
        switch self {
        case .fs: break
        case .s3(let s3):
            require("bucket", s3.bucket, "s3")
            pair(s3.accessKeyID, "secret_access_key", s3.secretAccessKey)
            if !s3.sessionToken.isEmpty, s3.accessKeyID.isEmpty { storage.problem("session_token", "needs access_key_id too") }
            if s3.isConfigLoadDisabled, s3.accessKeyID.isEmpty {
                storage.problem("disable_config_load", "leaves no credentials: set access_key_id and secret_access_key")
            }
        case .oss(let oss):
            require("bucket", oss.bucket, "oss")
            require("region", oss.region, "oss")
            require("endpoint", oss.endpoint, "oss")
            pair(oss.accessKeyID, "access_key_secret", oss.accessKeySecret)
            if !oss.securityToken.isEmpty, oss.accessKeyID.isEmpty {
                storage.problem("security_token", "needs access_key_id too")
            }
        }
    }

    /// Keys never begin with a slash.
    private static func prefix(_ root: String) -> String {
        root.split(separator: "/").joined(separator: "/")
    }

    /// A local directory can be written.
    public func check(_ machine: ConfigChecks) {
        if case .fs(let root) = self { machine.writable(directory: root, key: "recorder.storage.root") }
    }
}
