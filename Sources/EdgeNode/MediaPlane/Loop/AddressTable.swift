/// Finds the session of a datagram by where it came from: open addressing with linear probing, no allocation but to grow.
struct AddressTable: ~Copyable {
    private struct Entry {
        var address = SocketAddress(ipv4: 0, port: 0)
        var session: UnsafeMutablePointer<PeerSession>?
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var capacity: Int
    private(set) var count = 0
    /// Unknown to peers, so that they can't choose addresses that collide.
    private let seed: UInt64

    init(seed: UInt64) {
        self.seed = seed
        capacity = 256
        entries = .allocate(capacity: capacity)
        entries.initialize(repeating: Entry(), count: capacity)
    }

    deinit { entries.deallocate() }

    @inline(__always)
    private func home(_ address: SocketAddress) -> Int {
        var hash = seed ^ address.high
        hash = (hash ^ hash >> 32) &* 0x9E37_79B9_7F4A_7C15
        hash ^= address.low
        hash = (hash ^ hash >> 29) &* 0xBF58_476D_1CE4_E5B9
        hash ^= UInt64(address.port)
        hash = (hash ^ hash >> 32) &* 0x94D0_49BB_1331_11EB
        return Int(truncatingIfNeeded: hash ^ hash >> 31) & (capacity - 1)
    }

    @inline(__always)
    func find(_ address: SocketAddress) -> UnsafeMutablePointer<PeerSession>? {
        var place = home(address)
        while let session = entries[place].session {
            if entries[place].address == address { return session }
            place = (place + 1) & (capacity - 1)
        }
        return nil
    }

    /// Sets or replaces the session of an address.
    mutating func insert(_ address: SocketAddress, _ session: UnsafeMutablePointer<PeerSession>) {
        if 2 * (count + 1) > capacity { grow() }
        var place = home(address)
        while entries[place].session != nil {
            if entries[place].address == address {
                entries[place].session = session
                return
            }
            place = (place + 1) & (capacity - 1)
        }
        entries[place] = Entry(address: address, session: session)
        count += 1
    }

    /// Removes an address if it still belongs to `session`; the entries after it move up, so there are no tombstones.
    mutating func remove(_ address: SocketAddress, of session: UnsafeMutablePointer<PeerSession>) {
        var place = home(address)
        while let owner = entries[place].session {
            if entries[place].address == address {
                guard owner == session else { return }
                closeHole(at: place)
                count -= 1
                return
            }
            place = (place + 1) & (capacity - 1)
        }
    }

    private mutating func closeHole(at start: Int) {
        var hole = start
        var place = (hole + 1) & (capacity - 1)
        while entries[place].session != nil {
            let distance = (place - home(entries[place].address)) & (capacity - 1)
            if distance >= (place - hole) & (capacity - 1) {
                entries[hole] = entries[place]
                hole = place
            }
            place = (place + 1) & (capacity - 1)
        }
        entries[hole] = Entry()
    }

    private mutating func grow() {
        let old = entries
        let oldCapacity = capacity
        capacity *= 2
        entries = .allocate(capacity: capacity)
        entries.initialize(repeating: Entry(), count: capacity)
        count = 0
        for index in 0..<oldCapacity {
            if let session = old[index].session { insert(old[index].address, session) }
        }
        old.deallocate()
    }
}
