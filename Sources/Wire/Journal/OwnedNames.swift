import Media
import Store

/// Which names in a directory are a session's media, also those that no line of its journal names: its initialization objects, everything
/// numbered with its prefixes, and in whatever Period what carries its id. Plain names are its own only where its journal says so.
package struct OwnedNames {
    private let initializations: Set<String>
    private let prefixes: Set<String>
    private let marked: [(start: String, isNumbered: Bool)]

    package init(_ session: RecordedSession) {
        let tracks = session.periods.flatMap(\.tracks)
        initializations = Set(tracks.map(\.initialization).filter { SegmentContainer.holds($0) })
        prefixes = Set(tracks.map(\.prefix))
        let mark = Self.mark(of: session.id, period: 1)
        marked = ["", "audio_"].flatMap { [("\($0)init\(mark)", false), ("\($0)seg\(mark)", true)] }
    }

    /// What of a name that is not plain says whose it is, and of which Period. Ids of one time have one length, so none is
    /// another with a Period behind it.
    package static func mark(of id: String, period: Int) -> String { "_\(id)" + (period == 1 ? "" : "p\(period)") }

    /// Finished or not.
    package func contains(_ name: String) -> Bool {
        if initializations.contains(name) { return true }
        let plain = name.hasSuffix(FileStore.temporarySuffix) ? String(name.dropLast(FileStore.temporarySuffix.count)) : name
        return NumberedName(plain).map { prefixes.contains($0.prefix) } ?? false || isMarked(plain)
    }

    /// `audio_init_{id}.m4s`, `seg_{id}p2_0001.webm`.
    private func isMarked(_ name: String) -> Bool {
        guard SegmentContainer.holds(name), let dot = name.lastIndex(of: ".") else { return false }
        return marked.contains { start, isNumbered in
            guard name.hasPrefix(start) else { return false }
            var rest = name[..<dot].utf8.dropFirst(start.utf8.count)
            if rest.first == 0x70 {
                rest = rest.dropFirst()
                guard rest.popDigits() else { return false }
            }
            guard isNumbered else { return rest.isEmpty }
            return rest.popFirst() == 0x5F && rest.popDigits() && rest.isEmpty
        }
    }
}

extension Substring.UTF8View {
    /// Takes the digits that it begins with; false when there are none.
    fileprivate mutating func popDigits() -> Bool {
        let count = prefix { (0x30...0x39).contains($0) }.count
        removeFirst(count)
        return count > 0
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
