/// Maps a track's positions to one viewer's sequence numbers and back.
///
/// A segment is a stretch of one layer's positions sent without interruption; within it numbers follow positions, loss included.
/// The next segment goes on right after the highest number sent. The stretches of a layer's take and all numbers never overlap, so no
/// number is ever given to two packets: an AES-GCM nonce used twice would give the key away (RFC 7714 §8.1).
struct SequenceMap {
    private struct Segment {
        var first: UInt64 = 0
        /// Highest position sent so far; below `first` while nothing was.
        var last: UInt64 = 0
        /// Number less position.
        var offset: Int64 = 0
        /// Positions are this layer's.
        var shift = LayerShift()
    }

    private static let segmentsMax = 8
    private var segments = InlineArray<8, Segment>(repeating: Segment())
    private var count = 0
    /// The highest number given out; starts one below the first.
    private(set) var highest: UInt64
    private var isOpen = false

    /// - Parameter initial: the first number; 0…32767, so that early loss can't upset the peer's rollover counter (RFC 3711 §3.3.1).
    init(initial: UInt16) {
        // One cycle up would break the rollover counter, so numbers start as they are, and `highest` one below, wrapping at 0.
        highest = UInt64(initial & 0x7FFF) &- 1
    }

    /// Starts to send at position `first` of a layer; false, and nothing changes, when something of it at or past that was sent already.
    ///
    /// - Parameter through: up to this position of the stretch that ends, numbers are kept for what is still missing.
    mutating func begin(at first: UInt64, shift: LayerShift = LayerShift(), through: UInt64 = 0) -> Bool {
        guard first > 0, first > lastSent(of: shift) else { return false }
        isOpen = true
        if count > 0, segments[count - 1].last >= segments[count - 1].first, through > segments[count - 1].last {
            segments[count - 1].last = through
            highest = UInt64(bitPattern: Int64(bitPattern: through) &+ segments[count - 1].offset)
        }
        let offset = Int64(bitPattern: highest &+ 1) &- Int64(bitPattern: first)
        if count > 0, segments[count - 1].last < segments[count - 1].first {
            segments[count - 1] = Segment(first: first, last: first &- 1, offset: offset, shift: shift)
            return true
        }
        if count == Self.segmentsMax {
            for index in 1..<count { segments[index - 1] = segments[index] }
            count -= 1
        }
        segments[count] = Segment(first: first, last: first &- 1, offset: offset, shift: shift)
        count += 1
        return true
    }

    /// The highest position of a layer that was sent; 0 when none is known.
    private func lastSent(of layer: LayerShift) -> UInt64 {
        var last: UInt64 = 0
        for place in 0..<count where segments[place].shift.isSameLayer(layer) && segments[place].last >= segments[place].first {
            last = max(last, segments[place].last)
        }
        return last
    }

    /// How the stretch of a number is moved; the newest stretch's for numbers that weren't given out.
    @inline(__always)
    func shift(of sequence: UInt64) -> LayerShift {
        var place = count - 1
        while place > 0, sequence < UInt64(bitPattern: Int64(bitPattern: segments[place].first) &+ segments[place].offset) {
            place -= 1
        }
        return place < 0 ? LayerShift() : segments[place].shift
    }

    /// The newest stretch: how it is moved, and the highest position of it that was sent; nil before anything was.
    var newest: (shift: LayerShift, last: UInt64)? {
        var place = count
        while place > 0 {
            place -= 1
            if segments[place].last >= segments[place].first { return (segments[place].shift, segments[place].last) }
        }
        return nil
    }

    /// Stops sending until the next ``begin(at:)``; late packets of what was sent keep their numbers.
    mutating func end() { isOpen = false }

    /// The number for a position of the newest stretch's layer that is sent now; nil when it lies outside of what this viewer gets.
    @inline(__always)
    mutating func sequence(sending index: UInt64) -> UInt64? {
        guard count > 0 else { return nil }
        let current = segments[count - 1]
        guard isOpen, index >= current.first else { return late(index) }
        let sequence = UInt64(bitPattern: Int64(bitPattern: index) &+ current.offset)
        if index > current.last {
            segments[count - 1].last = index
            highest = sequence
        }
        return sequence
    }

    private func late(_ index: UInt64) -> UInt64? {
        let layer = segments[count - 1].shift
        var place = count
        while place > 0 {
            place -= 1
            let segment = segments[place]
            if segment.shift.isSameLayer(layer), index >= segment.first {
                guard index <= segment.last else { return nil }
                return UInt64(bitPattern: Int64(bitPattern: index) &+ segment.offset)
            }
        }
        return nil
    }

    /// The stretch that a position of the newest one's track is of, where that track's source has layers; nil before the first.
    func stretch(at position: UInt64) -> LayerShift? {
        var place = count
        while place > 0 {
            place -= 1
            let shift = segments[place].shift
            if shift.track == segments[count - 1].shift.track, position >= shift.from { return shift }
        }
        return nil
    }

    /// The number for what is the `index`th packet of a stretch's cell; nil when it lies outside of what this viewer gets.
    mutating func sequence(sending index: UInt64, of stretch: LayerShift) -> UInt64? {
        guard count > 0 else { return nil }
        if segments[count - 1].shift == stretch { return sequence(sending: index) }
        for place in 0..<count where segments[place].shift == stretch {
            guard index >= segments[place].first, index <= segments[place].last else { return nil }
            return UInt64(bitPattern: Int64(bitPattern: index) &+ segments[place].offset)
        }
        return nil
    }

    /// The number a 16-bit one stands for, taken as the nearest not above the highest; nil when nothing was sent.
    func extend(_ sequence: UInt16) -> UInt64? {
        guard count > 0, highest != .max else { return nil }
        let back = UInt64(UInt16(truncatingIfNeeded: highest) &- sequence)
        return back <= highest ? highest - back : nil
    }

    /// The position that has this number; nil when it was never sent or is forgotten.
    func index(of sequence: UInt64) -> UInt64? {
        var place = count
        while place > 0 {
            place -= 1
            let segment = segments[place]
            let index = UInt64(bitPattern: Int64(bitPattern: sequence) &- segment.offset)
            if index >= segment.first, index <= segment.last { return index }
        }
        return nil
    }
}
