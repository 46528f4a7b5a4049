import FoundationEssentials

/// JSON objects of strings.
enum FlatJSON {
    /// The members that are strings, of the whole or of its member of this name; nil when that is no JSON object.
    static func strings(_ bytes: [UInt8], member: String? = nil) -> [String: String]? {
        let whole = try? JSONDecoder().decode([String: Member].self, from: Data(bytes))
        return (member.map { whole?[$0]?.members } ?? whole)?.compactMapValues(\.text)
    }

    private struct Member: Decodable {
        let text: String?
        let members: [String: Member]?

        init(from decoder: any Decoder) throws {
            text = try? decoder.singleValueContainer().decode(String.self)
            members = text == nil ? try? decoder.singleValueContainer().decode([String: Member].self) : nil
        }
    }
}
