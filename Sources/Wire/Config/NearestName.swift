/// Finds what someone meant by a name that doesn't exist.
enum NearestName {
    /// The candidate with the fewest typing errors from `name`; the first of equals. Nil without candidates.
    static func find(_ name: String, among candidates: [String]) -> (name: String, distance: Int)? {
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let found = distance(Array(name.utf8.prefix(200)), Array(candidate.utf8))
            if found < best?.distance ?? .max { best = (candidate, found) }
        }
        return best
    }

    /// Insertions, deletions, changes and swaps of neighbours (optimal string alignment).
    static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforeLast = [Int](repeating: 0, count: right.count + 1)
        var last = Array(0...right.count)
        for i in left.indices {
            var row = [i + 1]
            for j in right.indices {
                let change = left[i] == right[j] ? 0 : 1
                var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + change)
                if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] { cost = min(cost, beforeLast[j - 1] + 1) }
                row.append(cost)
            }
            (beforeLast, last) = (last, row)
        }
        return last[right.count]
    }
}
