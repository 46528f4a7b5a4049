import HTTP
import Store
import Testing

@testable import Buckets

@Suite("Retries: exponential back-off with full jitter")
struct RetryPolicyTests {
    private let limits = RetryPolicy.Limits(attempts: 8, baseMs: 100, throttledBaseMs: 1_000, capMs: 5_000, totalMs: 60_000)

    @Test("each pause may be twice as long as the one before, up to the cap, and may be nothing at all")
    func jitter() {
        var longest = RetryPolicy(limits), shortest = RetryPolicy(limits)
        var pauses: [RetryPolicy.Step] = []
        for most in [100, 200, 400, 800, 1_600, 3_200, 5_000] {
            // `random` picks from 0 up to but not including the bound.
            pauses.append(longest.step(after: .transient, elapsedMs: 0, random: UInt64(most - 1)))
            #expect(shortest.step(after: .transient, elapsedMs: 0, random: 0) == .wait(ms: 0))
        }
        #expect(pauses == [99, 199, 399, 799, 1_599, 3_199, 4_999].map { .wait(ms: $0) })
        #expect(longest.step(after: .transient, elapsedMs: 0, random: 0) == .giveUp)
        #expect(longest.attempts == 8)
    }

    @Test("no pause exceeds its bound, whatever the number drawn", arguments: [1, 2, 3] as [UInt64])
    func bounded(seed: UInt64) {
        var state = seed
        for _ in 0..<500 {
            var policy = RetryPolicy(limits)
            for most in [100, 200, 400, 800, 1_600, 3_200, 5_000] {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                guard case .wait(let ms) = policy.step(after: .transient, elapsedMs: 0, random: state) else {
                    Issue.record("gave up early")
                    return
                }
                #expect((0..<most).contains(ms))
            }
        }
    }

    @Test("a store that is busy is left alone for longer, and for as long as it asks")
    func throttled() {
        var policy = RetryPolicy(limits)
        #expect(policy.step(after: .throttled(retryAfterMs: nil), elapsedMs: 0, random: 999) == .wait(ms: 999))
        #expect(policy.step(after: .throttled(retryAfterMs: 7_000), elapsedMs: 0, random: 1_999) == .wait(ms: 8_999))
        #expect(policy.step(after: .throttled(retryAfterMs: 61_000), elapsedMs: 0, random: 0) == .giveUp)
    }

    @Test("time runs out too")
    func total() {
        var policy = RetryPolicy(limits)
        #expect(policy.step(after: .transient, elapsedMs: 59_990, random: 5) == .wait(ms: 5))
        #expect(policy.step(after: .transient, elapsedMs: 59_990, random: 150) == .giveUp)
    }

    @Test(
        "what helps once is done once",
        arguments: [
            (.skewed(serverSeconds: 5), .setClock(serverSeconds: 5)), (.credentials, .renewCredentials),
            (.elsewhere, .adapt),
        ] as [(RetryPolicy.Failure, RetryPolicy.Step)])
    func once(_ failure: RetryPolicy.Failure, _ step: RetryPolicy.Step) {
        var policy = RetryPolicy(limits)
        #expect(policy.step(after: failure, elapsedMs: 0, random: 0) == step)
        #expect(policy.step(after: failure, elapsedMs: 0, random: 0) == .giveUp)
    }

    @Test("a refusal ends it")
    func final() {
        var policy = RetryPolicy(limits)
        #expect(policy.step(after: .final, elapsedMs: 0, random: 0) == .giveUp)
    }
}

@Suite("What a store's refusal means")
struct BucketFaultTests {
    private static func fault(_ status: HTTPStatus, _ code: String, _ headers: HTTPHeaders = [:]) -> BucketFault {
        let body = code.isEmpty ? "" : "<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>AKIA secret</Message></Error>"
        return BucketFault(status: status, headers: headers, body: Array(body.utf8))
    }

    @Test(
        "status and code decide about another attempt",
        arguments: [
            (500, "InternalError", .transient), (502, "", .transient), (503, "SlowDown", .throttled(retryAfterMs: nil)),
            (429, "", .throttled(retryAfterMs: nil)), (400, "RequestTimeout", .transient), (400, "BadDigest", .transient),
            (400, "ExpiredToken", .credentials), (403, "AccessDenied", .final), (404, "NoSuchBucket", .final), (412, "", .final),
            (400, "InvalidRequest", .final), (501, "NotImplemented", .final), (409, "ConditionalRequestConflict", .transient),
            (403, "SignatureDoesNotMatch", .credentials), (403, "InvalidAccessKeyId", .credentials),
            (301, "PermanentRedirect", .final),
        ] as [(Int, String, RetryPolicy.Failure)])
    func failures(_ status: Int, _ code: String, _ failure: RetryPolicy.Failure) {
        #expect(Self.fault(HTTPStatus(rawValue: status), code).failure(isTemporary: false) == failure)
    }

    @Test("a refusal of temporary credentials may be their end: Ceph says 403 AccessDenied")
    func temporary() {
        #expect(Self.fault(403, "AccessDenied").failure(isTemporary: true) == .credentials)
        #expect(Self.fault(403, "").failure(isTemporary: true) == .credentials)
        #expect(Self.fault(404, "NoSuchKey").failure(isTemporary: true) == .final)
    }

    @Test("clock, region and pause are read from the fields")
    func fields() {
        let skewed = Self.fault(403, "RequestTimeTooSkewed", ["Date": "Fri, 24 May 2013 00:00:00 GMT"])
        #expect(skewed.failure(isTemporary: true) == .skewed(serverSeconds: 1_369_353_600))
        let moved = Self.fault(301, "PermanentRedirect", ["x-amz-bucket-region": "eu-west-1"])
        #expect(moved.failure(isTemporary: false) == .elsewhere && moved.region == "eu-west-1")
        #expect(Self.fault(400, "", ["x-amz-bucket-region": "eu-west-1"]).failure(isTemporary: false) == .elsewhere)
        let busy = Self.fault(503, "SlowDown", ["Retry-After": "7"])
        #expect(busy.failure(isTemporary: false) == .throttled(retryAfterMs: 7_000))
        #expect(busy.storeError == .throttled(retryAfterMs: 7_000))
        #expect(Self.fault(503, "", ["Retry-After": "99999999999"]).retryAfterMs == 3_600_000)
        #expect(Self.fault(503, "", ["Retry-After": "-1"]).retryAfterMs == 0)
        let date = "Fri, 24 May 2013 00:00:07 GMT"
        #expect(Self.fault(503, "", ["Retry-After": date, "Date": "Fri, 24 May 2013 00:00:00 GMT"]).retryAfterMs == 7_000)
        #expect(Self.fault(503, "", ["Retry-After": date, "Date": "Fri, 24 May 2013 00:01:00 GMT"]).retryAfterMs == 0)
        #expect(Self.fault(503, "", ["Retry-After": date]).retryAfterMs == nil)
        #expect(Self.fault(416, "InvalidRange", ["Content-Range": "bytes */77"]).storeError == .rangeNotSatisfiable(size: 77))
    }

    @Test(
        "a region that would be another host is none",
        arguments: ["evil.example/", "a b", "x@y", String(repeating: "r", count: 65)])
    func forgedRegion(_ region: String) {
        #expect(Self.fault(301, "PermanentRedirect", ["x-amz-bucket-region": region]).region == nil)
    }

    @Test("the reason holds status, code and request, nothing of the message")
    func reason() {
        let fault = Self.fault(403, "InvalidAccessKeyId", ["x-amz-request-id": "4442587FB7D0A2F9"])
        #expect(fault.storeError == .denied(reason: "403 InvalidAccessKeyId (request 4442587FB7D0A2F9)"))
        #expect(Self.fault(404, "NoSuchKey").storeError == .notFound)
        #expect(Self.fault(404, "").storeError == .notFound)
        if case .denied = Self.fault(404, "NoSuchBucket").storeError {} else { Issue.record("no such bucket is a refusal") }
    }
}
