import HTTP

/// Where a bucket of OSS is, and where its objects are in it.
struct OSSAddress: Sendable, Equatable {
    /// Where an address names the bucket.
    enum Style: Sendable {
        /// In the host's name, as Alibaba's own hosts want it: `https://bucket.oss-cn-hangzhou.aliyuncs.com/key`.
        case host
        /// In the path, which hosts without names want and some stores of one's own take: `https://10.0.0.1/bucket/key`.
        case path
        /// Nowhere: the host is the bucket's own, `https://media.example.com/key`.
        case bare
    }

    let bucket: String
    private let endpoint: Endpoint
    private let bucketPath: String

    init(bucket: String, endpoint: Endpoint, style: Style) {
        self.bucket = bucket
        self.endpoint = style == .host ? endpoint.sub(bucket) : endpoint
        bucketPath = endpoint.prefix + (style == .path ? "/" + PercentCoding.encode(bucket) : "")
    }

    /// The style to begin with: what the endpoint's name shows. Custom domains don't show whether they are a bucket's or a store's.
    static func style(bucket: String, _ endpoint: Endpoint) -> Style {
        if endpoint.host.hasPrefix(bucket + ".") { return .bare }
        return isAlibabas(endpoint) && isLabel(bucket) ? .host : .path
    }

    /// The bucket may stand before the endpoint's name.
    static func canBeInHost(bucket: String, _ endpoint: Endpoint) -> Bool { isLabel(bucket) && !endpoint.isNumeric }

    /// One of Alibaba Cloud's hosts.
    static func isAlibabas(_ endpoint: Endpoint) -> Bool {
        [".aliyuncs.com", ".aliyuncs.com.cn"].contains { endpoint.host.hasSuffix($0) }
    }

    /// OSS's rule for buckets' names.
    private static func isLabel(_ bucket: String) -> Bool {
        (3...63).contains(bucket.utf8.count)
            && bucket.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D }
            && !bucket.hasPrefix("-") && !bucket.hasSuffix("-")
    }

    /// The region in the name of one of Alibaba's hosts, such as `oss-cn-hangzhou-internal.aliyuncs.com` or
    /// `cn-hangzhou.oss.aliyuncs.com`; nil for hosts that serve all regions, and for others.
    static func region(of endpoint: Endpoint) -> String? {
        guard isAlibabas(endpoint) else { return nil }
        let labels = endpoint.host.split(separator: ".").map(String.init)
        if let at = labels.firstIndex(where: { $0 == "oss" || $0 == "oss-data-acc" }) {
            return at > 0 ? region(configured: labels[at - 1]) : nil
        }
        // Such as `vpc100-oss-cn-hangzhou` in old networks.
        guard let label = labels.first(where: { $0.hasPrefix("oss-") || $0.contains("-oss-") }),
            let start = label.firstRange(of: "oss-")?.lowerBound
        else { return nil }
        let name = region(configured: String(label[start...]))
        return name.hasPrefix("accelerate") ? nil : name
    }

    /// The region as it is signed: `cn-hangzhou`, also where it is written `oss-cn-hangzhou`.
    static func region(configured name: String) -> String {
        var name = name
        if name.hasPrefix("oss-") { name = String(name.dropFirst(4)) }
        if name.hasSuffix("-internal") { name = String(name.dropLast(9)) }
        return name
    }

    /// What is signed instead of the path; `key` is empty for the bucket.
    func resource(_ key: String) -> String { "/\(bucket)/\(key)" }

    /// A whole address; `query` is encoded.
    func url(_ key: String, query: String) -> String {
        "\(endpoint.origin)\(bucketPath)/\(PercentCoding.encode(key, keepSlash: true))\(query.isEmpty ? "" : "?" + query)"
    }
}
