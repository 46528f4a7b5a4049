import Config
import ConfigFixtures
import Records
import Redis
import Testing

@testable import CoordinatorServe

private let reading = ConfigReading(CoordinatorConfig.self, file: "c.toml", environmentPrefix: "COORDINATOR")

@Suite("coordinator.toml")
struct CoordinatorSampleTests {
    let sample: ConfigSample

    init() throws { sample = try ConfigSample("cluster/coordinator.toml") }

    @Test("as shipped it changes nothing")
    func commented() throws {
        #expect(try reading.load(sample.text) == reading.load(""))
    }

    @Test("what it shows are the defaults")
    func defaults() throws {
        #expect(try reading.load(sample.uncommented) == reading.load(""))
        #expect(sample.uncommented != sample.text)
    }

    @Test("it shows every key there is, those of the storage in edge-node.toml")
    func complete() {
        let keys = ConfigLoader.keys(of: CoordinatorConfig.self).filter { !$0.hasPrefix("recorder.storage.") }
        #expect(sample.keys == Set(keys))
    }

    @Test(
        "compose.yml and the scripts set only variables there are",
        arguments: ["cluster/compose.yml", "cluster/up", "scripts/run"])
    func variables(file: String) throws {
        #expect(try reading.unknownVariables(in: file).subtracting(["COORDINATOR_PORT"]).isEmpty)
    }
}

@Suite("Configuration of a coordinator")
struct CoordinatorConfigTests {
    @Test func defaults() throws {
        let config = try reading.load("")
        #expect(config.http.listen == ListenAddress(host: "127.0.0.1", port: 8888))
        #expect(config.nodes.isEmpty && config.storage == nil)
        #expect(config.database.location == .sqlite(path: "./coordinator.db"))
        #expect(config.routing == (try reading.load("[routing]\nmode = \"proxy\"\npolicy = \"least_loaded\"").routing))
    }

    @Test("nodes from the file and, instead, from the environment")
    func nodes() throws {
        let text =
            "[[nodes]]\nalias = \"a\"\nurl = \"http://a:1/\"\ntoken = \"t\"\n[[nodes]]\nalias = \"b\"\nurl = \"http://b:1\""
        #expect(
            try reading.load(text).nodes == [
                StaticNode(alias: "a", url: "http://a:1", token: "t"), StaticNode(alias: "b", url: "http://b:1", token: ""),
            ])
        let environment = ["COORDINATOR_NODES": #"[{"alias":"c","url":"http://c:1"}]"#]
        #expect(try reading.load(text, environment).nodes == [StaticNode(alias: "c", url: "http://c:1", token: "")])
    }

    @Test("Sentinels, and what holds for servers under TLS, reach the address")
    func redis() throws {
        let text = """
            [redis]
            url = "rediss://u:p@any/3"
            sentinels = ["s1", "rediss://:q@s2:7"]
            master = "group"
            tls_ca = "ca.pem"
            """
        let address = try #require(try RedisAddress(reading.load(text).redis))
        let tls = RedisTLS(authority: "ca.pem")
        #expect([address.user, address.password, "\(address.database)"] == ["u", "p", "3"])
        #expect(address.tls == tls)
        #expect(address.sentinels?.master == "group")
        #expect(
            address.sentinels?.addresses == [
                RedisAddress(endpoint: .tcp(host: "s1", port: 26_379)),
                RedisAddress(endpoint: .tcp(host: "s2", port: 7), password: "q", tls: tls),
            ])
        #expect(!address.safeDescription.contains("q"))
        #expect(try RedisAddress(reading.load("").redis) == nil)
    }

    @Test(arguments: [
        ("sqlite:/var/lib/x.db", IndexLocation.sqlite(path: "/var/lib/x.db")),
        ("sqlite://./x.db", .sqlite(path: "./x.db")),
    ])
    func databases(url: String, location: IndexLocation) throws {
        #expect(try reading.load("[database]\nurl = \"\(url)\"").database.location == location)
    }

    @Test(
        arguments: [
            ("[[nodes]]\nalias = \"a\"", "c.toml:1: nodes[0].url: must be set"),
            ("[[nodes]]\nurl = \"http://a:1\"", "c.toml:1: nodes[0].alias: must be set"),
            (
                "[[nodes]]\nalias = \"a~\"\nurl = \"http://a:1\"",
                "c.toml:2: nodes[0].alias: must be 1 to 64 of A-Z a-z 0-9 _ . - and not start with a dot"
            ),
            ("[[nodes]]\nalias = \"a\"\nurl = \"a:1\"", "c.toml:3: nodes[0].url: expected http://host:port or https://host:port"),
            (
                "[[nodes]]\nalias = \"a\"\nurl = \"http://a\"\n[[nodes]]\nalias = \"a\"\nurl = \"http://b\"",
                "c.toml:5: nodes[1].alias: stands twice"
            ),
            (
                "[[nodes]]\nalias = \"a\"\nurl = \"http://a\"\n[[nodes]]\nalias = \"b\"\nurl = \"http://a/\"",
                "c.toml:6: nodes[1].url: stands twice"
            ),
            (
                "[[nodes]]\nalias = \"a\"\nurl = \"http://a\"\ntoken = \"a b\"",
                "c.toml:4: nodes[0].token: must be visible ASCII without spaces"
            ),
            ("[[node]]\nalias = \"a\"", "c.toml:1: node: unknown key, did you mean nodes?"),
            ("[routing]\nmode = \"direct\"", #"c.toml:2: routing.mode: expected one of "proxy", "redirect""#),
            ("[routing]\npolicy = \"random\"", #"c.toml:2: routing.policy: expected one of "least_loaded", "nearest""#),
            ("[cascade]\nmode = \"both\"", #"c.toml:2: cascade.mode: expected one of "pull", "push""#),
            ("[cascade]\nidle_seconds = 0", "c.toml:2: cascade.idle_seconds: must be 1 to 86400"),
            (
                "[database]\nurl = \"mysql://x\"",
                "c.toml:2: database.url: expected sqlite:PATH or postgresql://user:password@host/database"
            ),
            (
                "[database]\nurl = \"sqlite:\"",
                "c.toml:2: database.url: expected sqlite:PATH or postgresql://user:password@host/database"
            ),
            (
                "[auto_record]\nbase_prefix = \"../x\"",
                "c.toml:2: auto_record.base_prefix: must be a relative path without . and .."
            ),
            (
                "[auto_record]\nbase_prefix = \"/x\"",
                "c.toml:2: auto_record.base_prefix: must be a relative path without . and .."
            ),
            (
                "[auto_record]\nmax_recording_seconds = 59",
                "c.toml:2: auto_record.max_recording_seconds: must be 0 or from 60 to 31536000"
            ),
            ("[auto_record]\nenabled = true", "c.toml:2: auto_record.enabled: records nothing without auto_record.auto_streams"),
            ("[playback]\nsigned_ttl_seconds = 5", "c.toml:2: playback.signed_ttl_seconds: must be 30 to 604800"),
            (
                "[playback]\nsigned_redirect = true",
                #"c.toml:2: playback.signed_redirect: needs recorder.storage.type = "s3" or "oss""#
            ),
            (
                "[recorder.storage]\ntype = \"oss\"\nbucket = \"b\"\nregion = \"r\"",
                #"c.toml:1: recorder.storage.endpoint: must be set for type = "oss""#
            ),
            (
                "[recorder]\nauto_streams = []",
                "c.toml:2: recorder.auto_streams: unknown key, did you mean auto_record.auto_streams?"
            ),
        ])
    func bad(text: String, message: String) {
        #expect(reading.problems(text) == [message])
    }
}
