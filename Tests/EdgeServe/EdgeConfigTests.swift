import Cascade
import Config
import ConfigFixtures
import Foundation
import Cluster
import Record
import Testing

@testable import EdgeServe

private let reading = ConfigReading(EdgeConfig.self, file: "edge.toml", environmentPrefix: "EDGE")

@Suite("edge-node.toml")
struct EdgeSampleTests {
    let sample: ConfigSample

    init() throws { sample = try ConfigSample("cluster/edge-node.toml") }

    @Test("as shipped it changes nothing")
    func commented() throws {
        #expect(try reading.load(sample.text) == reading.load(""))
    }

    @Test("what it shows are the defaults")
    func defaults() throws {
        #expect(try reading.load(sample.uncommented.replacing("\nroot = \"./storage\"", with: "")) == reading.load(""))
        #expect(sample.uncommented.contains("\nroot = \"./storage\"\n"))
    }

    @Test("it shows every key there is")
    func complete() {
        #expect(sample.keys == Set(ConfigLoader.keys(of: EdgeConfig.self)))
    }

    @Test(
        "compose.yml and the scripts set only variables there are",
        arguments: ["cluster/compose.yml", "cluster/up", "scripts/run"])
    func variables(file: String) throws {
        #expect(try reading.unknownVariables(in: file).isEmpty)
    }
}

@Suite("Configuration of an edge node")
struct EdgeConfigTests {
    @Test("nothing set: loopback, files, no Redis")
    func defaults() throws {
        let config = try reading.load("")
        #expect(config.http.listen == ListenAddress(host: "127.0.0.1", port: 7777))
        #expect(config.http.maxBody == 1 << 20)
        #expect(config.node.alias.hasSuffix("-7777"))
        #expect(config.recorder.nodeAlias == config.node.alias)
        #expect(config.recorder.storage == .fs(root: "./storage"))
        #expect(config.redis.url.isEmpty && config.redis.prefix == "edge")
        #expect(!config.auth.isAnySet && !config.strategy.overridePublisher)
        #expect(config.node.advertisedURL(http: config.http, port: 7777) == "http://127.0.0.1:7777")
    }

    @Test(
        "recordings in a bucket are this node's by their alias only where that is its own, and was given",
        arguments: [
            ("", false), ("[node]\nalias = \"a\"", true), ("[recorder]\nnode_alias = \"a\"", false),
            ("[node]\nalias = \"a\"\n[recorder]\nnode_alias = \"a\"", true),
            ("[node]\nalias = \"a\"\n[recorder]\nnode_alias = \"b\"", false),
        ])
    func ownAlias(text: String, isOwn: Bool) throws {
        #expect(try reading.load(text).recorder.ownsAlias == isOwn)
    }

    @Test("streams that come from and go to other servers")
    func streams() throws {
        let config = try reading.load(
            """
            [[stream.demo.sources]]
            url = "whep://a:7777/whep/demo"
            token = "t"
            [[stream.demo.sources]]
            url = "https://b/whep/demo"
            [[stream.demo.targets]]
            url = "whip://c/whip/x"
            """)
        #expect(config.cascade.declared.map(\.direction) == [.pull, .push])
        #expect(config.cascade.declared.map(\.stream) == ["demo", "demo"])
        let urls = config.cascade.declared.map { $0.addresses.map(\.url) }
        #expect(urls == [["http://a:7777/whep/demo", "https://b/whep/demo"], ["http://c/whip/x"]])
        #expect(config.cascade.idleSeconds == 60 && config.cascade.depthMax == 4)
    }

    @Test("every section")
    func everything() throws {
        let config = try reading.load(
            """
            [node]
            alias = "edge-1"
            url = "https://edge.example.org:7443/"
            region = "eu"
            pub_max = 10
            sub_max = 100
            labels = { rack = "a" }
            [http]
            listen = "[::]:7443"
            cors = ["https://example.org"]
            tls_cert = "cert.pem"
            tls_key = "key.pem"
            [webrtc]
            udp_port = 40000
            public_ips = ["203.0.113.5", "2001:db8::5"]
            loops = 4
            publisher_bitrate_max = 6000000
            ice_servers = [{ urls = ["stun:stun.example.org:3478"] }]
            [[webrtc.ice_servers]]
            """.replacing("\n[[webrtc.ice_servers]]", with: "")
                + """

                [auth]
                tokens = ["t1"]
                secret = "s"
                [auth.room_tokens]
                demo = "t2"
                [[auth.accounts]]
                username = "admin"
                password = "p w"
                [strategy]
                auto_delete_whip = 5000
                [recorder]
                auto_streams = ["*", "web-?"]
                [recorder.storage]
                type = "s3"
                bucket = "b"
                root = "/recordings/"
                endpoint = "http://localhost:9000"
                access_key_id = "id"
                secret_access_key = "key"
                [redis]
                url = "redis://user:p%40ss@redis.example.org:6380/2"
                """)
        #expect(config.node.url == "https://edge.example.org:7443")
        #expect(config.webrtc.publisherBitrateMax == 6_000_000)
        #expect(config.http.corsOrigins == ["https://example.org"] && config.http.isTLS)
        #expect(config.webrtc.iceServers.first?.urls == ["stun:stun.example.org:3478"])
        #expect(config.auth.roomTokens == ["demo": "t2"])
        #expect(config.auth.accounts == [CredentialSettings.Account(username: "admin", password: "p w")])
        guard case .s3(let s3) = config.recorder.storage else {
            Issue.record("not s3")
            return
        }
        #expect(s3.root == "recordings" && s3.bucket == "b" && !s3.isVirtualHostStyle)
    }

    @Test("retention and hooks")
    func keeping() throws {
        let config = try reading.load(
            """
            [recorder]
            retention_days = 30
            [[recorder.retention]]
            pattern = "cam-*"
            days = 7
            [[recorder.retention]]
            pattern = "evidence"
            days = 0
            [recorder.hooks]
            url = "https://hooks.example.org/rec?token=x"
            command = ["/usr/local/bin/on-record", "--verbose"]
            events = ["stop"]
            timeout_seconds = 2.5
            secret = "s"
            """)
        let settings = RecordSettings(config.recorder)
        #expect(settings.retention.days == 30 && settings.retention.rules.map(\.days) == [7, 0])
        #expect(settings.retention.rules.map(\.pattern.text) == ["cam-*", "evidence"])
        #expect(
            settings.hooks
                == HookSettings(
                    url: "https://hooks.example.org/rec?token=x", command: ["/usr/local/bin/on-record", "--verbose"],
                    events: [.stop], timeoutMs: 2500, secret: "s"))
        #expect(!RecordSettings(try reading.load("").recorder).hooks.isAnySet)
    }

    @Test("environment alone")
    func environment() throws {
        let config = try reading.load(
            "",
            [
                "EDGE_NODE_ALIAS": "e", "EDGE_HTTP_LISTEN": "127.0.0.1:1", "PORT": "2", "LOG_LEVEL": "debug",
                "EDGE_RECORDER_STORAGE_TYPE": "oss", "EDGE_RECORDER_STORAGE_BUCKET": "b", "EDGE_RECORDER_STORAGE_REGION": "r",
                "EDGE_RECORDER_STORAGE_ENDPOINT": "https://oss.example.org", "EDGE_RECORDER_AUTO_STREAMS": "a*,b",
                "EDGE_AUTH_ROOM_TOKENS": "r1:t1;r2:t2", "EDGE_WEBRTC_ICE_SERVERS": #"[{"urls":["stun:s:1"]}]"#,
            ])
        #expect(config.http.listen.port == 1, "the whole address goes before PORT")
        #expect(String(describing: config.log.level) == "debug")
        #expect(config.recorder.autoStreams == ["a*", "b"])
        #expect(config.auth.roomTokens == ["r1": "t1", "r2": "t2"])
        guard case .oss(let oss) = config.recorder.storage else {
            Issue.record("not oss")
            return
        }
        #expect(oss.endpoint == "https://oss.example.org" && oss.root == "")
    }

    @Test("PORT changes the port and keeps the address of the file")
    func port() throws {
        let config = try reading.load("[http]\nlisten = \"0.0.0.0:1\"\n[auth]\nopen = true", ["PORT": "9000"])
        #expect(config.http.listen.description == "0.0.0.0:9000")
        #expect(reading.problems("", ["PORT": "http"]) == ["PORT: http.listen: expected a port, 0 to 65535"])
        #expect(
            reading.problems("", ["LOG_LEVEL": "loud"]) == [
                #"LOG_LEVEL: log.level: expected one of "debug", "info", "warn", "error""#
            ])
    }

    @Test("two nodes of a machine on any free ports have two aliases")
    func aliasWithoutPort() throws {
        #expect(
            try reading.load("[http]\nlisten = \"127.0.0.1:0\"").node.alias.contains(
                String(ProcessInfo.processInfo.processIdentifier)))
    }

    @Test("certificates, directories and ports of the machine")
    func machine() throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("edge-config-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: root) }
        try Data("x".utf8).write(to: root.appendingPathComponent("file"))
        let text = """
            [http]
            listen = "127.0.0.1:0"
            tls_cert = "\(root.path)/file"
            tls_key = "\(root.path)/none"
            [recorder.storage]
            root = "\(root.path)/file/records"
            """
        #expect(
            reading.problems(text, checking: .all) == [
                "edge.toml:4: http.tls_key: \(root.path)/none: no such file",
                "edge.toml:6: recorder.storage.root: \(root.path)/file/records: not a directory that can be made",
            ])
    }

    @Test("a port someone else has")
    func takenPorts() throws {
        for (type, key) in [(SOCK_STREAM, "listen"), (SOCK_DGRAM, "udp_port")] {
            let taken = try TakenPort(type)
            let text =
                key == "listen"
                ? "[http]\nlisten = \"127.0.0.1:\(taken.port)\"\n[recorder.storage]\nroot = \"/tmp\""
                : "[webrtc]\nudp_port = \(taken.port)\nice_udp_addrs = [\"127.0.0.1\"]\n[http]\nlisten = \"127.0.0.1:0\""
            let expected =
                key == "listen"
                ? "edge.toml:2: http.listen: 127.0.0.1:\(taken.port): already in use by another program"
                : "edge.toml:2: webrtc.udp_port: UDP port \(taken.port): already in use by another program"
            #expect(reading.problems(text, checking: .ports) == [expected])
        }
    }

    @Test(arguments: badConfigs)
    func bad(text: String, message: String) {
        #expect(reading.problems(text) == [message])
    }

    @Test("no message repeats a secret")
    func secrets() {
        let text = """
            [auth]
            tokens = ["hidden in a list", 5]
            secret = ["hidden"]
            room_tokens = { demo = "hidden word" }
            accounts = [{ username = "u", password = 5 }]
            [redis]
            url = "redis://hidden:hidden@"
            [recorder.storage]
            type = "s3"
            bucket = "b"
            secret_access_key = "hidden"
            """
        let found = reading.problems(text)
        #expect(found.count >= 6)
        #expect(!found.contains { $0.contains("hidden") })
    }
}

/// A port of 127.0.0.1 that is taken as long as this lives.
private final class TakenPort {
    let port: UInt16
    private let descriptor: Int32

    init(_ type: __socket_type) throws {
        descriptor = socket(AF_INET, Int32(type.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (descriptor, size) = (self.descriptor, length)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, size) == 0 ? getsockname(descriptor, address, &length) : -1
            }
        }
        try #require(result == 0)
        if type == SOCK_STREAM { try #require(listen(descriptor, 1) == 0) }
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }
}
