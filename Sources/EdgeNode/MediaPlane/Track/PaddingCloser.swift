/// Takes padding-only packets out of a track's numbering, so that nobody downstream sees a gap where nothing is missing.
///
/// A number is closed only while nothing newer has gone out under the old numbering; a padding packet that comes later than
/// that keeps its number and goes on as a filler. Late media keeps the numbering that was valid at its place.
struct PaddingCloser {
    private struct Step {
        /// From this number on `closed` numbers are taken out; where more were put in, it has wrapped.
        var from: UInt64
        var closed: UInt64
    }

    private static let stepsMax = 32
    private var steps = InlineArray<32, Step>(repeating: Step(from: 0, closed: 0))
    private var count = 0
    private var highest: UInt64 = 0
    /// Numbers below this lie before the oldest step still known.
    private var floor: UInt64 = 0

    /// The number a media packet goes on under; nil when it is too old to tell.
    @inline(__always)
    mutating func media(_ sequence: UInt64) -> UInt64? {
        if sequence > highest { highest = sequence }
        return place(sequence)
    }

    /// Makes room for a packet of ours before one that is the newest; false when it isn't.
    mutating func insert(before sequence: UInt64) -> Bool {
        guard sequence > highest else { return false }
        // One number less is closed from there on.
        let closed = (count > 0 ? steps[count - 1].closed : 0) &- 1
        if count > 0, steps[count - 1].from == sequence {
            steps[count - 1].closed = closed
        } else {
            add(Step(from: sequence, closed: closed))
        }
        return true
    }

    /// The number a padding-only packet must go on under as a filler; nil when its number was closed.
    mutating func padding(_ sequence: UInt64) -> UInt64? {
        guard sequence > highest else { return place(sequence) }
        highest = sequence
        let closed = count > 0 ? steps[count - 1].closed : 0
        if count > 0, steps[count - 1].from == sequence {
            steps[count - 1] = Step(from: sequence &+ 1, closed: closed &+ 1)
        } else {
            add(Step(from: sequence &+ 1, closed: closed &+ 1))
        }
        return nil
    }

    private mutating func add(_ step: Step) {
        if count == Self.stepsMax {
            floor = steps[1].from
            for index in 1..<count { steps[index - 1] = steps[index] }
            count -= 1
        }
        steps[count] = step
        count += 1
    }

    @inline(__always)
    private func place(_ sequence: UInt64) -> UInt64? {
        guard sequence >= floor else { return nil }
        var index = count
        while index > 0 {
            index -= 1
            if sequence >= steps[index].from { return sequence &- steps[index].closed }
        }
        return sequence
    }
}
