import COpenSSL

/// What makes an address open by itself for a moment: browsers download and players open addresses without a header of ours, and a
/// credential in an address would stay in histories, logs of proxies and wherever the address is passed on to.
///
/// It holds for one address, byte for byte, and for playing one stream. Any program with the same credentials can check it; none
/// remembers it.
public enum LinkSignature {
    /// From the question for it to the request it is for. What has begun by then goes on.
    public static let lifetimeSeconds: Int64 = 60
    /// The query's field with the Unix second after which it is void; part of what is signed.
    public static let expiryName = "expires"
    /// The query's last field, which signs all that stands before it.
    public static let queryName = "signature"
}

extension Authorizer {
    /// A signature for someone who may play the stream; nil when nobody needs one, or no credential plays the stream.
    ///
    /// - Parameter address: what is asked for, with the time it is void after.
    public func signature(of address: String, stream: String) -> String? {
        linkKeys(of: stream).first.map { Self.signature(of: address, stream: stream, key: $0) }
    }

    /// Who comes with an address that is signed; nil for a signature that isn't good, or not any more.
    ///
    /// - Parameters:
    ///   - address: what is asked for, up to the signature.
    ///   - expires: what it says of its end, Unix seconds.
    ///   - now: Unix seconds.
    public func principal(
        of signature: String, for address: String, stream: String, expires: Int64, now: Int64
    ) -> Principal? {
        // The clocks of two coordinators differ by less than that; nobody's signature holds for longer.
        guard now < expires, expires - now <= 2 * LinkSignature.lifetimeSeconds else { return nil }
        // All are tried, so the time tells nothing about which one it was.
        let good = linkKeys(of: stream).filter {
            isSame(shown: signature, secret: Self.signature(of: address, stream: stream, key: $0))
        }
        return good.isEmpty ? nil : Principal(id: stream, rights: .subscribe)
    }

    /// Whoever knows one of these may play the stream anyway, so that nobody gains anything by signing with it. The first one signs: who sees
    /// a link can try words for its key. JWTs show as much of `secret`; of the others the room's token opens least.
    private func linkKeys(of stream: String) -> [String] {
        ([settings.secret, settings.roomTokens[stream] ?? ""] + settings.tokens).filter { !$0.isEmpty }
    }

    /// JWTs are signed with the same keys; no JWT holds a line break, and neither does the name of a stream.
    private static func signature(of address: String, stream: String, key: String) -> String {
        messageCode(of: "link\n\(stream)\n\(address)", key: key, EVP_sha256()).base64URL
    }
}
