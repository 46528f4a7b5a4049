/// Objects that wait, in their order; taking the first is cheap however many there are.
struct ShipQueue: Sendable {
    private var objects: [ShipPlan.Object] = []
    private var head = 0
    private(set) var bytes: Int64 = 0

    var isEmpty: Bool { head == objects.count }
    var count: Int { objects.count - head }
    var first: ShipPlan.Object? { isEmpty ? nil : objects[head] }

    mutating func append(_ object: ShipPlan.Object) {
        objects.append(object)
        bytes += object.bytes
    }

    /// False when there is none of the name.
    mutating func remove(_ name: String) -> Bool {
        guard let index = objects[head...].firstIndex(where: { $0.name == name }) else { return false }
        bytes -= objects[index].bytes
        if index == head { head += 1 } else { objects.remove(at: index) }
        if head > 256, head * 2 > objects.count {
            objects.removeFirst(head)
            head = 0
        }
        return true
    }
}
