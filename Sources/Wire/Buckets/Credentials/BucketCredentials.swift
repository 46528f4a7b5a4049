import Store

/// Who signs. It describes itself without its secrets, also when it is dumped.
struct BucketCredentials: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The public half.
    let accessKeyID: String
    /// The private half.
    let secret: String
    /// Sent along with temporary credentials.
    let token: String?
    /// When they end, Unix microseconds; nil for never, as far as is known.
    let expiresUs: Int64?

    init(accessKeyID: String, secret: String, token: String? = nil, expiresUs: Int64? = nil) {
        (self.accessKeyID, self.secret, self.expiresUs) = (accessKeyID, secret, expiresUs)
        self.token = token?.isEmpty == true ? nil : token
    }

    /// How much earlier than its credentials a presigned address ends.
    private static let presignMarginSeconds: Int64 = 60

    /// They end, or others may come in their place.
    var isTemporary: Bool { token != nil || expiresUs != nil }

    /// How long an address may be good that these sign at `seconds` (Unix), `wanted` seconds at most. Throws `unavailable` when they
    /// end too soon.
    func presignSeconds(_ wanted: Int, atSeconds seconds: Int64) throws(StoreError) -> Int {
        let left = expiresUs.map { $0 / 1_000_000 - seconds - Self.presignMarginSeconds } ?? Int64.max
        let valid = min(Int64(wanted), left)
        guard valid > 0 else { throw .unavailable(reason: "the credentials end too soon to sign an address") }
        return Int(valid)
    }

    var description: String { "credentials" }
    var debugDescription: String { description }
    var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why a place that is configured to give credentials gave none. Holds names of files and hosts, never what was in them.
struct CredentialError: Error, Sendable, Equatable {
    let reason: String
    /// It may work later.
    let isTransient: Bool

    init(_ reason: String, isTransient: Bool = false) {
        (self.reason, self.isTransient) = (reason, isTransient)
    }
}

/// A place where credentials may be.
protocol CredentialSource: Sendable {
    /// For messages, such as `the environment`.
    var name: String { get }

    /// Credentials; nil where none are configured here, so that the next place is asked. Throws when they are, and can't be had.
    func fetch() async throws(CredentialError) -> BucketCredentials?
}

/// Credentials from the configuration, which never change.
struct FixedCredentials: CredentialSource {
    let credentials: BucketCredentials
    var name: String { "the configuration" }

    func fetch() async throws(CredentialError) -> BucketCredentials? { credentials }
}
