import Testing

@testable import Auth

@Suite("TURN REST credentials (draft-uberti-behave-turn-rest section 2.2)")
struct TURNCredentialTests {
    /// Passwords by `openssl dgst -sha1 -hmac SECRET -binary | base64`.
    @Test(
        "the password is the signed user name",
        arguments: [
            ("north", "ninefingers", 1_433_895_918, "1433895918:ninefingers", "jy8hTxmOO7UtEKXqSkSlvakPVYA="),
            ("north sea", "demo", 1_795_168_800, "1795168800:demo", "dnbImp0UcjyEfA5+wd12DbXAVzk="),
        ] as [(String, String, Int64, String, String)])
    func vectors(secret: String, user: String, expiresAt: Int64, username: String, password: String) {
        let credential = TURNCredential(secret: secret, user: user, expiresAt: expiresAt)
        #expect(credential.username == username)
        #expect(credential.password == password)
    }
}
