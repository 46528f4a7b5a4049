/// `[http]`: the same in both programs.
public struct ListenSettings: Sendable, Hashable {
    /// `listen`.
    public var listen: ListenAddress
    /// `cors`: origins other sites' pages may come from; `["*"]` for any, empty for none.
    public var corsOrigins: [String]
    /// `tls_cert`: PEM file with the certificate chain; empty for plain HTTP.
    public var tlsCert: String
    /// `tls_key`: PEM file with the private key; set exactly when `tlsCert` is.
    public var tlsKey: String
    /// `max_body`: bytes of a request body that is read as a whole, such as SDP.
    public var maxBody: Int
    /// `trusted_proxies`: whose `X-Forwarded-For` is believed.
    public var trustedProxies: [IPRange]

    /// Whether it speaks HTTPS.
    public var isTLS: Bool { !tlsCert.isEmpty }

    /// Reads `[http]`; the variable `PORT` changes the port alone, unless the whole address stands in the environment.
    /// - Parameters:
    ///   - root: the whole configuration.
    ///   - port: the program's port when none is set; it listens on 127.0.0.1 then.
    public init(reading root: ConfigSection, port: UInt16) {
        let http = root.section("http")
        let form = "expected host:port, [IPv6]:port or :port"
        let text = http.string("listen", default: "127.0.0.1:\(port)") { ListenAddress($0) == nil ? form : nil }
        listen = ListenAddress(text) ?? ListenAddress(host: "127.0.0.1", port: port)
        if !http.isFromEnvironment("listen"), let variable = root.variable("PORT", for: "http.listen") {
            if let other = UInt16(variable) { listen.port = other } else { http.problem("listen", "expected a port, 0 to 65535") }
        }
        corsOrigins = http.origins("cors")
        tlsCert = http.string("tls_cert")
        tlsKey = http.string("tls_key")
        trustedProxies = http.strings("trusted_proxies") {
            IPRange($0) == nil ? "expected an address or a range such as 10.0.0.0/8" : nil
        }.compactMap(IPRange.init)
        maxBody = http.bytes("max_body", default: 1 << 20, in: 1_024...1 << 30)
        if !tlsCert.isEmpty, tlsKey.isEmpty { http.problem("tls_cert", "needs http.tls_key too") }
        if !tlsKey.isEmpty, tlsCert.isEmpty { http.problem("tls_key", "needs http.tls_cert too") }
    }

    /// The certificate files can be read and the port is free.
    public func check(_ machine: ConfigChecks) {
        if !tlsCert.isEmpty { machine.readable(file: tlsCert, key: "http.tls_cert") }
        if !tlsKey.isEmpty { machine.readable(file: tlsKey, key: "http.tls_key") }
        if listen.port != 0 { machine.listenable(listen, key: "http.listen") }
    }
}

extension ConfigSection {
    /// Whether the value of a key, already asked for, comes from its variable.
    func isFromEnvironment(_ key: String) -> Bool {
        context.environment["\(context.environmentPrefix)_\(full(key).replacing(".", with: "_").uppercased())"]?.isEmpty == false
    }

    /// A variable without the program's prefix that stands for part of `path`; problems of that key then name the variable.
    func variable(_ name: String, for path: String) -> String? {
        guard let text = context.environment[name], !text.isEmpty else { return nil }
        context.remember(path, at: ConfigPlace(file: name, line: nil))
        return text
    }

    /// `true` for any origin, `false` for none, or one origin or a list of them.
    func origins(_ key: String) -> [String] {
        let expected = "true, false or a list of origins such as \"https://example.org\""
        let node = lookUp(key, expected: expected) { text, place in
            switch text {
            case "true", "1": return ConfigNode(value: .bool(true), place: place)
            case "false", "0": return ConfigNode(value: .bool(false), place: place)
            case _ where text.hasPrefix("["): return ConfigNode(json: text, place: place)
            default:
                let parts = text.split(separator: ",").map { ConfigNode(value: .string(String($0)), place: place) }
                return ConfigNode(value: .array(parts), place: place)
            }
        }
        guard let node else { return [] }
        var elements: [ConfigNode] = []
        switch node.value {
        case .bool(let isAny): return isAny ? ["*"] : []
        case .string: elements = [node]
        case .array(let list): elements = list
        default: break
        }
        let texts = elements.compactMap { element in
            if case .string(let text) = element.value, text == "*" || WebURL(text)?.isOrigin == true {
                text
            } else {
                nil as String?
            }
        }
        if texts.count != elements.count || (elements.isEmpty && node.typeName != "a list") {
            problem(key, "expected \(expected)")
        }
        return texts
    }
}
