import COpenSSL
import HTTP
import Log
import Synchronization

/// Sends events to a server, and again with growing pauses when it does not take them.
final class WebHook: Sendable {
    private let settings: HookSettings
    private let client = HTTPClient()
    private let retryMs: [Int]
    private let isStopping = Atomic<Bool>(false)
    private let log = Logger("hook")

    /// Pauses before each further attempt.
    static let retryMs = [500, 2_000, 8_000]

    init(_ settings: HookSettings, retryMs: [Int]) {
        self.settings = settings
        self.retryMs = retryMs
    }

    /// True when the server took the event.
    func deliver(_ event: RecordingEvent) async -> Bool {
        let body = event.json
        // The same for every attempt, so that a receiver can tell a repetition.
        let delivery = String(UInt64.random(in: 0 ... .max), radix: 36)
        var problem = ""
        for attempt in 0...retryMs.count {
            let answer = await attemptOnce(body, delivery: delivery)
            if case .taken = answer { return true }
            if case .refused(let reason) = answer {
                problem = reason
                break
            }
            if case .failed(let reason) = answer { problem = reason }
            guard attempt < retryMs.count, !isStopping.load(ordering: .relaxed), !Task.isCancelled else { break }
            let pause = retryMs[attempt]
            try? await Task.sleep(for: .milliseconds(pause / 2 + Int.random(in: 0...max(1, pause / 2))))
        }
        log.warning(
            "a web hook was not delivered",
            ["event": event.event.rawValue, "stream": event.stream, "id": event.id, "error": problem])
        return false
    }

    /// From now on each event is tried once.
    func stopRetrying() { isStopping.store(true, ordering: .relaxed) }

    func shutdown() async { await client.shutdown() }

    private enum Answer {
        case taken
        /// Asking again would not help.
        case refused(String)
        case failed(String)
    }

    private func attemptOnce(_ body: [UInt8], delivery: String) async -> Answer {
        var headers: HTTPHeaders = ["Content-Type": "application/json", "X-Tributary-Delivery": delivery]
        if !settings.secret.isEmpty {
            headers["X-Tributary-Signature"] = "sha256=" + Self.signature(body, key: Array(settings.secret.utf8))
        }
        var request = HTTPClientRequest(.post, settings.url, headers: headers, body: .bytes(body))
        request.totalMs = settings.timeoutMs
        request.connectMs = min(request.connectMs, settings.timeoutMs)
        do throws(HTTPClientError) {
            let response = try await client.send(request)
            let status = response.status.rawValue
            // Read, so that the connection serves the next event; what it says is nobody's business.
            _ = try? await response.collect(limit: 64 << 10)
            switch status {
            case 200..<300: return .taken
            case 408, 425, 429, 500...: return .failed("status \(status)")
            default: return .refused("status \(status)")
            }
        } catch {
            return error == .badURL ? .refused("\(error)") : .failed("\(error)")
        }
    }

    /// HMAC-SHA256 (RFC 2104) in hexadecimal.
    static func signature(_ body: [UInt8], key: [UInt8]) -> String {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard HMAC(EVP_sha256(), key, Int32(clamping: key.count), body, body.count, &digest, &count) != nil else { return "" }
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: digest.prefix(Int(count)).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
