/// Up to 32 bytes of text without a heap object; longer ones are kept cut and match nothing.
struct ShortText: Equatable {
    private var bytes = InlineArray<32, UInt8>(repeating: 0)
    private(set) var count = 0
    private var isCut = false

    static func == (left: ShortText, right: ShortText) -> Bool {
        guard !left.isCut, !right.isCut, left.count == right.count else { return false }
        for index in 0..<left.count where left.bytes[index] != right.bytes[index] { return false }
        return true
    }

    /// The text again.
    var text: String {
        var bytes: [UInt8] = []
        for index in 0..<count { bytes.append(self.bytes[index]) }
        return String(decoding: bytes, as: UTF8.self)
    }

    init(_ text: String) {
        for byte in text.utf8 {
            guard count < bytes.count else {
                isCut = true
                return
            }
            bytes[count] = byte
            count += 1
        }
    }

    func matches(_ text: Span<UInt8>, at offset: Int, count other: Int) -> Bool {
        guard !isCut, other == count, offset >= 0, offset + other <= text.count else { return false }
        for index in 0..<count where bytes[index] != text[offset + index] { return false }
        return true
    }

    /// Calls `body` with the text, or with nothing when it was cut.
    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
        withUnsafeBytes(of: bytes) { raw in
            body(UnsafeRawBufferPointer(rebasing: raw[0..<(isCut ? 0 : count)]))
        }
    }
}
