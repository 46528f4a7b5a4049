/// Counts requests and their durations by route, for Prometheus. Give it to a router as the first layer.
public final class RequestMetrics: RouterLayer {
    private struct Key: Hashable {
        let method: String
        let route: String
        let status: Int
    }

    private struct Series {
        var buckets = [UInt64](repeating: 0, count: RequestMetrics.bucketSeconds.count)
        var count: UInt64 = 0
        var sumSeconds = 0.0

        mutating func add(_ seconds: Double) {
            for (index, bound) in RequestMetrics.bucketSeconds.enumerated() where seconds <= bound { buckets[index] &+= 1 }
            count &+= 1
            sumSeconds += seconds
        }
    }

    private struct State {
        var series: [Key: Series] = [:]
        var running = 0
    }

    static let bucketSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30]
    private static let knownMethods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    private let state = Locked(State())

    /// All zero.
    public init() {}

    /// A request has begun.
    public func enter(_ request: HTTPRequest) { state.withLock { $0.running += 1 } }

    /// The duration of a request is the time until its answer is ready, a streamed body not included.
    public func leave(_ request: HTTPRequest, _ response: HTTPResponse, spentNs: UInt64) {
        let seconds = Double(spentNs) / 1e9
        // Labels come from a bounded set, so that a stranger can't grow the table.
        let method = Self.knownMethods.contains(request.method.rawValue) ? request.method.rawValue : "other"
        let key = Key(method: method, route: request.route ?? "none", status: response.status.rawValue)
        state.withLock { state in
            state.running -= 1
            state.series[key, default: Series()].add(seconds)
        }
    }

    /// The metrics in Prometheus text format.
    /// - Parameter prefix: the start of each name, such as `edge`.
    public func prometheus(prefix: String) -> String {
        let (series, running) = state.withLock { ($0.series, $0.running) }
        let name = "\(prefix)_http_request_duration_seconds"
        var out = "# HELP \(prefix)_http_requests_running Requests being answered now.\n"
        out += "# TYPE \(prefix)_http_requests_running gauge\n\(prefix)_http_requests_running \(running)\n"
        out += "# HELP \(name) Time until the answer was ready.\n# TYPE \(name) histogram\n"
        let sorted = series.sorted { ($0.key.route, $0.key.method, $0.key.status) < ($1.key.route, $1.key.method, $1.key.status) }
        for (key, value) in sorted {
            let labels = "method=\"\(key.method)\",route=\"\(key.route)\",status=\"\(key.status)\""
            for (bound, count) in zip(Self.bucketSeconds, value.buckets) {
                out += "\(name)_bucket{\(labels),le=\"\(bound)\"} \(count)\n"
            }
            out += "\(name)_bucket{\(labels),le=\"+Inf\"} \(value.count)\n"
            out += "\(name)_sum{\(labels)} \(value.sumSeconds)\n\(name)_count{\(labels)} \(value.count)\n"
        }
        return out
    }
}
