import HTTP
import Store
import Testing

@testable import Buckets

@Suite("XML as stores write it (XML 1.0)")
struct XMLReaderTests {
    private func parse(_ text: String) throws(XMLError) -> XMLElement { try XMLReader.parse(Array(text.utf8)) }

    @Test("elements, text, entities, CDATA, comments")
    func known() throws {
        let root = try parse(
            "\u{FEFF}<?xml version=\"1.0\"?>\n<!-- a > b --><s3:List xmlns:s3='x>y'>\n<A k=\"/>\">1&lt;2&amp;&quot;&apos;&gt;&#246;&#x1F3A5;</A><B/><A><![CDATA[<&>]]>z</A></s3:List>\n"
        )
        #expect(root.name == "List" && root.all("A").map(\.text) == ["1<2&\"'>ö🎥", "<&>z"] && root["B"]?.text == "")
    }

    @Test(
        "what is not well-formed is refused",
        arguments: [
            "", " ", "x", "<a>", "<a></b>", "</a>", "<a/><b/>", "<a>&#0;</a>", "<a>&#xD800;</a>", "<a>&lt</a>", "<a", "<a b>",
            "<a b=c/>", "<a b='/>", "<!-- ",
            "<a><![CDATA[x</a>", "<a/>x", "<>", "<a>&#99999999999;</a>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>&b;</a>",
        ])
    func refused(_ text: String) {
        #expect(throws: XMLError.self) { try parse(text) }
    }

    @Test("depth and number are bounded")
    func bounds() {
        #expect(throws: XMLError.tooLarge) { try parse(String(repeating: "<a>", count: 100_000)) }
        #expect(throws: XMLError.tooLarge) { try parse("<a>" + String(repeating: "<b/>", count: 70_000) + "</a>") }
    }

    @Test("text survives being escaped", arguments: ["", "a&b<c>\"d'\r\n\t", "ö🎥", "]]>", "&amp;"])
    func roundTrip(_ text: String) throws {
        #expect(try parse("<a>\(XMLElement.escaped(text))</a>").text == text)
    }

    @Test("damaged answers never trap", arguments: 0..<4)
    func mutated(seed: UInt64) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        let original = Array(ListingTests.page.utf8)
        let pieces = ["<", ">", "&", ";", "</", "/>", "<!--", "<![CDATA[", "&#x", "\"", "'", "=", "\u{0}", "%", "%zz"].map {
            Array($0.utf8)
        }
        for _ in 0..<600 {
            var bytes = original
            for _ in 0...random(6) {
                let at = random(bytes.count)
                switch random(3) {
                case 0: bytes[at] = UInt8(random(256))
                case 1: bytes.replaceSubrange(at..<min(bytes.count, at + random(20)), with: pieces[random(pieces.count)])
                default: bytes.removeLast(min(bytes.count - 1, random(40)))
                }
            }
            _ = try? XMLReader.parse(bytes)
            _ = RemoteBucket.read(bytes)
            _ = BucketFault(status: 400, headers: [:], body: bytes)
        }
    }
}

@Suite("Listings (ListObjectsV2)")
struct ListingTests {
    static let page = """
        <?xml version="1.0" encoding="UTF-8"?>
        <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>true</IsTruncated>
        <EncodingType>url</EncodingType><Contents><Key>a%2Bb+c%20d/%C3%B6&amp;</Key><LastModified>2026-11-21T03:04:05.000Z</LastModified>
        <ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>
        <Contents><Key>%FF</Key><Size>1</Size></Contents><Contents><Key>z</Key><Size>-1</Size></Contents></ListBucketResult>
        """

    @Test("names are decoded once, what cannot be a name or a size is passed over")
    func read() throws {
        let page = try #require(RemoteBucket.read(Array(Self.page.utf8)))
        #expect(page.isTruncated && page.entries.map(\.name) == ["a+b c d/ö&"])
        #expect(page.entries[0].tag == "\"9dd4e461268c8034f5c8564e155c67a6\"" && page.entries[0].size == 7)
        #expect(page.entries[0].modifiedUs == 1_795_230_245_000_000)
    }

    @Test("without encoding names stand as they are")
    func plain() throws {
        let text = Self.page.replacing("<EncodingType>url</EncodingType>", with: "")
        #expect(try #require(RemoteBucket.read(Array(text.utf8))).entries.map(\.name) == ["a%2Bb+c%20d/%C3%B6&", "%FF"])
        #expect(RemoteBucket.read(Array("<Error/>".utf8)) == nil)
    }
}

@Suite("Addresses of buckets")
struct AddressTests {
    @Test(
        "style, port, prefix and IPv6",
        arguments: [
            ("http://localhost:9000", "media", true, "http://media.localhost:9000/a%20b/%2B"),
            ("http://localhost:9000/", "media", false, "http://localhost:9000/media/a%20b/%2B"),
            ("http://[::1]:9000", "media", true, "http://[::1]:9000/media/a%20b/%2B"),
            ("https://127.0.0.1:443/store/", "media", true, "https://127.0.0.1/store/media/a%20b/%2B"),
            ("https://s3.example/x", "my.media", true, "https://s3.example/x/my.media/a%20b/%2B"),
            ("https://s3.example", "Media", true, "https://s3.example/Media/a%20b/%2B"),
            ("HTTPS://S3.Example:8443", "media", true, "https://media.s3.example:8443/a%20b/%2B"),
            ("", "media", false, "https://s3.eu-west-1.amazonaws.com/media/a%20b/%2B"),
            ("", "media", true, "https://media.s3.eu-west-1.amazonaws.com/a%20b/%2B"),
        ])
    func url(_ endpoint: String, _ bucket: String, _ isVirtual: Bool, _ expected: String) throws {
        let address = try S3Address(
            bucket: bucket, endpoint: Endpoint(endpoint), region: "eu-west-1", isVirtualHostStyle: isVirtual)
        #expect(address.url("a b/+", query: "") == expected)
    }

    @Test(
        "what is no endpoint is none",
        arguments: [
            "", "s3.example", "ftp://x", "http://", "http://user@host", "http://a:b", "http://a:70000", "http://a:0",
            "http://[::1", "http://a b", "http://a/?q", "http://a/#f", "http://::1",
        ])
    func refused(_ text: String) {
        #expect(Endpoint(text) == nil)
    }

    @Test(
        "the region in Amazon's host names",
        arguments: [
            ("https://s3.eu-west-1.amazonaws.com", "eu-west-1"), ("https://s3-eu-west-1.amazonaws.com", "eu-west-1"),
            ("https://s3.dualstack.us-west-2.amazonaws.com", "us-west-2"),
            ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("https://s3.amazonaws.com", nil), ("http://localhost:9000", nil), ("https://minio.example.com", nil),
        ] as [(String, String?)])
    func region(_ text: String, _ region: String?) throws {
        #expect(S3Address.region(of: try #require(Endpoint(text))) == region)
    }

    @Test("cn regions have their own domain; a region that is no label is refused")
    func domains() throws {
        let address = try S3Address(bucket: "b", endpoint: nil, region: "cn-north-1", isVirtualHostStyle: false)
        #expect(address.host == "s3.cn-north-1.amazonaws.com.cn")
        #expect(throws: StoreError.self) { try S3Address(bucket: "b", endpoint: nil, region: "a/b?", isVirtualHostStyle: false) }
    }
}
