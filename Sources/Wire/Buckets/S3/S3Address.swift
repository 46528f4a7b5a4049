import Config
import HTTP
import Store

/// Where a bucket's objects are: in the path, `https://s3…/bucket/key`, or in the host's name, `https://bucket.s3…/key`.
struct S3Address: Sendable, Equatable {
    private let endpoint: Endpoint
    private let bucketPath: String

    /// - Parameters:
    ///   - endpoint: the configured one; nil for Amazon's of the region.
    ///   - isVirtualHostStyle: wished for; a bucket whose name has dots or capitals, or a numeric host, has its bucket in the path
    ///     anyway, since neither certificate nor name would fit.
    init(bucket: String, endpoint: Endpoint?, region: String, isVirtualHostStyle: Bool) throws(StoreError) {
        guard let base = endpoint ?? Self.amazon(region) else {
            throw .denied(reason: "the region can't be one: no host has its name")
        }
        let isLabel =
            (3...63).contains(bucket.utf8.count)
            && bucket.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D }
            && !bucket.hasPrefix("-") && !bucket.hasSuffix("-")
        let isInHost = isVirtualHostStyle && isLabel && !base.isNumeric
        self.endpoint = isInHost ? base.sub(bucket) : base
        bucketPath = base.prefix + (isInHost ? "" : "/" + PercentCoding.encode(bucket))
    }

    private static func amazon(_ region: String) -> Endpoint? {
        Endpoint("https://s3.\(region).\(region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com")")
    }

    /// The region in the name of one of Amazon's hosts, such as `s3.eu-west-1.amazonaws.com`.
    static func region(of endpoint: Endpoint) -> String? {
        let labels = endpoint.host.split(separator: ".")
        guard let end = labels.firstIndex(of: "amazonaws"), end >= 1, labels[..<end].contains(where: { $0.hasPrefix("s3") })
        else {
            return nil
        }
        let label = String(labels[end - 1])
        if label.hasPrefix("s3-") { return String(label.dropFirst(3)) }
        return label.hasPrefix("s3") ? nil : label
    }

    /// As `Host` has it.
    var host: String { endpoint.authority }

    /// The path of an object, encoded once as it is signed and sent; of the bucket for an empty key.
    func path(_ key: String) -> String {
        if key.isEmpty { return bucketPath.isEmpty ? "/" : bucketPath }
        return bucketPath + "/" + PercentCoding.encode(key, keepSlash: true)
    }

    /// A whole address; `query` is encoded.
    func url(_ key: String, query: String) -> String {
        endpoint.origin + path(key) + (query.isEmpty ? "" : "?" + query)
    }
}
