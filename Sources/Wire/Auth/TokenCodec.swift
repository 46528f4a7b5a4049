import CJWT
import Foundation

/// What a JWT says; live777's claims.
struct TokenClaims: Codable, Equatable {
    /// Stream name or `*`.
    var id: String
    /// Unix seconds after which it is void. Must be there.
    var exp: Double
    /// Unix seconds before which it is void.
    var nbf: Double?
    /// `Rights`.
    var mode: Int

    private enum CodingKeys: String, CodingKey {
        case id, exp, nbf, mode
    }

    init(id: String, exp: Double, nbf: Double? = nil, mode: Int) {
        self.id = id
        self.exp = exp
        self.nbf = nbf
        self.mode = mode
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        exp = try container.decode(Double.self, forKey: .exp)
        nbf = try container.decodeIfPresent(Double.self, forKey: .nbf)
        mode = try container.decodeIfPresent(Int.self, forKey: .mode) ?? 0
    }
}

/// Signs and checks JWTs with HS256 (RFC 7519, RFC 7515).
struct TokenCodec {
    /// libjwt decodes on the stack, so the length of a stranger's token is limited.
    static let tokenBytesMax = 4_096

    private let secret: [UInt8]

    /// Nil for an empty secret: anyone could sign with that.
    init?(secret: String) {
        guard !secret.isEmpty else { return nil }
        self.secret = Array(secret.utf8)
    }

    /// The claims of a token that is signed with our secret and valid at `now` (Unix seconds), or nil.
    func claims(of token: String, now: Int64) -> TokenClaims? {
        guard let json = json(of: token), let claims = try? JSONDecoder().decode(TokenClaims.self, from: json) else { return nil }
        // One minute for the signer's clock to be ahead of ours; none for a token to outlive its end.
        guard Double(now) < claims.exp, (claims.nbf ?? 0) <= Double(now) + 60 else { return nil }
        return claims
    }

    /// All claims of a token that is signed with our secret, whenever it is valid.
    func json(of token: String) -> Data? {
        guard Self.isCompact(token) else { return nil }
        var jwt: OpaquePointer?
        guard jwt_decode(&jwt, token, secret, Int32(secret.count)) == 0, let jwt else { return nil }
        defer { jwt_free(jwt) }
        // The header is the sender's: none and every algorithm we don't sign with are refused (RFC 8725 section 3.1).
        guard jwt_get_alg(jwt) == JWT_ALG_HS256, let json = jwt_get_grants_json(jwt, nil) else { return nil }
        defer { free(json) }
        return Data(bytes: json, count: strlen(json))
    }

    /// A token with these claims; nil when memory is out.
    func token(id: String, rights: Rights, now: Int64, lifetime: Int64) -> String? {
        var jwt: OpaquePointer?
        guard jwt_new(&jwt) == 0, let jwt else { return nil }
        defer { jwt_free(jwt) }
        let isMade =
            jwt_set_alg(jwt, JWT_ALG_HS256, secret, Int32(secret.count)) == 0
            && jwt_add_grant(jwt, "id", id) == 0
            && jwt_add_grant_int(jwt, "iat", Int(now)) == 0
            && jwt_add_grant_int(jwt, "exp", Int(now + lifetime)) == 0
            && jwt_add_grant_int(jwt, "mode", rights.rawValue) == 0
        guard isMade, let text = jwt_encode_str(jwt) else { return nil }
        defer { free(text) }
        return String(cString: text)
    }

    /// A token with the claims of a JSON object; nil when it is none, or memory is out.
    func token(claims json: String) -> String? {
        var jwt: OpaquePointer?
        guard jwt_new(&jwt) == 0, let jwt else { return nil }
        defer { jwt_free(jwt) }
        guard jwt_set_alg(jwt, JWT_ALG_HS256, secret, Int32(secret.count)) == 0, jwt_add_grants_json(jwt, json) == 0,
            let text = jwt_encode_str(jwt)
        else { return nil }
        defer { free(text) }
        return String(cString: text)
    }

    /// Three base64url parts (RFC 7515 section 3.1) of bounded length; looked at before C code is.
    private static func isCompact(_ token: String) -> Bool {
        let bytes = token.utf8
        guard bytes.count <= tokenBytesMax else { return false }
        var dots = 0
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "."): dots += 1
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): continue
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): continue
            default: return false
            }
        }
        return dots == 2
    }
}
