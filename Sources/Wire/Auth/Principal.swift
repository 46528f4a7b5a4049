/// What a credential allows to do with the streams it covers; the bits are live777's `mode` claim.
public struct Rights: OptionSet, Sendable, Hashable {
    /// The bits.
    public let rawValue: Int
    /// - Parameter rawValue: the bits; those without a meaning are dropped.
    public init(rawValue: Int) { self.rawValue = rawValue & 7 }

    /// Create, delete, record, cascade.
    public static let administrate = Rights(rawValue: 1)
    /// Publish.
    public static let publish = Rights(rawValue: 2)
    /// Play.
    public static let subscribe = Rights(rawValue: 4)
    /// All three.
    public static let all: Rights = [.administrate, .publish, .subscribe]
}

/// Who is asking.
public struct Principal: Sendable, Hashable {
    /// A stream's name, or `*` for every stream.
    public let id: String
    /// What may be done with these streams. They hold for `*` too: `*` that may only play can't publish.
    public let rights: Rights
    /// Tells two requests with the same credential from others without keeping the credential; empty when none was shown.
    public let fingerprint: String

    /// - Parameters:
    ///   - id: a stream's name or `*`.
    ///   - rights: what may be done.
    ///   - fingerprint: empty when no credential was shown.
    public init(id: String, rights: Rights, fingerprint: String = "") {
        self.id = id
        self.rights = rights
        self.fingerprint = fingerprint
    }

    /// Whether the credential is about this stream at all.
    public func covers(_ stream: String) -> Bool { id == "*" || id == stream }

    /// Whether this may be done.
    public func allows(_ access: Access) -> Bool {
        switch access {
        case .publish(let stream): covers(stream) && rights.contains(.publish)
        case .subscribe(let stream): covers(stream) && rights.contains(.subscribe)
        case .administrate(let stream): covers(stream) && rights.contains(.administrate)
        case .observe(let stream), .session(let stream): covers(stream) && !rights.isEmpty
        case .browse: id == "*" && !rights.isEmpty
        case .cluster: id == "*" && rights.contains(.administrate)
        }
    }
}

/// What a request is about to do. Stream names are given percent-decoded.
public enum Access: Sendable, Hashable {
    /// `POST /whip/{stream}`.
    case publish(stream: String)
    /// `POST /whep/{stream}`, its recordings and their objects.
    case subscribe(stream: String)
    /// Create or delete the stream, record it, cascade it.
    case administrate(stream: String)
    /// Read about one stream: its record, whether it is being recorded.
    case observe(stream: String)
    /// `PATCH` and `DELETE` of a session of the stream, its layers. The session's URL is the credential when no other is
    /// sent (RFC 9725 section 4.9 leaves it to us): it holds more than 128 random bits and only its owner was told it.
    case session(stream: String)
    /// Read lists over all streams: streams, recordings, nodes.
    case browse
    /// Everything else: drain a node, sign URLs, hand out tokens.
    case cluster
}
