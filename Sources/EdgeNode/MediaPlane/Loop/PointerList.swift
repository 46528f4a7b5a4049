/// A growing list of pointers that costs no reference counting to walk. Order isn't kept on removal.
struct PointerList<Element: ~Copyable>: ~Copyable {
    private var items: UnsafeMutablePointer<UnsafeMutablePointer<Element>>
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int = 16) {
        self.capacity = capacity
        items = .allocate(capacity: capacity)
    }

    deinit { items.deallocate() }

    @inline(__always)
    subscript(index: Int) -> UnsafeMutablePointer<Element> { items[index] }

    mutating func append(_ item: UnsafeMutablePointer<Element>) {
        if count == capacity {
            let larger = UnsafeMutablePointer<UnsafeMutablePointer<Element>>.allocate(capacity: 2 * capacity)
            larger.moveInitialize(from: items, count: count)
            items.deallocate()
            items = larger
            capacity *= 2
        }
        (items + count).initialize(to: item)
        count += 1
    }

    /// Removes one item, if it is there; the last one takes its place.
    mutating func remove(_ item: UnsafeMutablePointer<Element>) {
        for index in 0..<count where items[index] == item {
            return takeLast(to: index)
        }
    }

    /// Removes the last item and puts it where another was, unless that was itself.
    mutating func takeLast(to place: Int) {
        count -= 1
        items[place] = items[count]
    }

    mutating func removeAll() { count = 0 }

    /// For keeping some of the items while walking: moves one to an earlier place, then ``truncate(to:)``.
    mutating func move(_ position: Int, to earlier: Int) { items[earlier] = items[position] }

    mutating func truncate(to kept: Int) { count = kept }
}
