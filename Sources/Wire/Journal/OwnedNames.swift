import Media
import Store

/// Which names in a directory are a session's media: its initialization objects and everything numbered with its prefixes, also what no
/// line of its journal names.
package struct OwnedNames {
    private let initializations: Set<String>
    private let prefixes: Set<String>

    package init(_ session: RecordedSession) {
        let tracks = session.periods.flatMap(\.tracks)
        initializations = Set(tracks.map(\.initialization).filter { SegmentContainer.holds($0) })
        prefixes = Set(tracks.map(\.prefix))
    }

    /// Finished or not.
    package func contains(_ name: String) -> Bool {
        if initializations.contains(name) { return true }
        let plain = name.hasSuffix(FileStore.temporarySuffix) ? String(name.dropLast(FileStore.temporarySuffix.count)) : name
        return NumberedName(plain).map { prefixes.contains($0.prefix) } ?? false
    }
}

/// The name of a segment in its parts: `seg_` and 12 of `seg_0012.m4s`.
package struct NumberedName: Equatable {
    /// Up to the number.
    package let prefix: String
    /// Nil when there are more digits than any number of a segment has.
    package let number: Int?

    /// Nil for a name without a number between its last `_` and its last `.`.
    package init?(_ name: String) {
        guard let cut = name.utf8.lastIndex(of: 0x5F), let dot = name.utf8.lastIndex(of: 0x2E), cut < dot else { return nil }
        let digits = name[name.utf8.index(after: cut)..<dot]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        prefix = String(name[...cut])
        number = Int(digits)
    }
}
