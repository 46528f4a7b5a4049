/// Datagrams a transport wants sent: one preallocated slab, emptied by its owner after every call.
///
/// Owned by one loop. A datagram that finds no room is dropped and counted; protocols retransmit.
package struct TransportOutput: ~Copyable {
    private struct Entry {
        var address: SocketAddress
        var count: Int
    }

    private let slab: UnsafeMutableRawPointer
    private var entries: [Entry] = []
    /// How many datagrams fit.
    package let capacity: Int
    /// Datagrams that found no room since the start.
    package private(set) var overflowCount = 0

    package init(capacity: Int = Limits.outputDatagrams) {
        self.capacity = capacity
        slab = .allocate(byteCount: capacity * Limits.datagramBytes, alignment: 16)
        entries.reserveCapacity(capacity)
    }

    deinit { slab.deallocate() }

    /// Datagrams waiting to be sent.
    package var count: Int { entries.count }
    package var isEmpty: Bool { entries.isEmpty }

    /// Where datagram `index` goes.
    package func address(at index: Int) -> SocketAddress { entries[index].address }

    /// The bytes of datagram `index`; valid until the next mutation.
    package func bytes(at index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: slab + index * Limits.datagramBytes, count: entries[index].count)
    }

    /// Forgets everything; the caller has sent it.
    package mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

    /// Forgets the newest datagrams.
    mutating func removeLast(_ count: Int) { entries.removeLast(count) }

    /// Appends one datagram that `write` fills; what it returns is the byte count, 0 means nothing to send.
    mutating func append(to address: SocketAddress, _ write: (UnsafeMutableRawBufferPointer) -> Int) {
        guard entries.count < capacity else {
            overflowCount &+= 1
            return
        }
        let place = UnsafeMutableRawBufferPointer(start: slab + entries.count * Limits.datagramBytes, count: Limits.datagramBytes)
        let count = write(place)
        guard count > 0 && count <= Limits.datagramBytes else { return }
        entries.append(Entry(address: address, count: count))
    }

    /// Appends a copy of `bytes`.
    mutating func append(to address: SocketAddress, bytes: UnsafeRawBufferPointer) {
        append(to: address) { place in
            guard bytes.count <= place.count else { return 0 }
            place.copyMemory(from: bytes)
            return bytes.count
        }
    }
}
