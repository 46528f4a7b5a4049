import Foundation
import Synchronization

/// A permission to open one session on one node, once and soon. A coordinator puts it into a redirect, so that the node needs to know
/// no credential of the client's own.
public struct Grant: Sendable, Hashable, Codable {
    /// What may be done with the stream.
    public enum Action: String, Sendable, Codable {
        /// `POST /whip/{stream}`.
        case publish
        /// `POST /whep/{stream}`.
        case subscribe
    }

    /// A number that is given once.
    public var id: String
    /// Alias of the node that it is for.
    public var node: String
    /// When that node's process started, Unix milliseconds: another one would not know what has been used.
    public var startedAtMs: Int64
    /// The stream's name.
    public var stream: String
    /// What may be done.
    public var action: Action
    /// The fingerprint of what the client showed the coordinator; may be empty.
    public var fingerprint: String
    /// The node's Unix seconds after which it is void.
    public var expires: Int64

    private enum CodingKeys: String, CodingKey {
        case id = "jti"
        case node = "aud"
        case startedAtMs = "started"
        case stream = "sub"
        case action = "act"
        case fingerprint = "fpr"
        case expires = "exp"
    }

    /// How long a client may take from the redirect to the node.
    public static let lifetimeSeconds: Int64 = 30
    /// The name of the query's field that it stands in.
    public static let queryName = "grant"

    /// A new one, with a number of its own.
    public init(node: String, startedAtMs: Int64, stream: String, action: Action, fingerprint: String, expires: Int64) {
        var generator = SystemRandomNumberGenerator()
        id = String(generator.next(), radix: 36) + String(generator.next(), radix: 36)
        (self.node, self.startedAtMs, self.stream, self.action) = (node, startedAtMs, stream, action)
        (self.fingerprint, self.expires) = (fingerprint, expires)
    }

    /// As a JWT (RFC 7519), signed with a token that the node takes; nil for an empty one.
    public func signed(with nodeToken: String) -> String? {
        guard let json = try? JSONEncoder().encode(self) else { return nil }
        return TokenCodec(secret: nodeToken)?.token(claims: String(decoding: json, as: UTF8.self))
    }
}

/// The grants that have been used, as long as they could be used again.
struct UsedGrants {
    /// More than a node opens sessions in a grant's life.
    private static let countMax = 100_000
    private var expiries: [String: Int64] = [:]

    /// Whether it is used for the first time.
    mutating func use(_ grant: Grant, now: Int64) -> Bool {
        if expiries.count >= Self.countMax { expiries = expiries.filter { $0.value > now } }
        guard expiries[grant.id] == nil, expiries.count < Self.countMax else { return false }
        expiries[grant.id] = grant.expires
        return true
    }
}

extension Authorizer {
    /// Who comes with a grant, which is used up by this.
    ///
    /// - Parameters:
    ///   - node: our alias.
    ///   - startedAtMs: when we started.
    ///   - now: Unix seconds.
    /// - Throws: `.unauthorized` when it isn't signed with one of our tokens, is for another node, too old or used; `.forbidden` when it
    ///   is for something else.
    public func redeem(
        _ text: String, for access: Access, node: String, startedAtMs: Int64, now: Int64
    ) throws(AuthFailure) -> Principal {
        // No node gives a longer life, whatever a grant says.
        guard let grant = grant(of: text), grant.node == node, grant.startedAtMs == startedAtMs, now < grant.expires,
            grant.expires <= now + 2 * Grant.lifetimeSeconds
        else { throw .unauthorized }
        let principal = Principal(
            id: grant.stream, rights: grant.action == .publish ? .publish : .subscribe, fingerprint: grant.fingerprint)
        guard principal.allows(access) else { throw .forbidden }
        guard used.withLock({ $0.use(grant, now: now) }) else { throw .unauthorized }
        return principal
    }

    private func grant(of text: String) -> Grant? {
        for token in settings.tokens {
            if let json = TokenCodec(secret: token)?.json(of: text) { return try? JSONDecoder().decode(Grant.self, from: json) }
        }
        return nil
    }

    /// Whether one of the tokens shown has this fingerprint.
    public func isShown(_ fingerprint: String, by credentials: Credentials) -> Bool {
        !fingerprint.isEmpty && credentials.tokens.contains { Auth.fingerprint(of: $0) == fingerprint }
    }
}
