import FoundationEssentials

/// JSON objects of strings.
enum FlatJSON {
    /// The members that are strings; nil when it is no JSON object.
    static func strings(_ bytes: [UInt8]) -> [String: String]? {
        (try? JSONDecoder().decode([String: Member].self, from: Data(bytes)))?.compactMapValues(\.text)
    }

    private struct Member: Decodable {
        let text: String?

        init(from decoder: any Decoder) throws {
            text = try? decoder.singleValueContainer().decode(String.self)
        }
    }
}
