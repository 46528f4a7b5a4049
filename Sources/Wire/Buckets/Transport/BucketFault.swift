import FoundationEssentials
import Glibc
import HTTP
import Store

/// A store's refusal: what its status, fields and error document say. It keeps no message, since stores echo keys and tokens in them.
struct BucketFault: Sendable, Equatable {
    /// The status.
    let status: Int
    /// The word for it in the error document, such as `NoSuchKey`; empty when there was none, as after HEAD.
    let code: String
    /// What the store's operator can find it by.
    let requestID: String
    /// From `Retry-After`.
    let retryAfterMs: Int?
    /// From `Date`, Unix seconds.
    let serverSeconds: Int64?
    /// The bucket's region where the store told it.
    let region: String?
    /// From `Content-Range: bytes */size`.
    let size: Int64?

    /// Where the bucket is, when the store told that it is elsewhere; a host's name (OSS).
    let endpoint: String?

    /// - Parameter body: the error document, or nothing.
    init(status: HTTPStatus, headers: HTTPHeaders, body: [UInt8]) {
        let root = try? XMLReader.parse(body.isEmpty ? Self.document(headers) : body)
        let document = root?.name == "Error" ? root : root?["Error"]
        self.status = status.rawValue
        code = Self.word(document?.text("Code") ?? "")
        requestID = Self.word(
            headers["x-amz-request-id"] ?? headers["x-oss-request-id"] ?? document?.text("RequestId") ?? "")
        let serverSeconds = headers["Date"].flatMap { HTTPDate.parse($0) }
        self.serverSeconds = serverSeconds
        retryAfterMs = headers["Retry-After"].flatMap { Self.pauseMs($0, serverSeconds: serverSeconds) }
        let region = Self.word(headers["x-amz-bucket-region"] ?? document?.text("Region") ?? "")
        self.region = region.isEmpty ? nil : region
        size = headers["Content-Range"].flatMap { $0.split(separator: "/").last }.flatMap { Int64($0) }
        let endpoint = Self.word(document?.text("Endpoint") ?? "")
        self.endpoint = endpoint.isEmpty ? nil : endpoint
    }

    /// Seconds, or a date (RFC 9110 10.2.3), which counts from the store's own: our clock may be what is wrong.
    private static func pauseMs(_ text: String, serverSeconds: Int64?) -> Int? {
        let seconds = Int64(text) ?? HTTPDate.parse(text).flatMap { date in serverSeconds.map { date - $0 } }
        return seconds.map { Int(min(max(0, $0), 3_600)) * 1_000 }
    }

    /// The error document of an answer to HEAD, which OSS puts into a field.
    private static func document(_ headers: HTTPHeaders) -> [UInt8] {
        guard let text = headers["x-oss-err"], text.utf8.count <= 16_384, let data = Data(base64Encoded: text) else { return [] }
        return Array(data)
    }

    /// Bounded, and nothing that could forge a log line or a host.
    private static func word(_ text: String) -> String {
        let isFit =
            text.utf8.count <= 64
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || [0x2D, 0x2E, 0x5F].contains(byte)
            }
        return isFit ? text : ""
    }

    /// For logs and errors; never holds anything secret.
    var reason: String {
        let parts = [
            String(status), code, requestID.isEmpty ? "" : "(request \(requestID))",
            endpoint.map { "(the bucket is at \($0))" } ?? "",
        ]
        return parts.filter { !$0.isEmpty }.joined(separator: " ")
    }

    private static let throttles: Set<String> = [
        "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "ServiceUnavailable",
        "BandwidthLimitExceeded",
        "QpsLimitExceeded", "DownloadTrafficRateLimitExceeded", "UploadTrafficRateLimitExceeded",
    ]
    /// Refusals of one request that say nothing against the same one later: broken on the way, or met another.
    private static let accidents: Set<String> = [
        "RequestTimeout", "InternalError", "OperationAborted", "ConditionalRequestConflict", "BadDigest", "InvalidDigest",
        "IncompleteBody",
        "XAmzContentSHA256Mismatch", "IncompleteMessage",
    ]
    /// How far the two clocks may differ (S3's and OSS's rule).
    private static let skewSecondsMax: Int64 = 15 * 60
    /// What is there already, which OSS does not let be written over: an answer, whatever 409 means elsewhere.
    private static let conditions: Set<String> = ["FileAlreadyExists", "FileImmutable"]
    /// Tokens that have ended, and keys that were replaced where ours came from: a file may have others by now.
    private static let ended: Set<String> = [
        "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "SecurityTokenExpired", "InvalidSecurityToken",
        "InvalidAccessKeyId", "SignatureDoesNotMatch",
    ]

    /// What to make of it.
    /// - Parameters:
    ///   - isTemporary: the request was signed with credentials that end.
    ///   - seconds: the date it was signed with.
    func failure(isTemporary: Bool, signedAtSeconds seconds: Int64? = nil) -> RetryPolicy.Failure {
        if code == "RequestTimeTooSkewed" { return serverSeconds.map { .skewed(serverSeconds: $0) } ?? .final }
        // HEAD has no error document: what the refusal was for shows in the dates.
        if status == 403, code.isEmpty, let seconds, let serverSeconds, abs(serverSeconds - seconds) > Self.skewSecondsMax {
            return .skewed(serverSeconds: serverSeconds)
        }
        if status == 301 || status == 307 || ["PermanentRedirect", "AuthorizationHeaderMalformed"].contains(code) {
            return region == nil ? .final : .elsewhere
        }
        // HEAD has no error document; S3 answers 400 to a wrong region then.
        if status == 400, code.isEmpty, region != nil { return .elsewhere }
        if Self.conditions.contains(code) { return .final }
        if Self.ended.contains(code) || (status == 400 && code.isEmpty && isTemporary) { return .credentials }
        if status == 503 || status == 429 || Self.throttles.contains(code) { return .throttled(retryAfterMs: retryAfterMs) }
        if Self.accidents.contains(code) || status == 408 || status == 409 || (status >= 500 && status != 501) {
            return .transient
        }
        // Ceph answers a plain 403 to a token that has ended.
        if status == 403 || status == 401, isTemporary, code != "QuotaExceeded" { return .credentials }
        return .final
    }

    /// What the caller of the store is told.
    var storeError: StoreError {
        switch (status, code) {
        case (_, "NoSuchBucket"): .denied(reason: "no such bucket: \(reason)")
        case (_, "QuotaExceeded"), (507, _): .noSpace(code: EDQUOT)
        case (404, _): .notFound
        case (_, "FileAlreadyExists"): .preconditionFailed
        case (_, "FileImmutable"): .denied(reason: reason)
        case (412, _): .preconditionFailed
        case (416, _): .rangeNotSatisfiable(size: size ?? 0)
        case (501, _): .failed(operation: "not implemented by the store", code: ENOSYS)
        case (503, _), (429, _): .throttled(retryAfterMs: retryAfterMs)
        case (408, _), (409, _), (500..., _): .unavailable(reason: reason)
        case (_, let code) where Self.throttles.contains(code): .throttled(retryAfterMs: retryAfterMs)
        case (_, let code) where Self.accidents.contains(code): .unavailable(reason: reason)
        default: .denied(reason: reason)
        }
    }
}
