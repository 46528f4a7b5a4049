import Glibc

/// One accepted connection: a way to a peer like a UDP address, and known to the transport by one.
///
/// Lives in its own allocation, reached by pointer; the loop frees it after the iteration in which it closed.
struct TCPConnection: ~Copyable {
    let descriptor: Int32
    /// Where the peer is, with the number of this connection (``SocketAddress/stream``).
    let address: SocketAddress
    let openedNs: UInt64
    var reader = FrameReader()
    var queue = FrameQueue()
    /// Is on the list of connections that have something to write.
    var isPending = false
    /// The system wants to be asked again when there is room.
    var awaitsRoom = false
    /// The queue was high; video that is sent here waits until it is low.
    var isCongested = false
    var isClosed = false

    init(descriptor: Int32, address: SocketAddress, now: UInt64) {
        self.descriptor = descriptor
        self.address = address
        openedNs = now
    }

    deinit { close(descriptor) }
}

/// The connections of one loop, by number.
///
/// The send arena puts datagrams for a connection's address here instead of into a message.
struct TCPTable: ~Copyable {
    private let places: UnsafeMutablePointer<UnsafeMutablePointer<TCPConnection>?>
    /// Where to look for a free number: those used last are used again last.
    private var cursor = 0
    private(set) var count = 0
    private var hosts: [UInt64: Int] = [:]
    /// Connections with something to write.
    var pending = PointerList<TCPConnection>()

    init() {
        places = .allocate(capacity: MediaLimits.tcpConnections)
        places.initialize(repeating: nil, count: MediaLimits.tcpConnections)
    }

    deinit { places.deallocate() }

    /// Takes a connection in; nil when there are too many, in all or of one host, and then the descriptor is closed.
    mutating func open(_ descriptor: Int32, from address: SocketAddress, now: UInt64) -> UnsafeMutablePointer<TCPConnection>? {
        let host = address.host64
        guard count < MediaLimits.tcpConnections, hosts[host, default: 0] < MediaLimits.tcpConnectionsPerHost else {
            close(descriptor)
            return nil
        }
        while places[cursor] != nil { cursor = (cursor + 1) % MediaLimits.tcpConnections }
        let connection = UnsafeMutablePointer<TCPConnection>.allocate(capacity: 1)
        connection.initialize(
            to: TCPConnection(descriptor: descriptor, address: address.by(UInt16(cursor + 1)), now: now))
        places[cursor] = connection
        cursor = (cursor + 1) % MediaLimits.tcpConnections
        count += 1
        hosts[host, default: 0] += 1
        return connection
    }

    /// Takes a connection out; its owner frees it.
    mutating func remove(_ connection: UnsafeMutablePointer<TCPConnection>) {
        let address = connection.pointee.address
        places[Int(address.stream) - 1] = nil
        count -= 1
        let host = address.host64
        hosts[host] = hosts[host].flatMap { $0 > 1 ? $0 - 1 : nil }
        pending.remove(connection)
    }

    /// The connection that an address names; nil when it is closed.
    @inline(__always)
    func find(_ address: SocketAddress) -> UnsafeMutablePointer<TCPConnection>? {
        guard address.stream > 0, Int(address.stream) <= MediaLimits.tcpConnections else { return nil }
        return places[Int(address.stream) - 1]
    }

    /// Queues a packet for the connection of `address`; false when there is none or no room.
    mutating func append(_ packet: UnsafeRawBufferPointer, to address: SocketAddress) -> Bool {
        guard let connection = find(address), !connection.pointee.isClosed else { return false }
        let isTaken = connection.pointee.queue.append(packet)
        if connection.pointee.queue.isHigh { connection.pointee.isCongested = true }
        note(connection)
        return isTaken
    }

    private mutating func note(_ connection: UnsafeMutablePointer<TCPConnection>) {
        guard !connection.pointee.isPending else { return }
        connection.pointee.isPending = true
        pending.append(connection)
    }

    /// All connections there are; not for the packet path.
    var all: [UnsafeMutablePointer<TCPConnection>] {
        guard count > 0 else { return [] }
        return (0..<MediaLimits.tcpConnections).compactMap { places[$0] }
    }
}
