import Config
import Foundation
import HTTP
import Log
import Store
import Synchronization
import Testing

@testable import Buckets

@Suite("S3 against a store that fails")
struct S3FaultTests {
    private let client = HTTPClient()
    /// Begins now: the fake answers carry the machine's date.
    private let clock = StillClock(seconds: BucketClock.system.nowUs() / 1_000_000)
    private static let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    private static let tag = PayloadDigest(bytes).etag

    private func store(
        _ service: FakeService, region: String = "us-east-1", token: String = "", provider: CredentialProvider? = nil,
        parts: RemoteBucket.PartSizes = .init(), limits: RetryPolicy.Limits = .init()
    ) throws -> RemoteBucket {
        let settings = StorageSettings.S3(bucket: "media", root: "rec", region: region, endpoint: service.url)
        let fixed = BucketCredentials(accessKeyID: "AKIDEXAMPLE", secret: "SECRETWORD", token: token)
        return try RemoteBucket(
            settings, client: client, environment: [:],
            provider: provider ?? CredentialProvider([FixedCredentials(credentials: fixed)], nowUs: clock.clock.nowUs),
            parts: parts,
            limits: limits, clock: clock.clock)
    }

    private func collect(_ body: ObjectBody) async throws -> [UInt8] {
        var all: [UInt8] = []
        for try await chunk in body.chunks { all += chunk }
        return all
    }

    /// As S3 answers GET, HEAD and PUT of one object.
    private static func object(_ seen: FakeService.Seen) -> HTTPResponse {
        guard seen.method != .put else { return HTTPResponse(.ok, headers: ["ETag": PayloadDigest(seen.body).etag]) }
        var headers: HTTPHeaders = ["ETag": tag, "Last-Modified": "Sat, 21 Nov 2026 03:04:05 GMT"]
        guard let range = seen.headers["Range"], let first = Int(range.dropFirst(6).prefix { $0 != "-" }) else {
            return .bytes(bytes, contentType: "video/mp4", headers: headers)
        }
        headers["Content-Range"] = "bytes \(first)-\(bytes.count - 1)/\(bytes.count)"
        return .bytes(Array(bytes[first...]), status: .partialContent, contentType: "video/mp4", headers: headers)
    }

    @Test("a key has room for the root")
    func keyBytes() async throws {
        let service = try FakeService { seen, _ in Self.object(seen) }
        #expect(try store(service).keyBytesMax == ObjectKey.bytesMax - 4)
        await service.stop()
    }

    @Test("503 SlowDown: the pause it asks for is kept, then the write succeeds")
    func slowDown() async throws {
        let service = try FakeService { seen, number in
            number < 2 ? .refusal(503, "SlowDown", headers: ["Retry-After": "3"]) : Self.object(seen)
        }
        let info = try await store(service).put(try ObjectKey("a"), Self.bytes, ifAbsent: false)
        #expect(info.etag == Self.tag && service.seen.count == 3)
        #expect(clock.slept.count == 2 && clock.slept.allSatisfy { $0 >= 3_000 })
        #expect(
            service.seen.allSatisfy { $0.body == Self.bytes && $0.headers["Content-MD5"] == PayloadDigest(Self.bytes).contentMD5 }
        )
        #expect(service.seen.allSatisfy { $0.headers["Expect"] == nil && $0.path == "/media/rec/a" })
        #expect(Set(service.seen.compactMap { $0.headers["x-amz-date"] }).count > 1, "each attempt has its own date")
        await service.stop()
    }

    @Test("a store that stays busy is reported as throttling, one that stays broken as unavailable", arguments: [503, 500])
    func stays(_ status: Int) async throws {
        let service = try FakeService { _, _ in
            .refusal(HTTPStatus(rawValue: status), status == 503 ? "SlowDown" : "InternalError")
        }
        let error = await #expect(throws: StoreError.self) {
            try await store(service, limits: .init(attempts: 3)).delete(try ObjectKey("a"))
        }
        #expect(error == (status == 503 ? .throttled(retryAfterMs: nil) : .unavailable(reason: "500 InternalError")))
        #expect(service.seen.count == 3)
        await service.stop()
    }

    @Test("a body that breaks half way is taken up where it ended, if the object is the same")
    func halfBody() async throws {
        let service = try FakeService { seen, number in
            let whole = Self.object(seen)
            guard number < 2, case .bytes(let bytes) = whole.body else { return whole }
            // Promises all of it, and breaks the connection at a third.
            return .stream(
                status: whole.status, contentType: "video/mp4", length: Int64(bytes.count),
                headers: ["ETag": Self.tag, "Content-Range": whole.headers["Content-Range"] ?? "bytes 0-299999/300000"]
            ) { writer in
                try await writer.write(Array(bytes.prefix(bytes.count / 3)))
                throw CancellationError()
            }
        }
        let body = try await store(service).get(try ObjectKey("a"), range: nil)
        #expect(try await collect(body) == Self.bytes)
        #expect(service.seen.count == 3)
        #expect(service.seen[1].headers["If-Match"] == Self.tag && service.seen[1].headers["Range"]?.hasPrefix("bytes=") == true)
        await service.stop()
    }

    @Test("a body that ends early for good, or changes on the way, throws instead of ending")
    func shortBody() async throws {
        let service = try FakeService { seen, number in
            guard number == 0 else { return .refusal(412, "PreconditionFailed") }
            return .stream(contentType: "video/mp4", length: 1_000, headers: ["ETag": Self.tag]) { writer in
                try await writer.write([1, 2, 3])
                throw CancellationError()
            }
        }
        let body = try await store(service).get(try ObjectKey("a"), range: nil)
        await #expect(throws: StoreError.preconditionFailed) { try await collect(body) }
        await service.stop()
    }

    @Test(
        "passed on, a body that breaks is taken up again unseen, and breaks when the object is another", arguments: [true, false])
    func relayed(_ isSame: Bool) async throws {
        let service = try FakeService { seen, number in
            guard number == 0 else { return isSame ? Self.object(seen) : .refusal(412, "PreconditionFailed") }
            return .stream(contentType: "video/mp4", length: Int64(Self.bytes.count), headers: ["ETag": Self.tag]) { writer in
                try await writer.write(Array(Self.bytes.prefix(200_000)))
                throw CancellationError()
            }
        }
        let store = try store(service)
        let front = try FakeService { _, _ in
            let object = try await store.relay(try ObjectKey("a"), range: nil)
            return HTTPResponse(headers: ["ETag": object.info.etag], body: try await object.answer())
        }
        let answer = try await client.send(HTTPClientRequest(.get, front.url))
        #expect(answer.headers["Content-Length"] == "300000")
        if isSame {
            #expect(try await answer.collect() == Self.bytes)
        } else {
            await #expect(throws: HTTPClientError.self) { try await answer.collect() }
        }
        #expect(service.seen.count == 2 && service.seen[1].headers["If-Match"] == Self.tag)
        await front.stop()
        await service.stop()
    }

    @Test("a small object that breaks is asked for again before anything of it is passed on")
    func relayedSmall() async throws {
        let service = try FakeService { seen, number in
            let headers: HTTPHeaders = ["ETag": Self.tag]
            guard number == 0 else { return .bytes(Array(Self.bytes.prefix(1_000)), contentType: "video/mp4", headers: headers) }
            return .stream(contentType: "video/mp4", length: 1_000, headers: headers) { writer in
                try await writer.write([1, 2, 3])
                throw CancellationError()
            }
        }
        let object = try await store(service).relay(try ObjectKey("a"), range: nil)
        guard case .shared(let whole, _) = try await object.answer() else {
            Issue.record("not sent in one piece")
            return
        }
        #expect(whole.isComplete && whole.count == 1_000)
        #expect(service.seen.map(\.method) == [.get, .get])
        await service.stop()
    }

    @Test("a server without ranges, and one that says 200 beside Content-Range", arguments: [false, true])
    func ranges(_ isTold: Bool) async throws {
        let service = try FakeService { _, _ in
            .bytes(
                isTold ? Array(Self.bytes[10..<20]) : Self.bytes, contentType: "video/mp4",
                headers: isTold ? ["ETag": Self.tag, "Content-Range": "bytes 10-19/300000"] : ["ETag": Self.tag])
        }
        let body = try await store(service).get(try ObjectKey("a"), range: 10..<20)
        #expect(try await collect(body) == Array(Self.bytes[10..<20]))
        #expect(body.info.size == 300_000 && body.range == 10..<20)
        await service.stop()
    }

    @Test("an exclusive write whose answer got lost is known again as one's own; another's is not", arguments: [true, false])
    func lostAnswer(_ isOurs: Bool) async throws {
        let written = Mutex(0)
        let service = try FakeService { seen, _ in
            if seen.path.contains("/.probe/") {
                if seen.method == .delete { return HTTPResponse(.noContent) }
                let isSecond = written.withLock { count in
                    count += 1
                    return count == 2
                }
                return isSecond ? .refusal(412, "PreconditionFailed") : Self.object(seen)
            }
            if seen.method == .head {
                let tag = isOurs ? Self.tag : "\"00000000000000000000000000000000\""
                return .bytes(Self.bytes, contentType: "video/mp4", headers: ["ETag": tag])
            }
            let attempt = written.withLock { count in
                count += 1
                return count
            }
            guard attempt == 4 else { return .refusal(412, "PreconditionFailed") }
            return .stream(contentType: "text/plain", length: 9) { _ in throw CancellationError() }
        }
        let store = try store(service)
        let key = try ObjectKey("claim")
        if isOurs {
            #expect(try await store.put(key, Self.bytes, ifAbsent: true).etag == Self.tag)
        } else {
            await #expect(throws: StoreError.exists) { try await store.put(key, Self.bytes, ifAbsent: true) }
        }
        #expect(service.seen.last?.method == .head)
        await service.stop()
    }

    @Test("a clock that is wrong is corrected by the store's")
    func skew() async throws {
        let service = try FakeService { seen, _ in
            // The answer's own Date is the machine's.
            let isNow = seen.headers["x-amz-date"].map {
                BasicDate.format(BucketClock.system.nowUs() / 1_000_000).prefix(11) == $0.prefix(11)
            }
            return isNow == true ? Self.object(seen) : .refusal(403, "RequestTimeTooSkewed")
        }
        clock.advance(seconds: -7 * 86_400)
        let store = try store(service)
        _ = try await store.head(try ObjectKey("a"))
        #expect(service.seen.count == 2)
        let laterUs = try #require(store.nowUs) - clock.clock.nowUs()
        #expect(abs(laterUs - 7 * 86_400_000_000) < 600_000_000, "the store's own time is told")
        _ = try await store.head(try ObjectKey("a"))
        #expect(service.seen.count == 3, "what was learnt is kept")
        await service.stop()
    }

    private struct Sequence: CredentialSource {
        let name = "a test"
        var token = "TOKENWORD"
        let count = Counter()
        func fetch() async throws(CredentialError) -> BucketCredentials? {
            BucketCredentials(accessKeyID: "K\(count.next())", secret: "SECRETWORD", token: token)
        }
    }

    private final class Counter: Sendable {
        private let value = Mutex(0)
        func next() -> Int {
            value.withLock { value in
                value += 1
                return value
            }
        }
    }

    @Test("a token that has ended is replaced once, be it told as 400 ExpiredToken or as Ceph's 403", arguments: [400, 403])
    func expired(_ status: Int) async throws {
        let service = try FakeService { seen, _ in
            seen.headers["Authorization"]?.contains("Credential=K2/") == true
                ? Self.object(seen) : .refusal(HTTPStatus(rawValue: status), status == 400 ? "ExpiredToken" : "AccessDenied")
        }
        let provider = CredentialProvider([Sequence()], nowUs: clock.clock.nowUs)
        _ = try await store(service, provider: provider).head(try ObjectKey("a"))
        #expect(service.seen.count == 2 && clock.slept.isEmpty)
        await service.stop()
    }

    @Test("keys without a token that were replaced are fetched anew", arguments: ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
    func rotated(_ code: String) async throws {
        let service = try FakeService { seen, _ in
            seen.headers["Authorization"]?.contains("Credential=K2/") == true ? Self.object(seen) : .refusal(403, code)
        }
        let store = try store(service, provider: CredentialProvider([Sequence(token: "")], nowUs: clock.clock.nowUs))
        for _ in 0..<2 {
            #expect(try await store.put(try ObjectKey("a"), Self.bytes, ifAbsent: false).etag == Self.tag)
        }
        #expect(service.seen.count == 3 && clock.slept.isEmpty)
        await service.stop()
    }

    @Test("keys that are refused and are still the same are not tried again")
    func stillRefused() async throws {
        let service = try FakeService { _, _ in .refusal(403, "InvalidAccessKeyId") }
        let key = try ObjectKey("a")
        await #expect(throws: StoreError.denied(reason: "403 InvalidAccessKeyId")) {
            try await store(service).put(key, [1], ifAbsent: false)
        }
        #expect(service.seen.count == 1)
        await service.stop()
    }

    @Test("another region is signed for, at the same host")
    func region() async throws {
        let service = try FakeService { seen, _ in
            seen.headers["Authorization"]?.contains("/eu-north-1/s3/") == true
                ? Self.object(seen)
                : .refusal(
                    301, "PermanentRedirect", headers: ["x-amz-bucket-region": "eu-north-1", "Location": "http://127.0.0.1:1/"])
        }
        let store = try store(service)
        _ = try await store.head(try ObjectKey("a"))
        _ = try await store.head(try ObjectKey("a"))
        #expect(service.seen.count == 3)
        await service.stop()
    }

    @Test("a region that nobody tells is asked of the bucket, without credentials")
    func discovery() async throws {
        let service = try FakeService { seen, number in
            number == 0 ? .refusal(403, "", headers: ["x-amz-bucket-region": "eu-north-1"]) : Self.object(seen)
        }
        _ = try await store(service, region: "").head(try ObjectKey("a"))
        #expect(
            service.seen[0].method == .head && service.seen[0].headers["Authorization"] == nil && service.seen[0].path == "/media"
        )
        #expect(service.seen[1].headers["Authorization"]?.contains("/eu-north-1/s3/") == true)
        await service.stop()
    }

    @Test("other bytes than were sent are not taken for the object")
    func damaged() async throws {
        let service = try FakeService { _, _ in HTTPResponse(.ok, headers: ["ETag": "\"00000000000000000000000000000000\""]) }
        await #expect(throws: StoreError.unavailable(reason: "the store has other bytes than were sent")) {
            try await store(service).put(try ObjectKey("a"), Self.bytes, ifAbsent: false)
        }
        await service.stop()
    }

    @Test("a tag that is no digest is checked by size")
    func sizes() async throws {
        let service = try FakeService { seen, _ in
            seen.method == .head
                ? .bytes([1, 2, 3], contentType: "video/mp4", headers: ["ETag": "\"abc-1\""])
                : HTTPResponse(.ok, headers: ["ETag": "\"abc-1\""])
        }
        let store = try store(service)
        #expect(try await store.put(try ObjectKey("a"), [1, 2, 3], ifAbsent: false).size == 3)
        await #expect(throws: StoreError.self) { try await store.put(try ObjectKey("a"), [1, 2], ifAbsent: false) }
        await service.stop()
    }

    /// A file of `count` bytes, gone from its folder but open.
    private func file(_ count: Int) throws -> LocalFile {
        let path = NSTemporaryDirectory() + "parts-" + UUID().uuidString
        try Data(Self.bytes.prefix(count)).write(to: URL(fileURLWithPath: path))
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        unlink(path)
        return LocalFile(
            descriptor: descriptor, info: ObjectInfo(key: try ObjectKey("f"), size: Int64(count), etag: "", modifiedUs: 0))
    }

    /// As S3 takes an upload in parts, whose end is answered by `complete`.
    private static func multipart(_ complete: @escaping @Sendable () -> HTTPResponse) throws -> FakeService {
        try FakeService { seen, _ in
            switch (seen.method, seen.query) {
            case (.get, _): .text("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>")
            case (.post, "uploads="):
                .text("<InitiateMultipartUploadResult><UploadId>U+1</UploadId></InitiateMultipartUploadResult>")
            case (.post, _): complete()
            case (.delete, _): HTTPResponse(.noContent)
            case (.head, _): .bytes(bytes, contentType: "video/mp4", headers: ["ETag": "\"x-3\""])
            default: HTTPResponse(.ok, headers: ["ETag": PayloadDigest(seen.body).etag])
            }
        }
    }

    @Test("a long file goes in parts that are each checked")
    func parts() async throws {
        let service = try Self.multipart { .text("<CompleteMultipartUploadResult/>") }
        let file = try file(300_000)
        defer { close(file.descriptor) }
        let store = try store(service, parts: .init(thresholdBytes: 1_000, partBytes: 120_000))
        #expect(try await store.put(try ObjectKey("a"), file: file, contentType: "video/mp4", ifAbsent: false).size == 300_000)
        let puts = service.seen.filter { $0.method == .put }
        #expect(puts.map(\.query) == (1...3).map { "partNumber=\($0)&uploadId=U%2B1" })
        #expect(puts.flatMap(\.body) == Self.bytes)
        await service.stop()
    }

    @Test("200 with an error inside is an error, and the upload is given up")
    func errorInside() async throws {
        let service = try Self.multipart { .text("<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>") }
        let file = try file(300_000)
        defer { close(file.descriptor) }
        let store = try store(service, parts: .init(thresholdBytes: 1_000, partBytes: 120_000))
        await #expect(throws: StoreError.unavailable(reason: "500 InternalError")) {
            try await store.put(try ObjectKey("a"), file: file, contentType: nil, ifAbsent: false)
        }
        #expect(service.seen.last.map { $0.method == .delete && $0.query == "uploadId=U%2B1" } == true)
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

    @Test("a presigned address ends before the credentials that sign it")
    func presign() async throws {
        let service = try FakeService { seen, _ in Self.object(seen) }
        let now = clock.clock.nowUs()
        let ending = BucketCredentials(accessKeyID: "K", secret: "s", token: "a+b/c=", expiresUs: now + 1_000 * 1_000_000)
        let provider = CredentialProvider([FixedCredentials(credentials: ending)], nowUs: clock.clock.nowUs)
        let url = try #require(
            await store(service, provider: provider).presign(.get, try ObjectKey("a b"), seconds: 9_999, nowUs: now))
        #expect(url.hasPrefix(service.url + "/media/rec/a%20b?X-Amz-Algorithm="))
        #expect(url.contains("X-Amz-Expires=940&") && url.contains("X-Amz-Security-Token=a%2Bb%2Fc%3D&"))
        await service.stop()
    }
}
