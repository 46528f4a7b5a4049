import Foundation
import HTTP
import Testing

@testable import Buckets

@Suite("Signatures 1 and 4 of Alibaba Cloud OSS")
struct OSSSignatureTests {
    @Test("the published example of version 1")
    func first() {
        let signer = OSSV1(
            credentials: BucketCredentials(
                accessKeyID: "44CF9590006BF252F707", secret: "OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV"),
            atSeconds: 1_132_253_398)
        let fields = signer.headers(
            .put, resource: "/oss-example/nelson", query: [],
            headers: [
                "Content-Md5": "ODBGOERFMDMzQTczRUY3NUE3NzA5QzdFNUYzMDQxNEM=", "Content-Type": "text/html",
                "X-OSS-Meta-Author": "foo@bar.com", "X-OSS-Magic": "abracadabra",
            ])
        #expect(fields["Date"] == "Thu, 17 Nov 2005 18:49:58 GMT")
        #expect(fields["Authorization"] == "OSS 44CF9590006BF252F707:26NBxoKdsyly4EDv6inkoDft/yA=")
    }

    @Test("version 4, as oss2 and a separate computation have it")
    func fourth() {
        let signer = OSSV4(
            region: "cn-hangzhou", credentials: BucketCredentials(accessKeyID: "AKIDEXAMPLE", secret: "SKEXAMPLE"),
            atSeconds: 1_701_605_532)
        let fields = signer.headers(
            .put, resource: "/examplebucket/live/cam1/seg +1.m4s", query: [.init("uploads"), .init("partNumber", "1")],
            headers: ["Content-Type": "video/mp4", "Content-MD5": "eB5eJF1ptWaXm4bijSPyxw==", "Range": "bytes=0-"])
        #expect(fields["x-oss-date"] == "20231203T121212Z")
        #expect(
            fields["Authorization"]
                == "OSS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231203/cn-hangzhou/oss/aliyun_v4_request, "
                + "Signature=d556910ac2f275556dd353624873eb8f073a80b7e31dead53c7e09df8d0e16e7")
    }

    private struct Vector: Decodable {
        let version: Int
        let method, region, key, token: String
        let query: [[String]]
        let headers: [String: String]
        let presignSeconds: Int
        let authorization, presigned: String?
    }

    @Test("oss2 signs the same, awkward keys and all")
    func vectors() throws {
        let file = try #require(Bundle.module.url(forResource: "Vectors/oss2", withExtension: "json"))
        let vectors = try JSONDecoder().decode([Vector].self, from: Data(contentsOf: file))
        #expect(vectors.count >= 300 && Set(vectors.map(\.version)) == [1, 4])
        let seconds: Int64 = 1_795_230_245
        for vector in vectors {
            let credentials = BucketCredentials(accessKeyID: "AKIDEXAMPLE", secret: "secret+/EXAMPLEKEY", token: vector.token)
            let first = OSSV1(credentials: credentials, atSeconds: seconds)
            let fourth = OSSV4(region: vector.region, credentials: credentials, atSeconds: seconds)
            let (method, resource) = (HTTPMethod(rawValue: vector.method), "/media/" + vector.key)
            let query = vector.query.map { BucketRequest.Parameter($0[0], $0[1]) }
            var headers: HTTPHeaders = [:]
            for (name, value) in vector.headers { headers[name] = value }
            if let expected = vector.presigned {
                let valid = vector.presignSeconds
                let found =
                    vector.version == 1
                    ? first.presignedQuery(method, resource: resource, query: query, seconds: valid, headers: headers)
                    : fourth.presignedQuery(method, resource: resource, query: query, seconds: valid, headers: headers)
                let name = vector.version == 1 ? "Signature=" : "x-oss-signature="
                let signature = found.split(separator: "&").first { $0.hasPrefix(name) }?.dropFirst(name.count)
                #expect(signature.flatMap { PercentCoding.decode($0) } == expected, "\(vector)")
            } else {
                let found =
                    vector.version == 1
                    ? first.headers(method, resource: resource, query: query, headers: headers)
                    : fourth.headers(method, resource: resource, query: query, headers: headers)
                #expect(found["Authorization"] == vector.authorization, "\(vector)")
            }
        }
    }

    @Test("an address is good for seven days at most, and for one second at least", arguments: [(0, 1), (9_999_999, 604_800)])
    func presignBounds(_ asked: Int, _ given: Int) {
        let credentials = BucketCredentials(accessKeyID: "A", secret: "S", token: "a+b/c=")
        let query = OSSV4(region: "r", credentials: credentials, atSeconds: 0).presignedQuery(
            .get, resource: "/b/k", query: [], seconds: asked)
        #expect(query.contains("x-oss-expires=\(given)&") && query.contains("x-oss-security-token=a%2Bb%2Fc%3D&"))
    }

    @Test("a name without value stands alone, and order goes by encoded bytes")
    func query() {
        let query: [BucketRequest.Parameter] = [
            .init("uploads"), .init("a-b", "1"), .init("a", "2"), .init("A", " +"), .init("empty", ""), .init("ä", "~"),
        ]
        #expect(OSSV4.encoded(query) == "%C3%A4=~&A=%20%2B&a=2&a-b=1&empty&uploads")
    }

    @Test("blanks at a field's ends are not signed", arguments: [("", ""), (" \t ", ""), (" a  b\t", "a  b"), ("a", "a")])
    func trimmed(_ text: String, _ rest: String) {
        #expect(OSSFields.trimmed(text) == rest)
    }
}

@Suite("CRC-64 of ECMA-182, reversed and inverted")
struct CRC64Tests {
    private static let bytes = (0..<5_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 7) }

    private func sum(_ bytes: some Collection<UInt8>, after sum: UInt64 = 0) -> UInt64 {
        Array(bytes).withUnsafeBytes { CRC64.update(sum, $0) }
    }

    @Test("the check value, of nothing, and of one byte")
    func known() {
        #expect(sum("123456789".utf8) == 0x995D_C9BB_DF19_39FA)
        #expect(sum([]) == 0)
        #expect(sum([0]) == 0x1FAD_A173_6467_3F59)
    }

    @Test(
        "in pieces and joined it is the same, wherever it is cut", arguments: [0, 1, 7, 8, 9, 63, 64, 1_000, 4_095, 4_999, 5_000])
    func pieces(_ cut: Int) {
        let whole = sum(Self.bytes)
        let (first, second) = (Self.bytes[..<cut], Self.bytes[cut...])
        #expect(sum(second, after: sum(first)) == whole)
        #expect(CRC64.joined(sum(first), sum(second), secondBytes: Int64(second.count)) == whole)
    }

    @Test("bit by bit it is the same", arguments: 0..<20)
    func slow(_ count: Int) {
        var slow = ~UInt64(0)
        for byte in Self.bytes[..<count] {
            slow ^= UInt64(byte)
            for _ in 0..<8 { slow = slow & 1 == 0 ? slow >> 1 : slow >> 1 ^ 0xC96C_5795_D787_0F42 }
        }
        #expect(sum(Self.bytes[..<count]) == ~slow)
    }

    @Test("a digest in parts has the sum of the whole, and S3's tag")
    func joined() {
        let parts = [Self.bytes[..<2_000], Self.bytes[2_000..<2_001], Self.bytes[2_001...]].map { Array($0) }
        let whole = PayloadDigest(joining: parts.map { (PayloadDigest($0, .crc64), Int64($0.count)) })
        #expect(whole.crc64 == sum(Self.bytes) && whole.etag.hasSuffix("-3\"") && whole.etag.utf8.count == 36)
        #expect(PayloadDigest(joining: parts.map { (PayloadDigest($0), Int64($0.count)) }).crc64 == nil)
    }

    @Test("a digest piece by piece is that of all")
    func running() {
        var digest = RunningDigest(.crc64)
        for start in stride(from: 0, to: Self.bytes.count, by: 777) {
            Self.bytes[start..<min(Self.bytes.count, start + 777)].withUnsafeBytes { digest.add($0) }
        }
        let found = digest.finish()
        #expect(found == PayloadDigest(Self.bytes, .crc64))
    }
}

@Suite("Addresses of OSS buckets")
struct OSSAddressTests {
    @Test(
        "the style that an endpoint's name shows",
        arguments: [
            ("https://oss-cn-hangzhou.aliyuncs.com", "media", "https://media.oss-cn-hangzhou.aliyuncs.com/a%20b/%2B"),
            (
                "http://oss-cn-hangzhou-internal.aliyuncs.com/", "media",
                "http://media.oss-cn-hangzhou-internal.aliyuncs.com/a%20b/%2B"
            ),
            ("https://oss-accelerate.aliyuncs.com", "media", "https://media.oss-accelerate.aliyuncs.com/a%20b/%2B"),
            ("https://media.oss-cn-hangzhou.aliyuncs.com", "media", "https://media.oss-cn-hangzhou.aliyuncs.com/a%20b/%2B"),
            ("http://10.0.0.1:8080", "media", "http://10.0.0.1:8080/media/a%20b/%2B"),
            ("http://[::1]:8080", "media", "http://[::1]:8080/media/a%20b/%2B"),
            ("https://oss.example.com/store/", "media", "https://oss.example.com/store/media/a%20b/%2B"),
            ("https://media.example.com", "media", "https://media.example.com/a%20b/%2B"),
            ("https://oss-cn-hangzhou.aliyuncs.com", "Me_dia", "https://oss-cn-hangzhou.aliyuncs.com/Me_dia/a%20b/%2B"),
            (
                "https://oss-cn-hangzhou.aliyuncs.com.evil.example", "media",
                "https://oss-cn-hangzhou.aliyuncs.com.evil.example/media/a%20b/%2B"
            ),
        ])
    func url(_ text: String, _ bucket: String, _ expected: String) throws {
        let endpoint = try #require(Endpoint(text))
        let address = OSSAddress(bucket: bucket, endpoint: endpoint, style: OSSAddress.style(bucket: bucket, endpoint))
        #expect(address.url("a b/+", query: "") == expected)
        #expect(address.resource("a b/+") == "/\(bucket)/a b/+")
    }

    @Test(
        "the region in the names of Alibaba's hosts",
        arguments: [
            ("https://oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
            ("https://oss-cn-hangzhou-internal.aliyuncs.com", "cn-hangzhou"),
            ("https://media.oss-ap-southeast-1.aliyuncs.com", "ap-southeast-1"),
            ("https://cn-hangzhou.oss.aliyuncs.com", "cn-hangzhou"), ("https://vpc100-oss-cn-beijing.aliyuncs.com", "cn-beijing"),
            ("https://s3.oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
            ("https://cn-hangzhou-internal.oss-data-acc.aliyuncs.com", "cn-hangzhou"),
            ("https://oss-accelerate.aliyuncs.com", nil), ("https://oss-accelerate-overseas.aliyuncs.com", nil),
            ("https://oss.aliyuncs.com", nil), ("https://oss-cn-hangzhou.example.com", nil), ("http://10.0.0.1", nil),
        ] as [(String, String?)])
    func region(_ text: String, _ region: String?) throws {
        #expect(OSSAddress.region(of: try #require(Endpoint(text))) == region)
    }

    @Test(
        "the region as it is configured",
        arguments: [
            ("oss-cn-hangzhou", "cn-hangzhou"), ("cn-hangzhou", "cn-hangzhou"), ("oss-cn-hangzhou-internal", "cn-hangzhou"),
            ("", ""),
        ])
    func configured(_ text: String, _ region: String) {
        #expect(OSSAddress.region(configured: text) == region)
    }
}
