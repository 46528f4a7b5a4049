import Auth
import Cluster
import Foundation
import HTTP
import Media
import Nodes
import Records
import Redis

/// The program about itself: health, metrics, version, clock. Open to everyone, for they are asked by machines.
struct SystemRoutes: Sendable {
    let directory: NodeDirectory
    let index: RecordingIndex
    let sync: RecordingSync
    let requests: RequestMetrics
    let registry: RedisRegistry?

    private struct Info: Encodable {
        let name = "coordinator"
        let version = CoordinatorVersion.text
        let features: [String]
    }

    func add(to router: inout GuardedRouter, features: [String]) {
        router.open("/healthz", RouteDescription("Whether the program works", tag: "system")) { _ in
            do {
                _ = try await index.counts()
            } catch {
                throw HTTPError(.serviceUnavailable, "the recording index can't be read")
            }
            return .text("ok")
        }
        router.open("/metrics", RouteDescription("Metrics for Prometheus", tag: "system")) { _ in
            .text(try await metrics(), contentType: "text/plain; version=0.0.4; charset=utf-8")
        }
        router.open("/api/info", RouteDescription("Name, version and features", tag: "system")) { _ in
            try .json(Info(features: features))
        }
        router.open("/api/time", RouteDescription("The time, for DASH players (xs:dateTime)", tag: "system")) { _ in
            let us = Int64(Date().timeIntervalSince1970 * 1e3) * 1_000
            return .text(ISO8601.dateTime(microseconds: us), headers: ["Cache-Control": "no-store"])
        }
    }

    private func metrics() async throws -> String {
        var text = MetricsText(prefix: "tributary_coordinator")
        let view = await directory.view()
        for status in ["running", "draining", "lost"] {
            text.gauge("nodes", "Nodes by state.", view.nodes.count { $0.status.rawValue == status }, ["status": status])
        }
        let streams = view.mergedStreams().filter { !$0.isLost }
        text.gauge("streams", "Streams on nodes that answer.", streams.count)
        for node in view.reachable {
            let load = node.record.load
            text.gauge("node_cpu_ratio", "CPU of a node, 0 to 1.", load.cpu, ["node": node.alias])
            text.gauge("node_publishers", "Publishers on a node.", node.publisherCount, ["node": node.alias])
            text.gauge("node_viewers", "Viewers on a node.", node.viewerCount, ["node": node.alias])
            text.gauge(
                "node_egress_bits_per_second", "Media a node sends.", Int(load.egressBitsPerSecond), ["node": node.alias])
        }
        if let registry {
            text.gauge(
                "redis_connected", "1 while Redis answers; while it doesn't, nodes are shown as they were last.",
                registry.status == .ready ? 1 : 0)
        }
        let counts = try await index.counts()
        text.gauge("recordings", "Recordings in the index.", counts.all)
        text.gauge("recordings_active", "Recordings that were growing when last heard of.", counts.active)
        for (alias, status) in await sync.status().sorted(by: { $0.key < $1.key }) {
            text.counter(
                "sync_failures_total", "Rounds of reading a node's recordings that failed.", status.failures, ["node": alias])
            text.counter("sync_rows_total", "Rows read from a node's recordings.", status.rows, ["node": alias])
        }
        return text.text + requests.prometheus(prefix: "tributary_coordinator")
    }
}

/// The version all answers name.
enum CoordinatorVersion {
    static let text = "0.1.0"
}

/// Lines of the Prometheus text format; a name's help and type stand before its first sample.
struct MetricsText {
    let prefix: String
    private var names: [String] = []
    private var samples: [String: [String]] = [:]
    private var heads: [String: String] = [:]

    init(prefix: String) { self.prefix = prefix }

    mutating func gauge(_ name: String, _ help: String, _ value: some Numeric, _ labels: [String: String] = [:]) {
        add(name, help, "gauge", "\(value)", labels)
    }

    mutating func counter(_ name: String, _ help: String, _ value: Int, _ labels: [String: String] = [:]) {
        add(name, help, "counter", "\(value)", labels)
    }

    private mutating func add(_ name: String, _ help: String, _ type: String, _ value: String, _ labels: [String: String]) {
        let full = "\(prefix)_\(name)"
        if heads[full] == nil {
            names.append(full)
            heads[full] = "# HELP \(full) \(help)\n# TYPE \(full) \(type)\n"
        }
        let list = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
        samples[full, default: []].append("\(full)\(list.isEmpty ? "" : "{\(list)}") \(value)\n")
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    /// All of it, in the order names were first used.
    var text: String { names.map { (heads[$0] ?? "") + (samples[$0] ?? []).joined() }.joined() }
}
