/// Random names from the system's generator, which is a cryptographic one.
enum Identifier {
    /// 192 bits as 32 base64url characters: a session's URL is the right to change the session (RFC 9725 section 5).
    static func session() -> String { base64URL(words: 3) }

    /// A strong entity tag with its quotes (RFC 9110 section 8.8.3).
    static func etag() -> String { "\"\(base64URL(words: 2))\"" }

    private static func base64URL(words: Int) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var generator = SystemRandomNumberGenerator()
        var text: [UInt8] = []
        // Six bits a character; 64 bits make 10 whole ones and the last character carries what is left.
        for _ in 0..<words {
            var word = generator.next()
            for _ in 0..<11 {
                text.append(alphabet[Int(word & 63)])
                word >>= 6
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
