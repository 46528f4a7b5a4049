import Testing

@testable import Media

@Suite("Decimal digits, eight at a time")
struct DecimalTests {
    /// Where the number of digits changes, where halves of eight meet, and both ends.
    private static let values: [UInt64] =
        (0..<20).flatMap { digits in
            let bound = (0..<digits).reduce(UInt64(1)) { bound, _ in bound &* 10 }
            return [bound &- 1, bound, bound &+ 1, bound &* 9, bound &* 5 &+ 7]
        } + [0, 99_999_999, 100_000_000, 9_999_9999_9999_9999, .max, .max - 1, UInt64(Int64.max)]

    private func written(_ value: UInt64) -> String {
        withUnsafeTemporaryAllocation(byteCount: Decimal.digitsMax + 8, alignment: 8) { memory in
            guard let start = memory.baseAddress else { return "" }
            let count = Decimal.write(value, to: start)
            return String(decoding: memory[..<count], as: UTF8.self)
        }
    }

    private func read(_ text: String, at offset: Int = 0) -> (value: UInt64, digits: Int)? {
        Array(text.utf8).withUnsafeBytes { Decimal.readShort($0, at: offset) }
    }

    @Test("a number is written as it is printed", arguments: values)
    func writes(value: UInt64) {
        let text = written(value)
        #expect(text == String(value))
    }

    @Test("so are any of any length")
    func writesAny() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let value = UInt64.random(in: 0 ... .max, using: &random) >> UInt64.random(in: 0..<64, using: &random)
            let text = written(value)
            #expect(text == String(value))
        }
    }

    @Test("up to seven digits are read at once, whatever follows", arguments: [" ", "*", "/", ":", "\0", "x", "é", "\u{7F}"])
    func reads(other: String) {
        for value in Self.values where value < 10_000_000 {
            let found = read("\(value)\(other)1234567")
            #expect(found?.value == value)
            #expect(found?.digits == String(value).count)
        }
    }

    @Test("leading zeros are digits")
    func zeros() {
        let found = read("0042 360000")
        #expect(found?.value == 42)
        #expect(found?.digits == 4)
    }

    @Test(
        "no digits, eight and more of them, and an end that is near are left to others",
        arguments: ["", "1", "1234567", " 1234567", "x2345678", "12345678", "123456789 1"])
    func refuses(text: String) { #expect(read(text) == nil) }

    @Test("the offset is where it begins", arguments: [-1, 0, 2, 9, 10, 50])
    func offsets(offset: Int) {
        let found = read("7 123 4567 x", at: offset)
        #expect(found?.value == (offset == 0 ? 7 : offset == 2 ? 123 : nil))
    }
}
