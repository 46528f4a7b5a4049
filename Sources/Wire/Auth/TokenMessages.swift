/// Body of `POST /api/login`.
public struct LoginRequest: Sendable, Codable {
    /// Account name.
    public var username: String
    /// Its password.
    public var password: String

    /// - Parameters:
    ///   - username: account name.
    ///   - password: its password.
    public init(username: String, password: String) {
        self.username = username
        self.password = password
    }
}

/// Body of `POST /api/token`.
public struct TokenRequest: Sendable, Codable {
    /// Stream name, or `*` for all.
    public var id: String
    /// Seconds the token is to live.
    public var duration: Int64
    /// May play.
    public var subscribe: Bool
    /// May publish.
    public var publish: Bool
    /// May create, delete, record and cascade; with `*` everything.
    public var admin: Bool

    /// Makes a request.
    public init(id: String, duration: Int64, subscribe: Bool = false, publish: Bool = false, admin: Bool = false) {
        self.id = id
        self.duration = duration
        self.subscribe = subscribe
        self.publish = publish
        self.admin = admin
    }

    /// Reads a request; rights that are left out are not given.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        duration = try container.decode(Int64.self, forKey: .duration)
        subscribe = try container.decodeIfPresent(Bool.self, forKey: .subscribe) ?? false
        publish = try container.decodeIfPresent(Bool.self, forKey: .publish) ?? false
        admin = try container.decodeIfPresent(Bool.self, forKey: .admin) ?? false
    }

    var rights: Rights {
        var rights: Rights = []
        if subscribe { rights.insert(.subscribe) }
        if publish { rights.insert(.publish) }
        if admin { rights.insert(.administrate) }
        return rights
    }
}

/// Answer to both.
public struct TokenResponse: Sendable, Codable, Hashable {
    /// The JWT.
    public var accessToken: String
    /// Always `Bearer`.
    public var tokenType = "Bearer"

    enum CodingKeys: String, CodingKey {
        case accessToken = "access_token"
        case tokenType = "token_type"
    }

    /// - Parameter accessToken: the JWT.
    public init(accessToken: String) {
        self.accessToken = accessToken
    }
}
