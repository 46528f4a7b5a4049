import Foundation
import HTTP
import Testing

@testable import Buckets

@Suite("AWS Signature Version 4 for S3")
struct SigV4Tests {
    private static let credentials = BucketCredentials(
        accessKeyID: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    /// 2013-05-24T00:00:00Z
    private static let seconds: Int64 = 1_369_353_600
    private static let host = "examplebucket.s3.amazonaws.com"

    struct Example: Sendable, CustomTestStringConvertible {
        let method: HTTPMethod
        let path: String
        var query: [BucketRequest.Parameter] = []
        var headers: HTTPHeaders = [:]
        var body = ""
        let signature: String
        var testDescription: String { "\(method) \(path) \(query.map(\.name))" }
    }

    @Test(
        "the published examples",
        arguments: [
            Example(
                method: .get, path: "/test.txt", headers: ["Range": "bytes=0-9"],
                signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            Example(
                method: .put, path: "/test%24file.text",
                headers: ["Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"],
                body: "Welcome to Amazon S3.", signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            Example(
                method: .get, path: "/", query: [.init("lifecycle")],
                signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            Example(
                method: .get, path: "/", query: [.init("prefix", "J"), .init("max-keys", "2")],
                signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ])
    func examples(_ example: Example) {
        let signer = SigV4(region: "us-east-1", credentials: Self.credentials, atSeconds: Self.seconds)
        let fields = signer.headers(
            example.method, host: Self.host, path: example.path, query: example.query, headers: example.headers,
            payloadHash: PayloadDigest(Array(example.body.utf8)).sha256)
        #expect(fields["Authorization"]?.hasSuffix("Signature=" + example.signature) == true)
        #expect(
            fields["Authorization"]?.hasPrefix(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=") == true)
        #expect(fields["x-amz-date"] == "20130524T000000Z")
    }

    @Test("the published presigned address")
    func presigned() {
        let signer = SigV4(region: "us-east-1", credentials: Self.credentials, atSeconds: Self.seconds)
        let query = signer.presignedQuery(.get, host: Self.host, path: "/test.txt", query: [], seconds: 86_400)
        #expect(query.hasSuffix("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"))
        #expect(query.hasPrefix("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"))
    }

    @Test("an address is good for seven days at most, and for one second at least", arguments: [(0, 1), (9_999_999, 604_800)])
    func presignBounds(_ asked: Int, _ given: Int) {
        let signer = SigV4(region: "us-east-1", credentials: Self.credentials, atSeconds: Self.seconds)
        let query = signer.presignedQuery(.get, host: Self.host, path: "/a", query: [], seconds: asked)
        #expect(query.contains("X-Amz-Expires=\(given)&"))
    }

    private struct Vector: Decodable {
        let method, region, host, key, body, token: String
        let query: [[String]]
        let headers: [String: String]
        let presignSeconds: Int
        let authorization, presigned: String?
    }

    @Test("botocore signs the same, awkward keys and all")
    func botocore() throws {
        let file = try #require(Bundle.module.url(forResource: "Vectors/botocore", withExtension: "json"))
        let vectors = try JSONDecoder().decode([Vector].self, from: Data(contentsOf: file))
        #expect(vectors.count >= 300)
        for vector in vectors {
            let signer = SigV4(
                region: vector.region,
                credentials: BucketCredentials(accessKeyID: "AKIDEXAMPLE", secret: "secret+/EXAMPLEKEY", token: vector.token),
                atSeconds: 1_795_230_245)
            let path = "/bucket/" + PercentCoding.encode(vector.key, keepSlash: true)
            let query = vector.query.map { BucketRequest.Parameter($0[0], $0[1]) }
            if let expected = vector.presigned {
                let found = signer.presignedQuery(
                    HTTPMethod(rawValue: vector.method), host: vector.host, path: path, query: query,
                    seconds: vector.presignSeconds)
                #expect(found.hasSuffix("X-Amz-Signature=" + expected), "\(vector)")
            } else {
                var headers: HTTPHeaders = [:]
                for (name, value) in vector.headers { headers[name] = value }
                let found = signer.headers(
                    HTTPMethod(rawValue: vector.method), host: vector.host, path: path, query: query, headers: headers,
                    payloadHash: PayloadDigest(Array(vector.body.utf8)).sha256)
                #expect(found["Authorization"] == vector.authorization, "\(vector)")
            }
        }
    }

    @Test("a key that is remembered signs as one that is derived anew, over days, regions and secrets")
    func rememberedKey() {
        let keys = SigningKey.Memo()
        let seconds: [Int64] = [Self.seconds, Self.seconds + 1, Self.seconds + 86_400, Self.seconds]
        for (region, secret) in [("a", "b"), ("a", "b"), ("ab", ""), ("a", "c"), ("b", "c")] {
            for second in seconds {
                let credentials = BucketCredentials(accessKeyID: "id", secret: secret)
                let kept = SigV4(region: region, credentials: credentials, atSeconds: second, keys: keys)
                let anew = SigV4(region: region, credentials: credentials, atSeconds: second)
                #expect(
                    kept.presignedQuery(.get, host: "h", path: "/a", query: [], seconds: 9)
                        == anew.presignedQuery(.get, host: "h", path: "/a", query: [], seconds: 9))
                let (own, other) = (
                    OSSV4(region: region, credentials: credentials, atSeconds: second, keys: keys),
                    OSSV4(region: region, credentials: credentials, atSeconds: second)
                )
                #expect(
                    own.signature(.get, resource: "/b/k", query: [], headers: [:])
                        == other.signature(.get, resource: "/b/k", query: [], headers: [:]))
            }
        }
    }

    @Test("fields of one name are signed as one, in their order, without blanks that don't count")
    func canonicalFields() {
        var headers: HTTPHeaders = ["X-B": " 2  3 ", "host": "h", "x-a": "1"]
        headers.add("x-B", "4")
        let canonical = SigV4.Canonical(method: .get, path: "/p", query: [], headers: headers, payloadHash: "hash")
        #expect(canonical.signedNames == "host;x-a;x-b")
        #expect(canonical.text == "GET\n/p\n\nhost:h\nx-a:1\nx-b:2 3,4\n\nhost;x-a;x-b\nhash")
    }

    @Test("a name without value gets its equals sign, and order goes by encoded bytes")
    func query() {
        let query: [BucketRequest.Parameter] = [
            .init("uploads"), .init("a-b", "1"), .init("a", "2"), .init("A", " +"), .init("a", "1"), .init("ä", "~"),
        ]
        #expect(SigV4.encoded(query) == "%C3%A4=~&A=%20%2B&a=1&a=2&a-b=1&uploads=")
    }
}

@Suite("Digests (FIPS 180-4, RFC 1321, RFC 2104, RFC 4648)")
struct DigestTests {
    @Test("of nothing and of something")
    func known() {
        #expect(PayloadDigest.empty.sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(PayloadDigest.empty.contentMD5 == "1B2M2Y8AsgTpgAmY7PhCfg==")
        #expect(
            Digest.hex(Digest.hmacSHA1(Array("key".utf8), Array("The quick brown fox jumps over the lazy dog".utf8)))
                == "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9")
        #expect(Digest.hex(Digest.hmacSHA256([], [])) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")
    }

    @Test(
        "Base64",
        arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")])
    func base64(_ text: String, _ encoded: String) {
        #expect(Digest.base64(Array(text.utf8)) == encoded)
    }

    @Test("piece by piece is the same")
    func running() {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
        var digest = RunningDigest()
        for start in stride(from: 0, to: bytes.count, by: 777) {
            bytes[start..<min(bytes.count, start + 777)].withUnsafeBytes { digest.add($0) }
        }
        let found = digest.finish()
        #expect(found == PayloadDigest(bytes))
    }
}

@Suite("Dates of signatures and listings")
struct BasicDateTests {
    @Test(
        "RFC 3339 in UTC",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2026-11-21T03:04:05.678Z", 1_795_230_245_678_000),
            ("2026-11-21T03:04:05.1Z", 1_795_230_245_100_000),
            ("2026-11-21T03:04:05.123456789Z", 1_795_230_245_123_456),
        ] as [(String, Int64)])
    func parse(_ text: String, _ micros: Int64) {
        #expect(BasicDate.parse(text) == micros)
    }

    @Test(
        "anything else is none",
        arguments: [
            "", "2026-11-21", "2026-13-21T03:04:05Z", "2026-11-21T03:04:05+01:00", "2026-11-21T03:04:05.Z",
            "ööööööööööööööööööööZ",
        ])
    func refused(_ text: String) {
        #expect(BasicDate.parse(text) == nil)
    }

    @Test("basic format")
    func format() {
        #expect(BasicDate.format(1_369_353_600) == "20130524T000000Z")
        #expect(BasicDate.format(.max) == BasicDate.format(.max))
    }
}
