import Config
import Foundation
import HTTP
import Store
import Synchronization
import Testing

@testable import Buckets

@Suite("OSS against a store that fails")
struct OSSFaultTests {
    private let client = HTTPClient()
    private let clock = StillClock(seconds: BucketClock.system.nowUs() / 1_000_000)
    private static let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    private static let crc = PayloadDigest(bytes, .crc64).crc64.map { String($0) } ?? ""

    private func store(
        _ service: FakeService, region: String = "oss-cn-hangzhou", token: String = "", provider: CredentialProvider? = nil,
        parts: RemoteBucket.PartSizes = .init(), limits: RetryPolicy.Limits = .init()
    ) throws -> RemoteBucket {
        let settings = StorageSettings.OSS(bucket: "media", root: "rec", region: region, endpoint: service.url)
        let fixed = BucketCredentials(accessKeyID: "AKIDEXAMPLE", secret: "SECRETWORD", token: token)
        return try RemoteBucket(
            settings, client: client,
            provider: provider ?? CredentialProvider([FixedCredentials(credentials: fixed)], nowUs: clock.clock.nowUs),
            parts: parts, limits: limits, clock: clock.clock)
    }

    /// As OSS answers HEAD and PUT of one object.
    private static func object(_ seen: FakeService.Seen, crc: String = crc) -> HTTPResponse {
        let headers: HTTPHeaders = [
            "ETag": "\"ABCDEF\"", "x-oss-hash-crc64ecma": crc, "Last-Modified": "Sat, 21 Nov 2026 03:04:05 GMT",
        ]
        return seen.method == .head
            ? .bytes(bytes, contentType: "video/mp4", headers: headers) : HTTPResponse(.ok, headers: headers)
    }

    private static func isFourth(_ seen: FakeService.Seen) -> Bool {
        seen.headers["Authorization"]?.hasPrefix("OSS4-HMAC-SHA256 ") == true
    }

    @Test("a write is checked by the store's CRC; without one by size")
    func checked() async throws {
        let service = try FakeService { seen, number in
            switch number {
            case 0: Self.object(seen)
            case 1: Self.object(seen, crc: "1")
            default: seen.method == .put ? HTTPResponse(.ok, headers: ["ETag": "\"x\""]) : Self.object(seen)
            }
        }
        let store = try store(service)
        let key = try ObjectKey("a b")
        #expect(try await store.put(key, Self.bytes, ifAbsent: false).etag == "\"ABCDEF\"")
        await #expect(throws: StoreError.unavailable(reason: "the store has other bytes than were sent")) {
            try await store.put(key, Self.bytes, ifAbsent: false)
        }
        #expect(try await store.put(key, Self.bytes, ifAbsent: false).size == 300_000)
        await #expect(throws: StoreError.self) { try await store.put(key, [1, 2, 3], ifAbsent: false) }
        #expect(service.seen[0].path == "/media/rec/a%20b" && service.seen[0].headers["Content-MD5"] != nil)
        #expect(service.seen.allSatisfy { $0.headers["x-oss-content-sha256"] == "UNSIGNED-PAYLOAD" && Self.isFourth($0) })
        await service.stop()
    }

    @Test("a store that does not take version 4 is signed to by version 1, and asked only once")
    func versions() async throws {
        let service = try FakeService { seen, _ in
            Self.isFourth(seen) ? .refusal(400, "InvalidArgument") : Self.object(seen)
        }
        let store = try store(service)
        for _ in 0..<3 { _ = try await store.head(try ObjectKey("a")) }
        #expect(service.seen.map(Self.isFourth) == [true, false, false, false])
        #expect(service.seen[1].headers["Authorization"]?.hasPrefix("OSS AKIDEXAMPLE:") == true)
        let url = try #require(try await store.presign(.get, try ObjectKey("a"), seconds: 60, nowUs: clock.clock.nowUs()))
        #expect(url.contains("OSSAccessKeyId=AKIDEXAMPLE&") && service.seen.count == 4)
        await service.stop()
    }

    @Test("what was taken once is not doubted again")
    func proven() async throws {
        let service = try FakeService { seen, number in number == 0 ? Self.object(seen) : .refusal(400, "InvalidArgument") }
        let store = try store(service)
        _ = try await store.head(try ObjectKey("a"))
        await #expect(throws: StoreError.denied(reason: "400 InvalidArgument")) { try await store.delete(try ObjectKey("a")) }
        #expect(service.seen.count == 2 && service.seen.allSatisfy(Self.isFourth))
        await service.stop()
    }

    @Test("without a region anywhere version 1 signs, which needs none")
    func noRegion() async throws {
        let service = try FakeService { seen, _ in Self.object(seen) }
        _ = try await store(service, region: "").head(try ObjectKey("a"))
        #expect(service.seen.map(Self.isFourth) == [false])
        await service.stop()
    }

    @Test("an address that nobody has tried is tried before it is given away, once")
    func presign() async throws {
        let service = try FakeService { seen, _ in
            Self.isFourth(seen)
                ? .refusal(400, "InvalidArgument")
                : .text("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        }
        let store = try store(service)
        let now = clock.clock.nowUs()
        for _ in 0..<2 {
            let url = try #require(try await store.presign(.get, try ObjectKey("a b"), seconds: 60, nowUs: now))
            #expect(url.hasPrefix(service.url + "/media/rec/a%20b?Expires=\(now / 1_000_000 + 60)&OSSAccessKeyId="))
        }
        #expect(service.seen.count == 2)
        await service.stop()
    }

    @Test("a presigned address ends before the credentials that sign it")
    func presignEnds() async throws {
        let service = try FakeService { _, _ in .text("<ListBucketResult/>") }
        let now = clock.clock.nowUs()
        let ending = BucketCredentials(accessKeyID: "K", secret: "s", token: "a+b/c=", expiresUs: now + 1_000 * 1_000_000)
        let provider = CredentialProvider([FixedCredentials(credentials: ending)], nowUs: clock.clock.nowUs)
        let url = try #require(
            await store(service, provider: provider).presign(.get, try ObjectKey("a b"), seconds: 9_999, nowUs: now))
        #expect(url.contains("x-oss-expires=940&") && url.contains("x-oss-security-token=a%2Bb%2Fc%3D&"))
        await service.stop()
    }

    @Test("an exclusive write whose answer got lost is known again as one's own; another's is not", arguments: [true, false])
    func lostAnswer(_ isOurs: Bool) async throws {
        let written = Mutex(0)
        let service = try FakeService { seen, _ in
            if seen.method == .delete { return HTTPResponse(.noContent) }
            if seen.method == .head { return Self.object(seen, crc: isOurs ? Self.crc : "1") }
            let count = written.withLock { count in
                count += 1
                return count
            }
            // The probe, the probe again, the write whose answer breaks, the write again.
            switch count {
            case 1: return HTTPResponse(.ok, headers: ["ETag": "\"P\""])
            case 3: return .stream(contentType: "text/plain", length: 9) { _ in throw CancellationError() }
            default: return .refusal(409, "FileAlreadyExists")
            }
        }
        let store = try store(service)
        let key = try ObjectKey("claim")
        if isOurs {
            #expect(try await store.put(key, Self.bytes, ifAbsent: true).size == 300_000)
        } else {
            await #expect(throws: StoreError.exists) { try await store.put(key, Self.bytes, ifAbsent: true) }
        }
        #expect(service.seen.filter { $0.method == .put }.allSatisfy { $0.headers["x-oss-forbid-overwrite"] == "true" })
        #expect(clock.slept.count == 1, "409 is an answer, not an accident")
        await service.stop()
    }

    @Test("a refusal of HEAD is read from its field")
    func headRefusals() async throws {
        let document = Data("<Error><Code>SecurityTokenExpired</Code></Error>".utf8).base64EncodedString()
        let service = try FakeService { seen, _ in
            seen.headers["x-oss-security-token"] == "T2"
                ? Self.object(seen) : HTTPResponse(.forbidden, headers: ["x-oss-err": document])
        }
        let provider = CredentialProvider([Tokens()], nowUs: clock.clock.nowUs)
        _ = try await store(service, provider: provider).head(try ObjectKey("a"))
        #expect(service.seen.count == 2 && clock.slept.isEmpty)
        await service.stop()
    }

    private struct Tokens: CredentialSource {
        private final class Count: Sendable {
            let value = Mutex(0)
        }
        let name = "a test"
        private let count = Count()

        func fetch() async throws(CredentialError) -> BucketCredentials? {
            let number = count.value.withLock { value in
                value += 1
                return value
            }
            return BucketCredentials(accessKeyID: "K", secret: "SECRETWORD", token: "T\(number)")
        }
    }

    @Test("a clock that is wrong is corrected by the store's")
    func skew() async throws {
        let service = try FakeService { seen, _ in
            let isNow = seen.headers["x-oss-date"].map {
                BasicDate.format(BucketClock.system.nowUs() / 1_000_000).prefix(11) == $0.prefix(11)
            }
            return isNow == true ? Self.object(seen) : .refusal(403, "RequestTimeTooSkewed")
        }
        clock.advance(seconds: -7 * 86_400)
        _ = try await store(service).head(try ObjectKey("a"))
        #expect(service.seen.count == 2)
        await service.stop()
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        let status: Int
        let code: String
        let error: StoreError
        var attempts = 1
        var testDescription: String { "\(status) \(code)" }
    }

    @Test(
        "what the caller is told",
        arguments: [
            Refusal(status: 404, code: "NoSuchKey", error: .notFound),
            Refusal(status: 404, code: "NoSuchBucket", error: .denied(reason: "no such bucket: 404 NoSuchBucket")),
            Refusal(status: 403, code: "AccessDenied", error: .denied(reason: "403 AccessDenied")),
            Refusal(status: 403, code: "InvalidAccessKeyId", error: .denied(reason: "403 InvalidAccessKeyId")),
            Refusal(status: 403, code: "SignatureDoesNotMatch", error: .denied(reason: "403 SignatureDoesNotMatch")),
            Refusal(status: 409, code: "FileAlreadyExists", error: .preconditionFailed),
            Refusal(status: 409, code: "FileImmutable", error: .denied(reason: "409 FileImmutable")),
            Refusal(status: 503, code: "ServiceUnavailable", error: .throttled(retryAfterMs: nil), attempts: 2),
            Refusal(status: 503, code: "DownloadTrafficRateLimitExceeded", error: .throttled(retryAfterMs: nil), attempts: 2),
            Refusal(status: 500, code: "InternalError", error: .unavailable(reason: "500 InternalError"), attempts: 2),
            Refusal(status: 400, code: "RequestTimeout", error: .unavailable(reason: "400 RequestTimeout"), attempts: 2),
            Refusal(status: 400, code: "InvalidDigest", error: .unavailable(reason: "400 InvalidDigest"), attempts: 2),
        ])
    func refusals(_ refusal: Refusal) async throws {
        let service = try FakeService { _, _ in .refusal(HTTPStatus(rawValue: refusal.status), refusal.code) }
        let store = try store(service, limits: .init(attempts: 2))
        await #expect(throws: refusal.error) { try await store.put(try ObjectKey("a"), [1], ifAbsent: false) }
        #expect(service.seen.count == refusal.attempts)
        await service.stop()
    }

    @Test("where the bucket is is told, but not gone to")
    func elsewhere() async throws {
        let service = try FakeService { _, _ in
            .text(
                "<Error><Code>AccessDenied</Code><Endpoint>oss-cn-shanghai.aliyuncs.com</Endpoint></Error>", status: .forbidden,
                contentType: "application/xml")
        }
        let told = StoreError.denied(reason: "403 AccessDenied (the bucket is at oss-cn-shanghai.aliyuncs.com)")
        await #expect(throws: told) { try await store(service).ping() }
        #expect(service.seen.count == 1)
        await service.stop()
    }

    @Test("a long file goes in parts that are each checked, and is checked as a whole", arguments: [true, false])
    func parts(_ isSame: Bool) async throws {
        let service = try FakeService { seen, _ in
            switch (seen.method, seen.query) {
            case (.get, _): .text("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>")
            case (.post, "uploads"):
                .text("<InitiateMultipartUploadResult><UploadId>U+1</UploadId></InitiateMultipartUploadResult>")
            case (.post, _): .text("<CompleteMultipartUploadResult/>")
            case (.head, _): Self.object(seen, crc: isSame ? Self.crc : "1")
            case (.delete, _): HTTPResponse(.noContent)
            default: Self.object(seen, crc: PayloadDigest(seen.body, .crc64).crc64.map { String($0) } ?? "")
            }
        }
        let path = NSTemporaryDirectory() + "parts-" + UUID().uuidString
        try Data(Self.bytes).write(to: URL(fileURLWithPath: path))
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        unlink(path)
        defer { close(descriptor) }
        let key = try ObjectKey("a")
        let file = LocalFile(descriptor: descriptor, info: ObjectInfo(key: key, size: 300_000, etag: "", modifiedUs: 0))
        let store = try store(service, parts: .init(thresholdBytes: 1_000, partBytes: 120_000))
        if isSame {
            #expect(try await store.put(key, file: file, contentType: "video/mp4", ifAbsent: false).size == 300_000)
        } else {
            await #expect(throws: StoreError.unavailable(reason: "the store has other bytes than were sent")) {
                try await store.put(key, file: file, contentType: "video/mp4", ifAbsent: false)
            }
        }
        let puts = service.seen.filter { $0.method == .put }
        #expect(puts.map(\.query) == (1...3).map { "partNumber=\($0)&uploadId=U%2B1" } && puts.flatMap(\.body) == Self.bytes)
        await service.stop()
    }

    @Test("many are deleted at once; silence is consent, and what it holds of keys is escaped")
    func deleteAll() async throws {
        let service = try FakeService { _, _ in HTTPResponse(.ok) }
        try await store(service).deleteAll([try ObjectKey("a&b"), try ObjectKey("c")])
        let seen = try #require(service.seen.first)
        #expect(seen.query == "delete" && seen.headers["Content-MD5"] == PayloadDigest(seen.body).contentMD5)
        #expect(String(decoding: seen.body, as: UTF8.self).contains("<Key>rec/a&amp;b</Key>"))
        await service.stop()
    }

    @Test(
        "no secret, no token and no signature in an error, whatever the store says",
        arguments: [400, 401, 403, 404, 409, 500, 503])
    func secrets(_ status: Int) async throws {
        let service = try FakeService { _, _ in .refusal(HTTPStatus(rawValue: status), "AKIDEXAMPLE SECRETWORD") }
        let store = try store(service, token: "TOKENWORD", limits: .init(attempts: 1))
        let key = try ObjectKey("a")
        var text = ""
        do { _ = try await store.get(key, range: nil) } catch { text += "\(error) \(String(reflecting: error))" }
        do { try await store.ping() } catch { text += "\(error) \(String(reflecting: error))" }
        do { try await store.put(key, [1], ifAbsent: false) } catch { text += "\(error) \(String(reflecting: error))" }
        #expect(!text.isEmpty)
        for secret in ["SECRETWORD", "TOKENWORD", "AKIDEXAMPLE", "Signature"] { #expect(!text.contains(secret)) }
        #expect(!String(reflecting: store).contains("SECRETWORD"))
        await service.stop()
    }

    @Test("damaged refusals never trap", arguments: 0..<4)
    func mutated(seed: UInt64) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        let document = Array("<Error><Code>AccessDenied</Code><Endpoint>oss-cn-shanghai.aliyuncs.com</Endpoint></Error>".utf8)
        for _ in 0..<600 {
            var bytes = document
            for _ in 0...random(4) { bytes[random(bytes.count)] = UInt8(random(256)) }
            var text = Array(Data(bytes).base64EncodedString().utf8)
            if random(2) == 0 { text[random(text.count)] = UInt8(0x20 + random(0x5F)) }
            let crc = ["", "-1", "18446744073709551616", "1e9", "\u{663}", "7"][random(6)]
            let headers: HTTPHeaders = [
                "x-oss-err": String(decoding: text, as: UTF8.self), "x-oss-hash-crc64ecma": crc, "Content-Range": crc,
            ]
            let fault = BucketFault(status: 403, headers: headers, body: [])
            #expect(fault.reason.utf8.count < 256)
        }
    }
}
