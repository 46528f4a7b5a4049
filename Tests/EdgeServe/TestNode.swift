import Config
import Foundation
import HTTP
import SDP

@testable import EdgeServe

/// A whole node on loopback with free ports and its own folder, and a client for it.
struct TestNode {
    let services: EdgeServices
    let client = HTTPClient()
    let folder: String

    private init(_ toml: String) async throws {
        folder = NSTemporaryDirectory() + "edge-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let environment = [
            "EDGE_HTTP_LISTEN": "127.0.0.1:0", "EDGE_WEBRTC_ICE_UDP_ADDRS": "127.0.0.1", "EDGE_WEBRTC_LOOPS": "1",
            "EDGE_NODE_ALIAS": "test", "EDGE_RECORDER_STORAGE_ROOT": folder + "/storage",
        ]
        let config = try ConfigLoader.load(
            EdgeConfig.self, text: Array(toml.utf8), file: "test.toml", environmentPrefix: "EDGE", environment: environment,
            checking: .files)
        services = try await EdgeServices(config)
        try await services.start()
    }

    /// Runs a test body on a node and stops the node after it, whatever happens.
    static func with(_ toml: String = "", _ body: (TestNode) async throws -> Void) async throws {
        let node = try await TestNode(toml)
        var failure: (any Error)?
        do { try await body(node) } catch { failure = error }
        await node.client.shutdown()
        await node.services.stop()
        try? FileManager.default.removeItem(atPath: node.folder)
        if let failure { throw failure }
    }

    /// An answer with its body read.
    struct Answer {
        let status: Int
        let headers: HTTPHeaders
        let body: String
    }

    func send(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:], body: String? = nil
    ) async throws -> Answer {
        let request = HTTPClientRequest(
            method, services.url + path, headers: headers, body: body.map { .bytes(Array($0.utf8)) } ?? .none)
        let response = try await client.send(request)
        let bytes = try await response.collect()
        return Answer(
            status: response.status.rawValue, headers: response.headers, body: String(decoding: bytes, as: UTF8.self))
    }

    func post(_ path: String, sdp: String, token: String? = nil, type: String = "application/sdp") async throws -> Answer {
        var headers: HTTPHeaders = ["Content-Type": type]
        if let token { headers["Authorization"] = "Bearer \(token)" }
        return try await send(.post, path, headers: headers, body: sdp)
    }
}

enum TestOffer {
    static func local() -> LocalTransport {
        LocalTransport(
            ice: .random(),
            fingerprint: Fingerprint(algorithm: "sha-256", bytes: [UInt8](repeating: 7, count: 32)),
            candidates: [])
    }

    static func publish(_ codecs: [Codec] = [.opus, .h264], _ local: LocalTransport = local()) -> String {
        PublishOffer(codecs: codecs) { .random(in: 1 ... .max) }.sdp(local: local)
    }

    static func subscribe(_ codecs: [Codec] = [.opus, .h264]) -> String { SubscribeOffer(codecs: codecs).sdp(local: local()) }
}
