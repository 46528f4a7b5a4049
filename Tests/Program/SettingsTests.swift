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

    @Test("limits.max_connections_per_address: none unless it is set")
    func connections() throws {
        for (text, expected) in [("", 0), ("[limits]\nmax_connections_per_address = 7", 7)] {
            let config = try ConfigReading(WebConfig.self, file: "t.toml", environmentPrefix: "T").load(text)
            #expect(HTTPServerSettings(config.http, config.limits).maxConnectionsPerAddress == expected)
        }
    }
}
