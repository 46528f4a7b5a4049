import Auth
import Cluster
import HTTP
import Program
import Record
import Store
import Streams

/// `/api/record` and `/api/recordings`: starting, stopping and listing recordings (live777's shapes).
struct RecordRoutes {
    let registry: StreamRegistry
    let recorder: Recorder
    let following: RecordingFollower
    let gate: Gate
    let isEnabled: Bool

    func add(to router: inout Router) {
        guard isEnabled else { return addRefusals(to: &router) }
        addSwitch(to: &router)
        addIndex(to: &router)
        addDetail(to: &router)
    }

    /// live777's answer of a node that does not record.
    private func addRefusals(to router: inout Router) {
        let description = RouteDescription(
            "Recording is turned off", tag: "recordings", responses: [RouteResponse(.notImplemented, "recorder.enabled is false")]
        )
        for pattern in ["/api/record/{stream}", "/api/recordings", "/api/recordings/{id}"] {
            for method in [HTTPMethod.get, .post, .patch, .delete] {
                router.on(method, pattern, description) { request in
                    try gate.check(request, .browse)
                    throw HTTPError(.notImplemented, "Recorder feature not enabled")
                }
            }
        }
    }

    // MARK: One stream

    /// live777's `recording`, and what there is to know besides.
    private struct Status: Encodable {
        let info: RecordingInfo?
        let uploads: ShipStatus?

        enum CodingKeys: String, CodingKey {
            case recording, state
            case uploads = "spool"
        }

        func encode(to encoder: any Encoder) throws {
            var fields = encoder.container(keyedBy: CodingKeys.self)
            try fields.encode(info != nil, forKey: .recording)
            try fields.encode(RecordingState.stopped, forKey: .state)
            try fields.encodeIfPresent(uploads, forKey: .uploads)
            try info?.encode(to: encoder)
        }
    }

    private func addSwitch(to router: inout Router) {
        let pattern = "/api/record/{stream}"
        let start = RouteDescription(
            "Record a stream", tag: "recordings", requestType: "application/json",
            responses: [
                RouteResponse(.ok, "Where it is recorded to", contentType: "application/json"),
                RouteResponse(.badRequest, "base_dir cannot be a directory, or max_recording_seconds is out of range"),
                RouteResponse(.notFound, "No such stream"), RouteResponse(.conflict, "Recorded elsewhere already"),
                RouteResponse(.insufficientStorage, "Too little space"),
            ])
        router.post(pattern, start) { request in
            let name = try request.streamName()
            try gate.check(request, .administrate(stream: name))
            let order = try Self.order(try await request.body.bytes())
            guard let key = await registry.key(of: name) else { throw HTTPError(StreamError.streamNotFound) }
            let info = try await Self.recording { () throws(RecordError) in
                try await recorder.start(stream: name, key: key, baseDirectory: order.directory, secondsMax: order.secondsMax)
            }
            await following.update()
            return try .json(info)
        }
        router.get(pattern, RouteDescription("Whether a stream is being recorded", tag: "recordings")) { request in
            let name = try request.streamName()
            try gate.check(request, .observe(stream: name))
            let info = recorder.status(stream: name)
            if info == nil, await registry.key(of: name) == nil { throw HTTPError(StreamError.streamNotFound) }
            return try .json(Status(info: info, uploads: recorder.shipStatus(stream: name)))
        }
        router.delete(pattern, RouteDescription("Stop recording a stream", tag: "recordings")) { request in
            let name = try request.streamName()
            try gate.check(request, .administrate(stream: name))
            let wasRecording = await recorder.stop(stream: name)
            // Stopping twice is no mistake, stopping what was never there is.
            if !wasRecording, await registry.key(of: name) == nil { throw HTTPError(StreamError.streamNotFound) }
            await following.update()
            return HTTPResponse(.ok)
        }
    }

    /// The body, which may be missing, empty or `{}`.
    private static func order(_ body: [UInt8]) throws(HTTPError) -> (directory: ObjectKey?, secondsMax: Int?) {
        guard !body.isEmpty else { return (nil, nil) }
        let order: RecordingOrder
        do throws(ClusterJSONError) {
            order = try ClusterJSON.decode(RecordingOrder.self, from: body)
        } catch {
            let expected = #"{"base_dir": "…", "max_recording_seconds": …}, the latter a whole number"#
            throw HTTPError(.badRequest, "the body is not \(expected): \(error)")
        }
        guard RecordingOrder.accepts(seconds: order.secondsMax ?? 0) else {
            let range = RecordingOrder.secondsRange
            throw HTTPError(
                .badRequest, "max_recording_seconds is neither 0 nor from \(range.lowerBound) to \(range.upperBound)")
        }
        guard let text = order.baseDirectory, !text.isEmpty else { return (nil, order.secondsMax) }
        do throws(StoreError) {
            return (try ObjectKey(text), order.secondsMax)
        } catch {
            throw HTTPError(error, about: "base_dir")
        }
    }

    // MARK: The index

    private struct Reference: Decodable {
        let stream: String
        let record: String
    }

    private struct References: Decodable {
        let records: [Reference]
    }

    private func addIndex(to router: inout Router) {
        let pattern = "/api/recordings"
        let list = RouteDescription(
            "Recordings that changed", tag: "recordings",
            parameters: [
                .query("limit", "At most so many, 100 when not given", kind: .integer),
                .query("since_ts", "Only those changed after this, Unix microseconds", kind: .integer),
                .query("stream", "Only those of this stream"),
            ])
        router.get(pattern, list) { request in
            try gate.check(request, .browse)
            let limit = try Self.number(request, "limit", in: 0...1000) ?? 0
            let since = try Self.number(request, "since_ts", in: 0...Int64.max) ?? 0
            let stream = request.query.first("stream")
            if let stream, !StreamName.isValid(stream) { throw HTTPError(StreamError.invalidName) }
            return try StreamRoutes.json(
                recorder.recordings(sinceUs: since, stream: stream, limit: limit == 0 ? 100 : Int(limit)))
        }
        router.patch(
            pattern, RouteDescription("Acknowledge recordings", tag: "recordings", requestType: "application/json")
        ) { request in
            try gate.check(request, .cluster)
            let records = try await Self.references(request)
            let count = try await Self.recording { () throws(RecordError) in try await recorder.acknowledge(records) }
            return try .json(["acked": count])
        }
        router.delete(
            pattern, RouteDescription("Forget acknowledged recordings", tag: "recordings", requestType: "application/json")
        ) { request in
            try gate.check(request, .cluster)
            let records = try await Self.references(request)
            let count = try await Self.recording { () throws(RecordError) in try await recorder.forget(records) }
            return try .json(["deleted": count])
        }
    }

    private func addDetail(to router: inout Router) {
        let pattern = "/api/recordings/{id}"
        let description = RouteDescription(
            "A recording with all its segments", tag: "recordings",
            parameters: [.query("after", "`next` of an earlier answer: only what has come since, when that can be told")])
        router.get(pattern, description) { request in
            try gate.check(request, .browse)
            let id = request.parameter("id")
            let after = request.query.first("after")
            return try StreamRoutes.json(
                try await Self.recording { () throws(RecordError) in try await recorder.detail(id: id, after: after) })
        }
        router.delete(pattern, RouteDescription("Delete a recording and its media", tag: "recordings")) { request in
            try gate.check(request, .cluster)
            let id = request.parameter("id")
            try await Self.recording { () throws(RecordError) in try await recorder.delete(id: id) }
            return HTTPResponse(.noContent)
        }
    }

    // MARK: Reading and answering

    private static func references(_ request: HTTPRequest) async throws -> [(stream: String, record: String)] {
        try await request.body.json(References.self).records.map { ($0.stream, $0.record) }
    }

    private static func number(_ request: HTTPRequest, _ name: String, in range: ClosedRange<Int64>) throws(HTTPError) -> Int64? {
        guard let text = request.query.first(name) else { return nil }
        guard let value = Int64(text), range.contains(value) else {
            throw HTTPError(.badRequest, "\(name) is not a number that fits")
        }
        return value
    }

    private static func recording<T>(_ body: () async throws(RecordError) -> T) async throws(HTTPError) -> T {
        do throws(RecordError) { return try await body() } catch { throw HTTPError(error) }
    }
}

extension HTTPError {
    init(_ error: RecordError) {
        switch error {
        case .notFound: self.init(.notFound, "no such recording")
        case .directoryInUse(let other): self.init(.conflict, "the directory is used by recordings of \(other)")
        case .notADirectory(let object): self.init(.conflict, "\(object) is a recorded object and can hold nothing")
        case .directoryTooLong(let bytesMax):
            self.init(.badRequest, "base_dir is too long: with the day in it, it may have at most \(bytesMax) bytes")
        case .recordingElsewhere(let directory): self.init(.conflict, "the stream is being recorded to \(directory)")
        case .active: self.init(.conflict, "the recording is still being written")
        case .noSpace(let free, let need): self.init(.insufficientStorage, "\(free) bytes are free, \(need) are needed")
        case .storage(let error): self.init(error, about: "the storage")
        case .plane, .stopped:
            self.init(.serviceUnavailable, "the node cannot record now", headers: ["Retry-After": "5"])
        }
    }
}
