/// The query of a request target: `name=value` pairs joined by `&`, percent-decoded once, `+` meaning a space.
public struct Query: Sendable, Equatable, Sequence {
    /// One pair.
    public struct Item: Sendable, Equatable {
        /// The decoded name.
        public let name: String
        /// The decoded value; empty when there was no `=`.
        public let value: String
    }

    private let items: [Item]

    /// Decodes what follows the `?`. Nil when a part can't be decoded, see ``PercentCoding/decode(_:plusIsSpace:)``.
    public init?(_ raw: String) {
        guard !raw.isEmpty else {
            items = []
            return
        }
        var items: [Item] = []
        for part in raw.split(separator: "&", omittingEmptySubsequences: true) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentCoding.decode(sides[0], plusIsSpace: true),
                let value = PercentCoding.decode(sides.count > 1 ? sides[1] : "", plusIsSpace: true)
            else { return nil }
            items.append(Item(name: name, value: value))
        }
        self.items = items
    }

    /// An empty query.
    public init() { items = [] }

    /// The first value of `name`.
    public func first(_ name: String) -> String? { items.first { $0.name == name }?.value }

    /// Every value of `name`, in order.
    public func all(_ name: String) -> [String] { items.compactMap { $0.name == name ? $0.value : nil } }

    /// Iterates over the pairs in order.
    public func makeIterator() -> IndexingIterator<[Item]> { items.makeIterator() }
}
