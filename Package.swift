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

func tests(of name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies, path: "Tests/\(name)",
        resources: resources, swiftSettings: strict)
}

let package = Package(
    name: "Tributary",
    products: [
        .executable(name: "edge-node", targets: ["EdgeNode"]),
        .executable(name: "coordinator", targets: ["Coordinator"]),
        .executable(name: "edge-bench", targets: ["EdgeBench"]),
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
        cLibrary("CJWT", apt: "libjwt-dev"),
        .systemLibrary(name: "CLinux", path: "Sources/CLibraries/CLinux"),
        .target(
            name: "CTomlPlusPlus", path: "Sources/CLibraries/CTomlPlusPlus"),

        // Wire: what both programs speak.
        module("Log", path: "Sources/Wire/Log"),
        module("Config", path: "Sources/Wire/Config", ["CTomlPlusPlus"]),
        module("SDP", path: "Sources/Wire/SDP"),
        module("HTTP", path: "Sources/Wire/HTTP", ["CMicrohttpd", "CCurl", "CWslay", "COpenSSL", "Log"]),
        module("Media", path: "Sources/Wire/Media", ["CAVFormat"]),
        module("Store", path: "Sources/Wire/Store", ["CLinux", "Log"]),
        module("Cluster", path: "Sources/Wire/Cluster"),
        module("Redis", path: "Sources/Wire/Redis", ["CHiredis", "Log"]),
        module("Auth", path: "Sources/Wire/Auth", ["CJWT"]),

        // The edge node.
        module("MediaPlane", path: "Sources/EdgeNode/MediaPlane", ["COpenSSL", "CLinux", "Log"]),
        module("Streams", path: "Sources/EdgeNode/Streams", ["MediaPlane", "SDP", "Cluster", "Log"]),
        module("Record", path: "Sources/EdgeNode/Record", ["MediaPlane", "Media", "Store", "Cluster", "CLinux", "Log"]),
        module("State", path: "Sources/EdgeNode/State", ["Cluster", "Redis", "Log"]),
        module(
            "EdgeServe", path: "Sources/EdgeNode/Serve",
            ["Streams", "Record", "State", "MediaPlane", "Store", "HTTP", "Auth", "Cluster", "Config", "SDP", "Log"]),
        program("EdgeNode", path: "Sources/EdgeNode/Main", ["EdgeServe"]),

        // The coordinator.
        module("Nodes", path: "Sources/Coordinator/Nodes", ["Cluster", "HTTP", "Redis", "Log"]),
        module("Route", path: "Sources/Coordinator/Route", ["Nodes", "Cluster"]),
        module("Records", path: "Sources/Coordinator/Records", ["Nodes", "Cluster", "HTTP", "CSQLite", "Log"]),
        module("Playback", path: "Sources/Coordinator/Playback", ["Records", "Nodes", "Cluster", "Media", "HTTP", "Log"]),
        module(
            "CoordinatorServe", path: "Sources/Coordinator/Serve",
            ["Nodes", "Route", "Records", "Playback", "HTTP", "Auth", "Cluster", "Config", "Log"]),
        program("Coordinator", path: "Sources/Coordinator/Main", ["CoordinatorServe"]),

        // The load generator, which is also the demo's publisher.
        program("EdgeBench", path: "bench/EdgeBench", ["MediaPlane", "SDP", "HTTP", "Media", "CAVFormat", "Log"]),

        tests(of: "Log"),
        tests(of: "Config"),
        tests(of: "SDP"),
        tests(of: "HTTP", ["CMicrohttpd"]),
        tests(of: "Media"),
        tests(of: "Store"),
        tests(of: "Cluster"),
        tests(of: "Redis", ["Log"]),
        tests(of: "Auth"),
        tests(of: "MediaPlane", ["COpenSSL", "CSRTP", "CLinux"]),
        tests(of: "Streams", ["SDP", "MediaPlane", "Cluster"]),
        tests(of: "Record", ["Media", "Store", "MediaPlane"]),
        tests(of: "State", ["Cluster", "Redis"]),
        tests(of: "EdgeServe", ["HTTP", "Config"]),
        tests(of: "Nodes", ["Cluster", "HTTP", "Redis"]),
        tests(of: "Route", ["Nodes", "Cluster"]),
        tests(of: "Records", ["Cluster"]),
        tests(of: "Playback", ["Cluster", "Media"]),
        tests(of: "CoordinatorServe", ["HTTP", "Cluster", "Config"]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
