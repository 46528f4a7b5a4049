import Config
import Testing

@testable import Program

@Suite("ICE servers in Link headers (RFC 9725 section 4.6)")
struct ICEServersTests {
    @Test("static ones stand as they are, coturn's get a name and a password that last as configured")
    func links() throws {
        let servers = ICEServers(
            [
                ICEServerSettings(urls: ["stun:a:1", "turn:a:2"], username: "", credential: ""),
                ICEServerSettings(urls: ["turns:b"], username: "a \"name\"", credential: "back\\slash"),
            ], CoturnSettings(urls: ["turn:c?transport=tcp", "stun:c"], secret: "north sea", ttlSeconds: 800))
        #expect(
            servers.links(stream: "demo", nowSeconds: 1_795_168_000) == [
                #"<stun:a:1>; rel="ice-server""#, #"<turn:a:2>; rel="ice-server""#,
                #"<turns:b>; rel="ice-server"; username="a \"name\""; credential="back\\slash"; credential-type="password""#,
                #"<turn:c?transport=tcp>; rel="ice-server"; username="1795168800:demo"; "#
                    + #"credential="dnbImp0UcjyEfA5+wd12DbXAVzk="; credential-type="password""#,
                #"<stun:c>; rel="ice-server""#,
            ])
    }

    @Test(
        "a Link is an ICE server's by its relation, not by its address",
        arguments: [
            (#"<stun:a>; rel="ice-server""#, true), ("<turn:a>;username=\"x\"; REL=ice-server", true),
            (#"</session/ice-server/1/layer>; rel="urn:ietf:params:whep:ext:core:layer""#, false),
            (#"<stun:a>; title="rel=ice-server""#, false), ("", false),
        ])
    func relations(link: String, isServer: Bool) {
        #expect(ICEServers.isServer(link: link) == isServer)
    }
}
