/// How the records of streams are read: unknown fields are passed over, absent ones and nulls get their default.
extension StreamRecord: JSONReadable {
    /// Only `id` must be there, and be a valid stream name.
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        self.init(id: "", createdAt: 0)
        try cursor.object { name, cursor throws(ClusterJSONError) in
            switch name {
            case "version": try cursor.read(&version)
            case "id": id = try cursor.string()
            case "createdAt": try cursor.read(&createdAt)
            case "publish": try cursor.read(&publish)
            case "subscribe": try cursor.read(&subscribe)
            case "codecs": try cursor.read(&codecs)
            case "provisioned": try cursor.read(&provisioned)
            case "onDemand": try cursor.read(&onDemand)
            case "stats": try cursor.read(&stats)
            case "statsScope": try cursor.read(&statsScope)
            case "recording": try cursor.read(&recording)
            case "recordingBaseDir": try cursor.read(&recordingBaseDir)
            case "recordingMaxSeconds": try cursor.read(&recordingMaxSeconds)
            case "fence": try cursor.read(&fence)
            case "upstream": try cursor.read(&upstream)
            case "node": try cursor.read(&node)
            default: try cursor.skip()
            }
        }
        guard StreamName.isValid(id) else { throw .malformed(path: "id", reason: "missing, or not a stream name") }
    }
}

extension StreamSide: JSONReadable {
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        self.init()
        try cursor.object { name, cursor throws(ClusterJSONError) in
            switch name {
            case "leaveAt": try cursor.read(&leaveAt)
            case "sessions": try cursor.read(&sessions)
            default: try cursor.skip()
            }
        }
    }
}

extension SessionRecord: JSONReadable {
    /// Only `id` must be there.
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        self.init(id: "", createdAt: 0)
        var hasID = false
        try cursor.object { name, cursor throws(ClusterJSONError) in
            switch name {
            case "id": (id, hasID) = (try cursor.string(), true)
            case "createdAt": try cursor.read(&createdAt)
            case "leaveAt": try cursor.read(&leaveAt)
            case "state": try cursor.read(&state)
            case "cascade": try cursor.read(&cascade)
            case "hasDataChannel": try cursor.read(&hasDataChannel)
            case "stats": try cursor.read(&stats)
            case "layers": try cursor.read(&layers)
            case "layer": try cursor.read(&layer)
            case "availableBitrate": try cursor.read(&availableBitrate)
            default: try cursor.skip()
            }
        }
        guard hasID else { throw .malformed(path: "id", reason: "missing") }
    }
}

extension SessionState: JSONReadable {
    /// A word of a later release counts as `new`.
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) { self = SessionState(rawValue: try cursor.string()) ?? .new }
}

extension CascadeRecord: JSONReadable {
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        self.init()
        try cursor.object { name, cursor throws(ClusterJSONError) in
            switch CodingKeys(rawValue: name) {
            case .sourceURL: try cursor.read(&sourceURL)
            case .targetURL: try cursor.read(&targetURL)
            case .sessionURL: try cursor.read(&sessionURL)
            case nil: try cursor.skip()
            }
        }
    }
}

extension LayerRecord: JSONReadable {
    /// Only `rid` must be there.
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        self.init(rid: "")
        var hasRID = false
        try cursor.object { name, cursor throws(ClusterJSONError) in
            switch name {
            case "rid": (rid, hasRID) = (try cursor.string(), true)
            case "active": try cursor.read(&active)
            case "bitrate": try cursor.read(&bitrate)
            case "width": try cursor.read(&width)
            case "height": try cursor.read(&height)
            default: try cursor.skip()
            }
        }
        guard hasRID else { throw .malformed(path: "rid", reason: "missing") }
    }
}

extension CodecRecord: JSONReadable {
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        self.init(kind: "", codec: "")
        try cursor.object { name, cursor throws(ClusterJSONError) in
            switch name {
            case "kind": try cursor.read(&kind)
            case "codec": try cursor.read(&codec)
            case "fmtp": try cursor.read(&fmtp)
            default: try cursor.skip()
            }
        }
    }
}

extension StreamStats: JSONReadable {
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        self.init()
        try cursor.object { name, cursor throws(ClusterJSONError) in
            switch name {
            case "publish": try cursor.read(&publish)
            case "subscribe": try cursor.read(&subscribe)
            default: try cursor.skip()
            }
        }
    }
}

extension TrafficStats: JSONReadable {
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        self.init()
        try cursor.object { name, cursor throws(ClusterJSONError) in
            switch name {
            case "bytes": try cursor.read(&bytes)
            case "packets": try cursor.read(&packets)
            case "bitrate": try cursor.read(&bitrate)
            default: try cursor.skip()
            }
        }
    }
}

extension RecordVersion: JSONReadable {
    /// `"1.0"`, `"1"` or `1`; another major version is refused.
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) {
        let version = cursor.isString() ? RecordVersion(try cursor.string()) : RecordVersion("\(try cursor.integer())")
        guard let version else { throw .malformed(path: "", reason: "not a version") }
        guard version.major == Self.current.major else { throw .unsupportedVersion(version) }
        self = version
    }
}

extension String: JSONReadable {
    init(from cursor: inout JSONCursor) throws(ClusterJSONError) { self = try cursor.string() }
}
