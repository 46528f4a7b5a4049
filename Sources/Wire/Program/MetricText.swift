/// Prometheus' text format, version 0.0.4. Each metric is added once, with all its samples.
public struct MetricText: Sendable {
    /// What was added so far.
    public private(set) var text = ""

    /// Nothing yet.
    public init() {}

    /// Writes the two comment lines and one line for each sample; a metric without samples is left out.
    public mutating func add(_ metric: Metric, _ samples: [MetricSample]) {
        guard !samples.isEmpty else { return }
        text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.type.rawValue)\n"
        for sample in samples {
            let labels = sample.labels.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
            text += metric.name + (labels.isEmpty ? "" : "{\(labels)}") + " \(Self.number(sample.value))\n"
        }
    }

    /// One sample without labels.
    public mutating func add(_ metric: Metric, _ value: Double) { add(metric, [MetricSample([:], value)]) }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }

    private static func escaped(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n": "\\n"
            default: String(scalar)
            }
        }.joined()
    }
}

/// One value of a metric.
public struct MetricSample {
    let labels: KeyValuePairs<String, String>
    let value: Double

    /// - Parameters:
    ///   - labels: names and values, which may be any text.
    ///   - value: in the metric's unit.
    public init(_ labels: KeyValuePairs<String, String>, _ value: Double) {
        self.labels = labels
        self.value = value
    }
}

/// One metric as it is declared. Counters end in `_total`, units are in the names.
public struct Metric: Sendable, Hashable {
    enum Kind: String, Sendable {
        case counter, gauge
    }

    let name: String
    let type: Kind
    let help: String

    /// A value that only grows, and begins at 0 with the program.
    public static func counter(_ name: String, _ help: String) -> Metric { Metric(name: name, type: .counter, help: help) }

    /// A value as it is now.
    public static func gauge(_ name: String, _ help: String) -> Metric { Metric(name: name, type: .gauge, help: help) }
}
