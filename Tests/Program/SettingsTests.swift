import Config
import ConfigFixtures
import HTTP
import Program
import Testing

private struct WebConfig: ConfigSchema {
    let http: ListenSettings

    let limits: LimitSettings

    init(reading root: ConfigSection) {
        http = ListenSettings(reading: root, port: 80)
        limits = LimitSettings(reading: root)
    }

    func check(_ machine: ConfigChecks) {}
}

@Suite("[http] as the server takes it")
struct SettingsTests {
    @Test(
        "http.cors",
        arguments: [
            ("", .off), ("cors = false", .off), ("cors = true", .any), ("cors = []", .off),
            ("cors = \"https://a.example\"", .origins(["https://a.example"])),
            ("cors = [\"https://a.example\", \"http://b:1\"]", .origins(["https://a.example", "http://b:1"])),
            ("cors = [\"https://a.example\", \"*\"]", .any),
        ] as [(String, CORS)])
    func cors(text: String, expected: CORS) throws {
        let config = try ConfigReading(WebConfig.self, file: "t.toml", environmentPrefix: "T").load("[http]\n\(text)")
        #expect(HTTPServerSettings(config.http, config.limits).cors == expected)
    }

    @Test("limits.max_connections_per_address: a quarter of all unless it is set")
    func connections() throws {
        for (text, expected) in [
            ("", 1024), ("[limits]\nmax_connections_per_address = 7", 7), ("[limits]\nmax_connections_per_address = 0", 0),
        ] {
            let config = try ConfigReading(WebConfig.self, file: "t.toml", environmentPrefix: "T").load(text)
            #expect(HTTPServerSettings(config.http, config.limits).maxConnectionsPerAddress == expected)
        }
    }

    @Test("http.trusted_proxies: they tell for whom they ask, and neither they nor this machine count as a client")
    func proxies() throws {
        let text = "[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"2001:db8::1\"]"
        let config = try ConfigReading(WebConfig.self, file: "t.toml", environmentPrefix: "T").load(text)
        let settings = HTTPServerSettings(config.http, config.limits)
        let addresses = ["10.1.2.3", "2001:db8::1", "11.0.0.1", "2001:db8::2", "127.0.0.1", "::1"]
        #expect(addresses.filter(settings.isTrustedProxy) == ["10.1.2.3", "2001:db8::1"])
        #expect(addresses.filter(settings.countsAddress) == ["11.0.0.1", "2001:db8::2"])
    }
}
