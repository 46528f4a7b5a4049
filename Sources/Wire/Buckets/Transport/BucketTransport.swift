import Glibc
import HTTP
import Log
import Store
import Synchronization

/// An operation that failed for good: what the caller is told, and what only the store's own code looks at.
struct BucketFailure: Error, Sendable {
    /// For the caller.
    let error: StoreError
    /// The store's last answer, if it gave one.
    let fault: BucketFault?
    /// How often it was sent; with more than one, an earlier attempt may have succeeded unseen.
    let attempts: Int
}

/// An answer with its body.
struct BucketAnswer: Sendable {
    let status: HTTPStatus
    let headers: HTTPHeaders
    let body: [UInt8]
    /// How often the request was sent until this came.
    let attempts: Int
}

/// Sends requests to one bucket: signs each attempt anew, tries again where that may help, and turns what is left into errors.
final class BucketTransport: Sendable {
    private static let log = Logger("buckets")
    /// What an answer in memory may have: a page of a listing with the longest keys.
    static let answerBytesMax = 8 << 20

    let dialect: any BucketDialect
    let clock: BucketClock
    private let client: HTTPClient
    private let limits: RetryPolicy.Limits
    private let store: String
    /// The store's clock less ours, in seconds.
    private let offsetSeconds = Mutex<Int64>(0)

    /// - Parameter store: names it in logs, such as `s3://bucket`.
    init(
        _ client: HTTPClient, _ dialect: any BucketDialect, store: String, limits: RetryPolicy.Limits = .init(),
        clock: BucketClock = .system
    ) {
        (self.client, self.dialect, self.store, self.limits, self.clock) = (client, dialect, store, limits, clock)
    }

    /// The store's clock less ours, in seconds, as far as it is known.
    var offset: Int64 { offsetSeconds.withLock { $0 } }

    /// Unix seconds by the store's clock.
    var seconds: Int64 { clock.nowUs() / 1_000_000 + offset }

    /// An answer of 2xx with its whole body, of at most `limit` bytes.
    func send(_ request: BucketRequest, limit: Int = answerBytesMax) async throws(BucketFailure) -> BucketAnswer {
        try await attempt(request) { (response, attempts) throws(HTTPClientError) in
            BucketAnswer(
                status: response.status, headers: response.headers, body: try await response.collect(limit: limit),
                attempts: attempts)
        }
    }

    /// An answer of 2xx whose body is still coming. What breaks it later is the reader's to see.
    func open(_ request: BucketRequest) async throws(BucketFailure) -> HTTPClientResponse {
        try await attempt(request) { (response, _) throws(HTTPClientError) in response }
    }

    /// What one attempt came to.
    private enum Outcome<Answer> {
        case answer(Answer)
        case failed(StoreError, BucketFault?, RetryPolicy.Failure)
    }

    private func attempt<Answer>(
        _ request: BucketRequest, _ finish: (HTTPClientResponse, Int) async throws(HTTPClientError) -> Answer
    ) async throws(BucketFailure) -> Answer {
        var policy = RetryPolicy(limits)
        let startUs = clock.nowUs()
        while true {
            let attempts = policy.attempts + 1
            switch await once(request, { (response) throws(HTTPClientError) in try await finish(response, attempts) }) {
            case .answer(let answer): return answer
            case .failed(let error, let fault, let failure):
                let elapsedMs = Int(clamping: (clock.nowUs() - startUs) / 1_000)
                let step = policy.step(after: failure, elapsedMs: elapsedMs, random: .random(in: 0 ... .max))
                Self.log.debug(
                    "a request failed",
                    ["store": store, "method": request.method.rawValue, "reason": "\(error)", "attempt": String(attempts)])
                guard await perform(step, fault) else { throw BucketFailure(error: error, fault: fault, attempts: attempts) }
            }
        }
    }

    private func once<Answer>(
        _ request: BucketRequest, _ finish: (HTTPClientResponse) async throws(HTTPClientError) -> Answer
    ) async -> Outcome<Answer> {
        let (signed, seconds): (SignedRequest, Int64)
        do throws(StoreError) {
            seconds = self.seconds
            signed = try await dialect.signed(request, atSeconds: seconds)
        } catch {
            return .failed(error, nil, .final)
        }
        do throws(HTTPClientError) {
            let response = try await client.send(Self.outgoing(request, signed))
            if response.status.isSuccess {
                dialect.heard(nil)
                return .answer(try await finish(response))
            }
            let body = try await response.collect(limit: 64 << 10)
            let fault = BucketFault(status: response.status, headers: response.headers, body: body)
            dialect.heard(fault)
            let failure =
                dialect.hasOtherWay(than: fault)
                ? .elsewhere : fault.failure(isTemporary: signed.isTemporary, signedAtSeconds: seconds)
            return .failed(fault.storeError, fault, failure)
        } catch {
            return .failed(Self.storeError(error), nil, Self.failure(error))
        }
    }

    /// False when there is no use in sending again.
    private func perform(_ step: RetryPolicy.Step, _ fault: BucketFault?) async -> Bool {
        switch step {
        case .giveUp: return false
        case .renewCredentials: return await dialect.renewCredentials()
        case .adapt:
            guard let fault else { return false }
            return await dialect.adapt(to: fault)
        case .setClock(let server):
            let offset = server - clock.nowUs() / 1_000_000
            offsetSeconds.withLock { $0 = offset }
            Self.log.warning("this machine's clock differs from the store's", ["store": store, "seconds": String(-offset)])
            return true
        case .wait(let ms):
            do {
                try await clock.sleep(ms)
                return true
            } catch {
                return false
            }
        }
    }

    // MARK: one attempt

    private static func outgoing(_ request: BucketRequest, _ signed: SignedRequest) -> HTTPClientRequest {
        var outgoing = HTTPClientRequest(request.method, signed.url, headers: signed.headers)
        // A body may take as long as it keeps moving; an answer in memory may not.
        outgoing.totalMs = nil
        outgoing.wholeBytesMax = request.wholeBytesMax
        outgoing.idleSeconds = 30
        outgoing.slow = HTTPClientRequest.Slowness(bytesPerSecond: 256, seconds: 30)
        switch request.body {
        case .none: break
        case .bytes(let bytes): outgoing.body = .bytes(bytes)
        case .file(let file, let range):
            let bytes = FileBytes(file: file)
            outgoing.body = .stream(length: Int64(range.count)) { writer in
                var offset = range.lowerBound
                while offset < range.upperBound {
                    let piece = try await bytes.piece(of: offset..<range.upperBound)
                    try await writer.write(piece)
                    offset += Int64(piece.count)
                }
            }
        }
        return outgoing
    }

    private static func failure(_ error: HTTPClientError) -> RetryPolicy.Failure {
        switch error {
        case .cannotConnect, .tls, .timedOut, .broken: .transient
        case .badURL, .tooLong, .cancelled, .bodyFailed, .status: .final
        }
    }

    /// What a broken transfer means to the caller.
    static func storeError(_ error: HTTPClientError) -> StoreError {
        switch error {
        case .bodyFailed: .failed(operation: "read", code: EIO)
        case .badURL: .denied(reason: "the endpoint's address can't be used")
        case .timedOut: .timedOut(reason: error.description)
        default: .unavailable(reason: error.description)
        }
    }
}
