import Auth
import HTTP

/// What every program answers about itself, to everyone: health, metrics, who it is, and what it can be asked. Metrics alone may ask for a
/// credential.
public struct SystemRoutes: Sendable {
    private let program: ProgramDescription
    private let requests: RequestMetrics
    private let metricsGate: Gate?
    private let process: ProcessMetrics
    private let health: @Sendable () async throws -> Void
    private let info: @Sendable () async throws -> any Encodable
    private let metrics: @Sendable (inout MetricText) async throws -> Void

    /// - Parameters:
    ///   - program: whose routes these are.
    ///   - alias: the node's, for the metrics; nil for a program without one.
    ///   - requests: counts the requests of all routes.
    ///   - metricsGate: lets those have the metrics who may read lists; nil: everyone has them.
    ///   - health: throws an ``HTTPError`` with 503 when the program can't do its work.
    ///   - info: what `/api/info` tells.
    ///   - metrics: adds the program's own metrics.
    public init(
        _ program: ProgramDescription, alias: String? = nil, requests: RequestMetrics, metricsGate: Gate? = nil,
        health: @escaping @Sendable () async throws -> Void = {}, info: @escaping @Sendable () async throws -> any Encodable,
        metrics: @escaping @Sendable (inout MetricText) async throws -> Void
    ) {
        self.program = program
        self.requests = requests
        self.metricsGate = metricsGate
        process = ProcessMetrics(prefix: program.metricPrefix, alias: alias, startedAt: WallClock.seconds())
        self.health = health
        self.info = info
        self.metrics = metrics
    }

    /// Adds the routes, and last the document about all that the router has by then.
    public func add(to router: inout Router) {
        let noStore: HTTPHeaders = ["Cache-Control": "no-store"]
        router.get("/healthz", RouteDescription("ok while the program works", tag: "system")) { _ in
            try await health()
            return .text("ok", headers: noStore)
        }
        router.get("/metrics", RouteDescription("Metrics for Prometheus", tag: "system")) { request in
            try metricsGate?.check(request, .browse)
            var text = MetricText()
            process.add(to: &text)
            try await metrics(&text)
            return .text(
                text.text + requests.prometheus(prefix: program.metricPrefix),
                contentType: "text/plain; version=0.0.4; charset=utf-8", headers: noStore)
        }
        router.get("/api/info", RouteDescription("Who this is", tag: "system")) { _ in try .json(await info()) }
        addDocument(to: &router)
    }

    /// The document describes its own route too, so that is there before it is written.
    private func addDocument(to router: inout Router) {
        let path = "/api/openapi.json"
        let description = RouteDescription("This document", tag: "system")
        router.get(path, description) { _ in HTTPResponse(.noContent) }
        let document = router.openAPI(title: program.name, version: ProgramVersion.current)
        router.get(path, description) { _ in .text(document, contentType: "application/json") }
    }
}

/// What the kernel says of the process.
struct ProcessMetrics: Sendable {
    let prefix: String
    let alias: String?
    /// Unix seconds.
    let startedAt: Int64

    func add(to text: inout MetricText) {
        var labels: KeyValuePairs<String, String> = ["version": ProgramVersion.current]
        if let alias { labels = ["version": ProgramVersion.current, "alias": alias] }
        text.add(.gauge("\(prefix)_info", "1, with what tells the program from others as labels."), [MetricSample(labels, 1)])
        text.add(.gauge("\(prefix)_start_time_seconds", "When the program started, Unix seconds."), Double(startedAt))
        text.add(.counter("\(prefix)_cpu_seconds_total", "CPU time of the process."), Double(ProcessUsage.cpuNs()) / 1e9)
        text.add(
            .gauge("\(prefix)_resident_memory_bytes", "Resident memory of the process."), Double(ProcessUsage.residentBytes()))
        text.add(
            .gauge("\(prefix)_open_descriptors", "Open file descriptors of the process."),
            Double(ProcessUsage.openDescriptors()))
    }
}
