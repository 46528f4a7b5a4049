import Foundation
import HTTP
import Synchronization

/// A live777 node's HTTP side as its source has it (release 0.9.0): its paths with and without a slash at the end, its types and
/// statuses, its JSON, and the things it is strict about. It moves no media.
package final class Live777Node: Sendable {
    /// A request as it arrived.
    package struct Seen: Sendable {
        package let method: String
        package let path: String
        package let contentType: String?
        package let body: String
    }

    struct State {
        var streams: [String: Stream] = [:]
        var recording: Set<String> = []
        var seen: [Seen] = []
        var nextSession = 0
        var version = 0
        var hasRecorder = true
        var isStuck = false
    }

    struct Stream {
        var publisher: String?
        var viewers: [String] = []
    }

    let token: String
    let state: Mutex<State>
    private let server: HTTPServer
    private let late = Late777()

    /// Listens and answers at once.
    /// - Parameter token: one of its `auth.tokens`.
    package init(token: String, hasRecorder: Bool = true) throws {
        self.token = token
        state = Mutex(State(hasRecorder: hasRecorder))
        var settings = HTTPServerSettings(listen: "127.0.0.1:0")
        settings.stopSeconds = 0
        server = try HTTPServer(settings, router: Self.router(late))
        late.node.withLock { $0 = self }
        try server.start()
    }

    /// Where it answers.
    package var url: String { server.url }

    /// Closes its socket.
    package func stop() async {
        await server.stop()
        late.node.withLock { $0 = nil }
    }

    /// Every request so far that was let in, but event streams and questions for `/api/info`.
    package var seen: [Seen] { state.withLock { $0.seen } }

    /// A stream published at the node itself, under any name that live777 takes.
    package func publish(_ stream: String) {
        state.withLock { state in
            state.streams[stream] = Stream(publisher: "9f3c2f52-1d54-4b0e-8a1f-5a3f1c7f0a11")
            state.version += 1
        }
    }

    /// Answers nothing any more, with its connections open.
    package func setStuck(_ isStuck: Bool) { state.withLock { $0.isStuck = isStuck } }

    // MARK: its JSON

    /// The whole array, as each of its events has it.
    func snapshot(only name: String? = nil) throws -> String {
        let streams = state.withLock { $0.streams }
        let listed = streams.filter { name == nil || $0.key == name }.sorted { $0.key < $1.key }
        let json = try JSONSerialization.data(withJSONObject: listed.map(Self.json), options: [.sortedKeys])
        return String(decoding: json, as: UTF8.self)
    }

    private static func json(_ name: String, _ stream: Stream) -> [String: Any] {
        let traffic: [String: Any] = ["bytes": 125_000, "packets": 120, "bitrate": 1_000_000]
        func session(_ id: String) -> [String: Any] {
            [
                "id": id, "createdAt": 1_795_168_800_000, "leaveAt": 0, "state": "connected", "hasDataChannel": false,
                "stats": traffic,
            ]
        }
        return [
            "id": name, "createdAt": 1_795_168_800_000,
            "publish": ["leaveAt": 0, "sessions": stream.publisher.map { [session($0)] } ?? []],
            "subscribe": [
                "leaveAt": stream.viewers.isEmpty ? 1_795_168_800_000 : 0, "sessions": stream.viewers.map(session),
            ],
            "codecs": stream.publisher == nil ? [] : [["kind": "video", "codec": "H264", "fmtp": "packetization-mode=1"]],
            "provisioned": false, "onDemand": false, "stats": ["publish": traffic, "subscribe": traffic], "statsScope": "node",
        ]
    }

    // MARK: its rules

    func note(_ request: HTTPRequest) async throws -> String {
        let body = String(decoding: try await request.body.bytes(), as: UTF8.self)
        state.withLock {
            $0.seen.append(
                Seen(
                    method: request.method.rawValue, path: request.rawPath, contentType: request.headers["Content-Type"],
                    body: body)
            )
        }
        return body
    }

    func begin(_ request: HTTPRequest, isPublisher: Bool) async throws -> HTTPResponse {
        _ = try await note(request)
        guard request.headers["Content-Type"] == "application/sdp" else {
            return .text("Content-Type must be application/sdp", status: 500)
        }
        let name = request.parameter("stream")
        let id: String? = state.withLock { state in
            if isPublisher, state.streams[name]?.publisher != nil { return nil }
            state.nextSession += 1
            state.version += 1
            let id = "6b1de1c5-7f0c-4d38-9d6a-00000000000\(state.nextSession)"
            if isPublisher {
                state.streams[name, default: Stream()].publisher = id
            } else {
                state.streams[name, default: Stream()].viewers.append(id)
            }
            return id
        }
        guard let id else { return .text("A connection has already been established", status: .conflict) }
        var response = HTTPResponse.text("v=0 live777", status: .created, contentType: "application/sdp")
        response.headers["Location"] = "/session/\(name)/\(id)"
        response.headers["Accept-Patch"] = "application/trickle-ice-sdpfrag"
        response.headers.add("Link", "<stun:stun.l.google.com:19302>; rel=\"ice-server\"")
        return response
    }

    func change(_ request: HTTPRequest) async throws -> HTTPResponse {
        let body = try await note(request)
        guard request.headers["Content-Type"] == "application/trickle-ice-sdpfrag" else {
            return .text("Content-Type", status: 500)
        }
        guard knows(request.parameter("stream")) else { return .text("stream not exists", status: .notFound) }
        // A media section needs its identification; a body without any is dropped.
        let isBroken = body.contains("m=") && !body.contains("a=mid:")
        return isBroken ? .text("mid not found", status: 500) : HTTPResponse(.noContent)
    }

    func end(_ request: HTTPRequest) async throws -> HTTPResponse {
        _ = try await note(request)
        let (name, id) = (request.parameter("stream"), request.parameter("session"))
        guard knows(name) else { return .text("stream not exists", status: .notFound) }
        state.withLock { state in
            state.version += 1
            // Without its publisher the stream is gone, its viewers with it.
            if state.streams[name]?.publisher == id {
                state.streams[name] = nil
            } else {
                state.streams[name]?.viewers.removeAll { $0 == id }
            }
        }
        return HTTPResponse(.noContent)
    }

    func knows(_ stream: String) -> Bool { state.withLock { $0.streams[stream] != nil } }
}

/// The node a router's handlers belong to; it comes to be after the router.
final class Late777: Sendable {
    let node = Mutex<Live777Node?>(nil)

    func get() throws -> Live777Node {
        guard let node = node.withLock({ $0 }) else { throw HTTPError(.serviceUnavailable, "not started") }
        return node
    }
}
