import Foundation
import Log
import Testing

@testable import Config

/// Every type of key a schema can have.
struct Sample: ConfigSchema, Equatable {
    enum Mode: String, CaseIterable { case fast, slow }

    var name: String
    var count: Int
    var share: Double
    var isOn: Bool
    var list: [String]
    var mode: Mode
    var size: Int
    var labels: [String: String]
    var inner: String
    var items: [String]
    var directory: String

    init(reading root: ConfigSection) {
        let main = root.section("main")
        name = main.string("name", default: "none") { $0 == "bad" ? "is bad" : nil }
        count = main.integer("count", default: 1, in: 0...10)
        share = main.number("share", default: 0.5, in: 0...1)
        isOn = main.flag("is_on", default: false)
        list = main.strings("list", default: ["x"]) { $0 == "bad" ? "is bad" : nil }
        mode = main.choice("mode", default: Mode.fast)
        size = main.bytes("size", default: 10, in: 1...1 << 40)
        labels = main.pairs("labels") { _, value in value == "bad" ? "is bad" : nil }
        inner = main.section("deep").string("inner")
        items = root.sections("items").map { $0.string("id") }
        directory = main.string("directory")
    }

    func check(_ machine: ConfigChecks) {
        if !directory.isEmpty { machine.writable(directory: directory, key: "main.directory") }
    }

    static func load(_ text: String, _ environment: [String: String] = [:]) throws(ConfigError) -> Sample {
        try ConfigLoader.load(
            Sample.self, text: Array(text.utf8), file: "t.toml", environmentPrefix: "T", environment: environment, checking: .all)
    }

    static func problems(_ text: String, _ environment: [String: String] = [:]) -> [String] {
        do {
            _ = try load(text, environment)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }
}

@Suite("Configuration: values from file and environment")
struct ConfigValueTests {
    @Test func defaults() throws {
        let sample = try Sample.load("")
        #expect(sample.name == "none")
        #expect(sample.list == ["x"])
        #expect(sample.mode == .fast)
        #expect(sample.labels.isEmpty)
    }

    @Test func everyType() throws {
        let sample = try Sample.load(
            """
            items = [{ id = "a" }, { id = "b" }]
            [main]
            name = "n"
            count = 3
            share = 1
            is_on = true
            list = ["p", "q"]
            mode = "slow"
            size = "2 KiB"
            labels = { a = "1", "b c" = "2" }
            deep.inner = "in"
            """)
        #expect(sample.name == "n" && sample.count == 3 && sample.share == 1 && sample.isOn)
        #expect(sample.list == ["p", "q"] && sample.mode == .slow && sample.size == 2048)
        #expect(sample.labels == ["a": "1", "b c": "2"] && sample.inner == "in" && sample.items == ["a", "b"])
    }

    @Test("the environment goes before the file")
    func environment() throws {
        let sample = try Sample.load(
            "[main]\nname = \"file\"\ncount = 3\nlist = [\"file\"]",
            [
                "T_MAIN_NAME": "env", "T_MAIN_SHARE": "0.25", "T_MAIN_IS_ON": "1", "T_MAIN_LIST": "a, b,c", "T_MAIN_MODE": "slow",
                "T_MAIN_SIZE": "1MB", "T_MAIN_LABELS": "k=v;w:x=y", "T_MAIN_DEEP_INNER": "deep", "T_ITEMS": #"[{"id":"j"}]"#,
                "T_MAIN_COUNT": "", "T_OTHER": "not ours",
            ])
        #expect(sample.name == "env" && sample.count == 3 && sample.share == 0.25 && sample.isOn)
        #expect(sample.list == ["a", "b", "c"] && sample.mode == .slow && sample.size == 1_000_000)
        #expect(sample.labels == ["k": "v", "w": "x=y"] && sample.inner == "deep" && sample.items == ["j"])
    }

    @Test("lists and tables as JSON")
    func json() throws {
        let sample = try Sample.load("", ["T_MAIN_LIST": #"["a,b", ""]"#, "T_MAIN_LABELS": #"{"a=b":"c,d"}"#])
        #expect(sample.list == ["a,b", ""])
        #expect(sample.labels == ["a=b": "c,d"])
    }

    @Test("an empty JSON list is a list, an empty variable is none")
    func empty() throws {
        #expect(try Sample.load("", ["T_MAIN_LIST": "[]"]).list == [])
        #expect(try Sample.load("", ["T_MAIN_LIST": ""]).list == ["x"])
    }

    @Test("a missing file is told")
    func missingFile() {
        do {
            _ = try ConfigLoader.load(Sample.self, file: "/nowhere/x.toml", environmentPrefix: "T", environment: [:])
            Issue.record("was loaded")
        } catch {
            #expect(error.description == "/nowhere/x.toml: no such file")
        }
    }

    @Test("a directory is made; one that can't be is told with its line")
    func directories() throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("config-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: root) }
        _ = try Sample.load("[main]\ndirectory = \"\(root.path)/a/b\"")
        #expect(try FileManager.default.contentsOfDirectory(atPath: root.path + "/a/b").isEmpty)
        try Data().write(to: root.appendingPathComponent("file"))
        #expect(
            Sample.problems("[main]\n\ndirectory = \"\(root.path)/file/x\"")
                == ["t.toml:3: main.directory: \(root.path)/file/x: not a directory that can be made"])
    }

    @Test(arguments: [
        ("0", 0), ("1024", 1024), ("1 KiB", 1024), ("3GiB", 3 << 30), ("2 tb", 2_000_000_000_000), ("", nil), ("MiB", nil),
        ("-1", nil),
        ("1 XB", nil), ("99999999999 TiB", nil), ("1.5 MiB", nil),
    ])
    func sizes(text: String, bytes: Int?) {
        #expect(ByteSize.parse(text) == bytes)
    }

    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1", 80, true), ("[::1]:0", "::1", 0, true), (":7777", "", 7777, false),
        ("0.0.0.0:1", "0.0.0.0", 1, false),
        ("localhost:65535", "localhost", 65535, true), ("[::]:1", "::", 1, false), ("127.9.9.9:1", "127.9.9.9", 1, true),
        ("127.evil.example.org:1", "127.evil.example.org", 1, false),
    ])
    func listenAddresses(text: String, host: String, port: UInt16, isLoopback: Bool) throws {
        let address = try #require(ListenAddress(text))
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.isLoopback == isLoopback)
        #expect(address.description == text)
    }

    @Test(arguments: [
        "", "7777", "a", "a:", "a:65536", "a:-1", "a:+1", "::1:80", "a b:1", "[::1:80", "[x]:1", "http://a:1", "a:1/",
    ])
    func badListenAddresses(text: String) {
        #expect(ListenAddress(text) == nil)
    }
}

@Suite("Configuration: what is wrong is told in one line")
struct ConfigProblemTests {
    static let files: [(text: String, message: String)] = [
        ("[main]\nnam = 1", "t.toml:2: main.nam: unknown key, did you mean name?"),
        ("[mian]\nname = \"x\"", "t.toml:1: mian: unknown key, did you mean main?"),
        ("[main]\ninner = \"x\"", "t.toml:2: main.inner: unknown key, did you mean main.deep.inner?"),
        ("[main.deep]\ncount = 1", "t.toml:2: main.deep.count: unknown key, did you mean main.count?"),
        ("[[items]]\nid = \"a\"\n[[items]]\nidd = \"b\"", "t.toml:4: items[1].idd: unknown key, did you mean id?"),
        ("[main]\nname = 5", "t.toml:2: main.name: expected a string, found an integer"),
        ("[main]\ncount = \"5\"", "t.toml:2: main.count: expected an integer, found a string"),
        ("[main]\ncount = 1.5", "t.toml:2: main.count: expected an integer, found a number"),
        ("[main]\ncount = 11", "t.toml:2: main.count: must be 0 to 10"),
        ("[main]\nshare = 1.5", "t.toml:2: main.share: must be 0.0 to 1.0"),
        ("[main]\nshare = nan", "t.toml:2: main.share: must be 0.0 to 1.0"),
        ("[main]\nshare = [1]", "t.toml:2: main.share: expected a number, found a list"),
        ("[main]\nis_on = \"yes\"", "t.toml:2: main.is_on: expected true or false, found a string"),
        ("[main]\nlist = \"a\"", "t.toml:2: main.list: expected a list of strings, found a string"),
        ("[main]\nlist = [\"a\",\n 5]", "t.toml:3: main.list[1]: expected a string, found an integer"),
        ("[main]\nlist = [\"a\", \"bad\"]", "t.toml:2: main.list[1]: is bad"),
        ("[main]\nmode = \"medium\"", #"t.toml:2: main.mode: expected one of "fast", "slow""#),
        ("[main]\nsize = \"big\"", #"t.toml:2: main.size: expected bytes, such as 1048576 or "1 MiB""#),
        ("[main]\nlabels = [\"a\"]", "t.toml:2: main.labels: expected a table of strings, found a list"),
        ("[main.labels]\na = 1", "t.toml:2: main.labels.a: expected a string, found an integer"),
        ("[main.labels]\na = \"bad\"", "t.toml:2: main.labels.a: is bad"),
        ("main = 5", "t.toml:1: main: expected a table, found an integer"),
        ("items = { id = \"a\" }", "t.toml:1: items: expected a list of tables, found a table"),
        ("items = [\"a\"]", "t.toml:1: items[0]: expected a table, found a string"),
        ("[main]\nname = 2020-01-01", "t.toml:2: main.name: expected a string, found a date"),
        ("[main]\nname = \"a\\u0000b\"", "t.toml:2: main.name: contains a NUL"),
        ("[main]\nname = \"a\"\nname = \"b\"", "t.toml:3: name: stands twice"),
        ("[main]\n[main]", "t.toml:2: main: stands twice"),
        ("[main\n", #"t.toml:1: not TOML: expected ']', saw '\n'"#),
        ("a = 1\n[=]", "t.toml:2: not TOML: expected bare key starting character or string delimiter, saw '='"),
        ("\"a\\nb\" = 1", #"t.toml:1: a\u{a}b: unknown key, did you mean main?"#),
        ("x", "t.toml:1: not TOML: encountered end-of-file"),
        (String(repeating: "a.", count: 100) + "b = 1", "t.toml:1: nested too deep"),
        ("a = " + String(repeating: "[", count: 100), "t.toml:1: nested too deep"),
        ("#" + String(repeating: "x", count: 1 << 20), "t.toml: larger than 1 MiB"),
        ("[main]\nn\u{FEFB}me = 1", "t.toml:2: not TOML: expected '=', saw '\u{FEFB}'"),
        ("\u{FEFF}[main]\nname = 1", "t.toml:2: main.name: expected a string, found an integer"),
    ]

    @Test(arguments: files)
    func file(text: String, message: String) {
        #expect(Sample.problems(text) == [message])
    }

    @Test(
        arguments: [
            (["T_MAIN_COUNT": "many"], "T_MAIN_COUNT: main.count: expected an integer"),
            (["T_MAIN_COUNT": "11"], "T_MAIN_COUNT: main.count: must be 0 to 10"),
            (["T_MAIN_SHARE": "half"], "T_MAIN_SHARE: main.share: expected a number"),
            (["T_MAIN_IS_ON": "on"], "T_MAIN_IS_ON: main.is_on: expected true or false"),
            (["T_MAIN_LIST": "[1]"], "T_MAIN_LIST: main.list[0]: expected a string, found an integer"),
            (["T_MAIN_LIST": "[a"], "T_MAIN_LIST: main.list: expected a list of strings"),
            (["T_MAIN_LABELS": "a"], "T_MAIN_LABELS: main.labels: expected a table of strings"),
            (["T_MAIN_MODE": "x"], #"T_MAIN_MODE: main.mode: expected one of "fast", "slow""#),
            (["T_ITEMS": "a,b"], "T_ITEMS: items: expected a list of tables as a JSON array"),
            (["T_ITEMS": #"[{"ID":"x"}]"#], "T_ITEMS: items[0].ID: unknown key, did you mean id?"),
            (["T_MAIN_NAMES": "x"], "T_MAIN_NAMES: unknown variable, did you mean T_MAIN_NAME?"),
        ] as [([String: String], String)])
    func environment(variables: [String: String], message: String) {
        #expect(Sample.problems("", variables) == [message])
    }

    @Test("all at once, in the order of the file, then the environment")
    func together() {
        let text = "[main]\nunheard = 1\ncount = \"x\"\nname = \"bad\"\nlist = 5\n[other]\n"
        #expect(
            Sample.problems(text, ["T_MAIN_SHARE": "x"]) == [
                "t.toml:2: main.unheard: unknown key, did you mean share?",
                "t.toml:3: main.count: expected an integer, found a string",
                "t.toml:4: main.name: is bad",
                "t.toml:5: main.list: expected a list of strings, found an integer",
                "t.toml:6: other: unknown key, did you mean items?",
                "T_MAIN_SHARE: main.share: expected a number",
            ])
    }

    @Test("variables that Kubernetes makes of a service called t-main are let be")
    func serviceLinks() {
        #expect(Sample.problems("", ["T_MAIN_SERVICE_HOST": "1", "T_MAIN_PORT": "tcp://x:1", "T_MAIN_PORT_80_TCP": "x"]).isEmpty)
    }

    @Test(arguments: [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 1), ("listen", "listen", 0)])
    func distances(left: String, right: String, distance: Int) {
        #expect(NearestName.distance(Array(left.utf8), Array(right.utf8)) == distance)
    }
}

@Suite("Configuration: any bytes give a value or an error")
struct ConfigFuzzTests {
    static let seeds = [
        "[main]\nname = \"n\"\ncount = 3\nshare = 1e-1\nis_on = true\nlist = [\"p\", 'q']\nmode = \"slow\"\n",
        "items = [{ id = \"a\" }, { id = '''b''' }]\n[main.deep]\ninner = \"\"\"x\\\n  y\\u00e9\"\"\"\n",
        "[[items]]\nid = \"1\"\n[[items]]\n[main]\nlabels = { a = \"1\", \"b c\" = \"2\" } # end\nd = 1979-05-27T07:32:00Z\nh = 0xFF\n",
        "a.b.\"c.d\".e = [[1, 2], [3.0, inf], []]\n[x.'y'.z]\n",
    ]

    @Test(arguments: 0..<UInt64(8))
    func mutated(seed: UInt64) {
        var random = SeededBytes(seed: seed)
        for _ in 0..<300 {
            var bytes = Array(Self.seeds[Int(random.next() % UInt64(Self.seeds.count))].utf8)
            for _ in 0...(random.next() % 4) where !bytes.isEmpty { random.damage(&bytes) }
            do {
                _ = try ConfigLoader.load(
                    Sample.self, text: bytes, file: "f", environmentPrefix: "T", environment: [:], checking: [])
            } catch {
                #expect(!error.problems.isEmpty)
                #expect(error.problems.allSatisfy { !$0.message.isEmpty && !$0.description.utf8.contains { $0 < 0x20 } })
            }
        }
    }

    @Test("nesting in every way there is", arguments: ["a.", "'a'.", "\"a\".", "a .\t"])
    func dotted(part: String) {
        for text in [
            String(repeating: part, count: 200_00) + "a = 1", "[" + String(repeating: part, count: 20_000) + "a]",
            "x = {" + String(repeating: part, count: 20_000) + "a = 1}",
        ] {
            #expect(Sample.problems(text) == ["t.toml:1: nested too deep"])
        }
    }

    @Test("dots in strings, comments and numbers are no nesting")
    func dotsElsewhere() {
        let dots = String(repeating: ".", count: 100)
        let text =
            "# \(dots)\n[main]\nname = \"\(dots)\"\nlist = ['\(dots)', '''\n\(dots)''', \"\"\"\\\"\(dots)\\\\\"\"\"]\nshare = 0.1"
        #expect(Sample.problems(text).isEmpty)
    }
}

/// Deterministic damage (SplitMix64).
struct SeededBytes {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func damage(_ bytes: inout [UInt8]) {
        let at = Int(next() % UInt64(bytes.count))
        let tokens = [
            "[", "]", "{", "}", "\"", "'''", "\"\"\"", "=", ".", "\n", "\u{0}", "\\", "1e999", "[[", "#", "\r", "\u{FEFF}",
        ]
        switch next() % 4 {
        case 0: bytes[at] = UInt8(truncatingIfNeeded: next())
        case 1: bytes.remove(at: at)
        case 2: bytes.insert(contentsOf: Array(tokens[Int(next() % UInt64(tokens.count))].utf8), at: at)
        default: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + Int(next() % 40))], at: at)
        }
    }
}
