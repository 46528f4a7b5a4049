import EdgeFixtures
import Media
import Presentation
import Testing

@Suite("Instants (RFC 3339)")
struct InstantTests {
    @Test(
        "both forms",
        arguments: [
            ("0", 0), ("1795168800000", 1_795_168_800_000_000), ("1795168800000000", 1_795_168_800_000_000),
            ("1795168800", 1_795_168_800_000_000), ("1795168800.5", 1_795_168_800_500_000),
            ("1795168800.123456789", 1_795_168_800_123_456), ("2026-11-20T10:00:00Z", 1_795_168_800_000_000),
            ("2026-11-20t10:00:00.25z", 1_795_168_800_250_000), ("2026-11-20T12:30:00+02:30", 1_795_168_800_000_000),
            ("2026-11-20T12:30:00 02:30", 1_795_168_800_000_000), ("2026-11-20T05:00:00-05:00", 1_795_168_800_000_000),
            ("2000-02-29T23:59:60Z", 951_868_800_000_000), ("1970-01-01T00:00:00Z", 0),
        ] as [(String, Int64)])
    func valid(text: String, us: Int64) {
        #expect(Instant.parse(text) == us)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", ".", "1.", ".5", "1.2.3", "-1", "+1", "1e9", "99999999999", "1795168800000.5", "99999999999999999",
            "123456789012345678", "2026-11-20", "2026-11-20T10:00:00",
            "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-11-20T24:00:00Z",
            "2026-11-20T10:60:00Z", "2026-11-20T10:00:00.Z", "2026-11-20T10:00:00+2:30", "2026-11-20T10:00:00Zx",
            "1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "２０２６-11-20T10:00:00Z", "2026-11-20T10:00:00+24:00",
            "0000-00-00T00:00:00Z",
        ])
    func invalid(text: String) {
        #expect(Instant.parse(text) == nil)
    }

    @Test(
        "small numbers are offsets",
        arguments: [
            ("0", 0), ("12.5", 12_500_000), ("99999999.999999", 99_999_999_999_999), ("100000000", nil), ("1795168800", nil),
            ("", nil), ("-1", nil), (".5", nil), ("1.", nil), ("1.2.3", nil), ("2026-11-20T10:00:00Z", nil),
        ] as [(String, Int64?)])
    func offsets(text: String, us: Int64?) {
        #expect(Instant.parseOffset(text) == us)
    }

    @Test("what the manifest writer writes is read back", arguments: 1...50 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<100 {
            let us = Int64.random(in: 0...(1 << 53), using: &generator)
            #expect(Instant.parse(ISO8601.dateTime(microseconds: us)) == us)
        }
    }

    @Test("mutated instants never trap", arguments: 1...10 as ClosedRange<UInt64>)
    func hostile(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<2_000 {
            var bytes = Array("2026-11-20T12:30:00.125+02:30".utf8)
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0...2, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                case 1 where bytes.count > 1: bytes.remove(at: index)
                default: bytes.insert(UInt8.random(in: 0x2A...0x3A, using: &generator), at: index)
                }
            }
            if let us = Instant.parse(String(decoding: bytes, as: UTF8.self)) { #expect(us >= 0) }
        }
    }
}
