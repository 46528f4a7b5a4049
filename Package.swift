// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

/// A Debian C library: a module map and static-inline shims, nothing else.
func cLibrary(_ name: String, apt: String) -> Target {
    .systemLibrary(name: name, path: "Sources/CLibraries/\(name)", providers: [.apt([apt])])
}

func module(_ name: String, path: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: path, resources: resources, swiftSettings: strict)
}

func program(_ name: String, path: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: strict)
}

func tests(
    of name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = [], excluding excluded: [String] = [],
    exporting symbols: [String] = []
) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies, path: "Tests/\(name)",
        exclude: excluded, resources: resources, swiftSettings: strict,
        linkerSettings: symbols.map { .unsafeFlags(["-Xlinker", "--export-dynamic-symbol=\($0)"]) })
}

let package = Package(
    name: "Tributary",
    products: [
        .executable(name: "edge-node", targets: ["EdgeNode"]),
        .executable(name: "coordinator", targets: ["Coordinator"]),
        .executable(name: "edge-bench", targets: ["EdgeBench"]),
        .executable(name: "floor", targets: ["Floor"]),
    ],
    targets: [
        // Debian's C libraries.
        cLibrary("CMicrohttpd", apt: "libmicrohttpd-dev"),
        cLibrary("CCurl", apt: "libcurl4-openssl-dev"),
        cLibrary("CWslay", apt: "libwslay-dev"),
        cLibrary("COpenSSL", apt: "libssl-dev"),
        cLibrary("CSRTP", apt: "libsrtp2-dev"),
        cLibrary("CAVFormat", apt: "libavformat-dev"),
        cLibrary("CHiredis", apt: "libhiredis-dev"),
        cLibrary("CSQLite", apt: "libsqlite3-dev"),
        cLibrary("CPostgreSQL", apt: "libpq-dev"),
        cLibrary("CJWT", apt: "libjwt-dev"),
        cLibrary("CZlib", apt: "zlib1g-dev"),
        .systemLibrary(name: "CLinux", path: "Sources/CLibraries/CLinux"),
        .target(name: "CUSRSCTP", path: "Sources/CLibraries/CUSRSCTP", linkerSettings: [.linkedLibrary("usrsctp")]),
        .target(
            name: "CTomlPlusPlus", path: "Sources/CLibraries/CTomlPlusPlus"),

        // Wire: what both programs speak.
        module("Log", path: "Sources/Wire/Log"),
        module("Config", path: "Sources/Wire/Config", ["CTomlPlusPlus", "Cluster", "Log"]),
        module("SDP", path: "Sources/Wire/SDP"),
        module("HTTP", path: "Sources/Wire/HTTP", ["CMicrohttpd", "CCurl", "CWslay", "CZlib", "COpenSSL", "Log"]),
        module("Media", path: "Sources/Wire/Media", ["CAVFormat"]),
        module("Store", path: "Sources/Wire/Store", ["CLinux", "Log"]),
        module("Buckets", path: "Sources/Wire/Buckets", ["Store", "HTTP", "Config", "COpenSSL", "CLinux", "Log"]),
        module("Cluster", path: "Sources/Wire/Cluster"),
        module("Presentation", path: "Sources/Wire/Presentation", ["Media", "Cluster", "HTTP"]),
        module("Journal", path: "Sources/Wire/Journal", ["Media", "Store", "Cluster"]),
        module("Redis", path: "Sources/Wire/Redis", ["CHiredis", "COpenSSL", "CLinux", "Config", "Log"]),
        module("Auth", path: "Sources/Wire/Auth", ["CJWT", "COpenSSL"]),
        module(
            "Program", path: "Sources/Wire/Program",
            ["HTTP", "Auth", "Config", "Cluster", "Media", "Presentation", "Store", "Buckets", "CLinux", "Log"]),

        // The edge node.
        module("MediaPlane", path: "Sources/EdgeNode/MediaPlane", ["COpenSSL", "CUSRSCTP", "CZlib", "CLinux", "Log"]),
        module("Streams", path: "Sources/EdgeNode/Streams", ["MediaPlane", "SDP", "Media", "Cluster", "Log"]),
        module("Cascade", path: "Sources/EdgeNode/Cascade", ["Streams", "Cluster", "HTTP", "Log"]),
        module(
            "Record", path: "Sources/EdgeNode/Record",
            [
                "Journal", "Presentation", "MediaPlane", "Media", "Store", "Cluster", "HTTP", "COpenSSL", "CLinux", "Log",
            ]),
        module("State", path: "Sources/EdgeNode/State", ["Cluster", "Redis", "Log"]),
        module(
            "EdgeServe", path: "Sources/EdgeNode/Serve",
            [
                "Streams", "Cascade", "Record", "Presentation", "State", "MediaPlane", "Store", "Buckets", "HTTP", "Auth",
                "Cluster",
                "Config", "Program", "Redis", "SDP", "Media", "CLinux", "Log",
            ]),
        program("EdgeNode", path: "Sources/EdgeNode/Main", ["EdgeServe", "Program"]),

        // The coordinator.
        module("Nodes", path: "Sources/Coordinator/Nodes", ["Cluster", "HTTP", "Redis", "Log"]),
        module("Route", path: "Sources/Coordinator/Route", ["Nodes", "Cluster"]),
        module(
            "Records", path: "Sources/Coordinator/Records",
            ["Nodes", "Cluster", "Presentation", "Journal", "Media", "Store", "HTTP", "CSQLite", "CPostgreSQL", "Log"]),
        module(
            "Playback", path: "Sources/Coordinator/Playback",
            ["Records", "Presentation", "Journal", "Nodes", "Program", "Cluster", "Store", "HTTP", "Log"]),
        module(
            "CoordinatorServe", path: "Sources/Coordinator/Serve",
            [
                "Nodes", "Route", "Records", "Playback", "Presentation", "Media", "Store", "Buckets", "HTTP", "Auth", "Cluster",
                "Config",
                "Program",
                "Redis", "CLinux", "Log",
            ],
            resources: [.copy("Web")]),
        program("Coordinator", path: "Sources/Coordinator/Main", ["CoordinatorServe", "Program"]),

        // The load generator, which is also the demo's publisher.
        program("EdgeBench", path: "bench/EdgeBench", ["SampleMedia", "MediaPlane", "SDP", "HTTP", "CLinux", "Log"]),
        // The cheapest sender of the same traffic, to measure against.
        program("Floor", path: "bench/Floor", ["SampleMedia", "MediaPlane", "SDP", "HTTP", "COpenSSL", "CLinux"]),
        // Films, cut into packets, for both.
        module("SampleMedia", path: "bench/SampleMedia", ["SDP", "CAVFormat"]),

        // How long a month's manifest takes.
        program(
            "PlaybackBench", path: "bench/PlaybackBench",
            ["HTTP", "Nodes", "Playback", "Records", "Record", "Store", "Presentation", "Media", "Program"]),

        // Threads for tests that block.
        .target(name: "TestThreads", dependencies: ["CMutexTrace"], path: "Tests/TestThreads", swiftSettings: strict),
        // Shows ThreadSanitizer the contended locks; empty otherwise.
        .target(name: "CMutexTrace", path: "Tests/CMutexTrace"),
        tests(of: "Log"),
        tests(of: "Config", ["Log"]),
        tests(of: "SDP", resources: [.copy("Offers")]),
        tests(of: "HTTP", ["CMicrohttpd"]),
        // Synthetic media and box checks, for tests only.
        .target(name: "MediaFixtures", dependencies: ["Media"], path: "Tests/MediaFixtures", swiftSettings: strict),
        tests(of: "Media", ["TestThreads", "MediaFixtures"]),
        // Damaged input for every parser, as long as one likes (make fuzz).
        .testTarget(
            name: "FuzzTests", dependencies: ["MediaPlane", "SDP", "HTTP", "Media", "MediaFixtures"], path: "Tests/Fuzz",
            resources: [.copy("Corpus")], swiftSettings: strict),
        tests(of: "Store", ["MediaFixtures"]),
        tests(of: "Buckets", ["Store", "HTTP", "Config", "TestThreads"], resources: [.copy("Vectors")]),
        // Puts the stores at the disposal of tests that run real servers.
        program("StoreProbe", path: "Tests/StoreProbe", ["Buckets", "Store", "HTTP", "Config"]),
        // Beside them the tests in Python that break a whole cluster.
        tests(of: "Cluster", excluding: ["Lab"]),
        // A redis-server of the tests' own.
        .target(name: "RedisFixtures", dependencies: ["Redis"], path: "Tests/RedisFixtures", swiftSettings: strict),
        // A PostgreSQL server of the tests' own.
        .target(
            name: "PostgresFixtures", dependencies: ["CPostgreSQL", "RedisFixtures"], path: "Tests/PostgresFixtures",
            swiftSettings: strict),
        tests(of: "Redis", ["TestThreads", "Log", "RedisFixtures"]),
        tests(of: "Auth", ["COpenSSL"]),
        // Starts both programs, which are built with all tests.
        tests(
            of: "Program",
            ["TestThreads", "MediaFixtures", "Presentation", "HTTP", "Store", "Auth", "Config", "ConfigFixtures", "CLinux"]),
        // Reading configurations and the samples that ship.
        .target(name: "ConfigFixtures", dependencies: ["Config"], path: "Tests/ConfigFixtures", swiftSettings: strict),
        // OpenSSL's retransmission clock: the tests' own gettimeofday runs it on virtual time.
        // Counts allocations for the packet path's test; empty under a sanitizer.
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        tests(
            of: "MediaPlane", ["TestThreads", "COpenSSL", "CSRTP", "CLinux", "CAllocationCounter"],
            exporting: ["gettimeofday", "malloc", "calloc", "realloc"]),
        tests(of: "Streams", ["SDP", "MediaPlane", "Cluster"]),
        tests(of: "Cascade", ["Streams", "SDP"]),
        tests(of: "EdgeBench", ["SampleMedia", "MediaPlane", "SDP"]),
        // A store that fails as told, and journals for it.
        .target(
            name: "StoreFixtures", dependencies: ["Store", "Journal"], path: "Tests/StoreFixtures", swiftSettings: strict),
        tests(
            of: "Record", ["Journal", "StoreFixtures", "TestThreads", "Media", "Store", "MediaPlane", "MediaFixtures", "HTTP"]),
        tests(of: "State", ["TestThreads", "Cluster", "Redis", "RedisFixtures"]),
        tests(
            of: "EdgeServe",
            [
                "HTTP", "Config", "ConfigFixtures", "EdgeFixtures", "SDP", "Streams", "Cascade", "Cluster", "MediaPlane",
                "Record",
                "Store", "Auth", "Program",
            ]),
        // The HTTP side of an edge, as tests set it.
        .target(name: "EdgeFixtures", dependencies: ["HTTP", "Cluster"], path: "Tests/EdgeFixtures", swiftSettings: strict),
        tests(of: "Nodes", ["TestThreads", "Cluster", "HTTP", "Redis", "RedisFixtures", "EdgeFixtures"]),
        tests(of: "Route", ["Nodes", "Cluster", "EdgeFixtures"]),
        tests(
            of: "Records",
            [
                "Record", "Journal", "Store", "StoreFixtures", "Presentation", "Nodes", "Cluster", "HTTP", "EdgeFixtures",
                "PostgresFixtures",
            ]),
        tests(
            of: "Playback",
            ["TestThreads", "Nodes", "Records", "Presentation", "Media", "Store", "StoreFixtures", "HTTP", "EdgeFixtures"]),
        tests(of: "Presentation", ["EdgeFixtures", "Media", "MediaFixtures"]),
        tests(
            of: "CoordinatorServe",
            [
                "TestThreads", "Nodes", "Records", "HTTP", "Cluster", "Config", "ConfigFixtures", "Auth", "Redis", "EdgeFixtures",
                "RedisFixtures", "PostgresFixtures", "Store", "StoreFixtures",
            ]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
