import CLinux

/// The machine's own addresses that datagrams came to, by number.
///
/// A socket on the wildcard address would answer from whichever address the route prefers, and an ICE client drops an answer that does
/// not come from where it asked (RFC 8445 section 7.2.5.2.1). So each datagram's destination becomes part of the peer's address, and what
/// goes there leaves from it.
struct OwnAddresses: ~Copyable {
    static let firstWay: UInt16 = 0x8000
    private static let countMax = 64
    private let places: UnsafeMutablePointer<tributary_own_address>
    private var count = 0
    private var last = 0

    init() { places = .allocate(capacity: Self.countMax) }

    deinit { places.deallocate() }

    /// The way from `address`; 0 when there are more addresses than are kept, so that the system chooses.
    @inline(__always)
    mutating func way(from address: tributary_own_address) -> UInt16 {
        if last < count, isSame(places[last], address) { return Self.firstWay + UInt16(last) }
        for index in 0..<count where isSame(places[index], address) {
            last = index
            return Self.firstWay + UInt16(index)
        }
        guard count < Self.countMax else { return 0 }
        places[count] = address
        last = count
        count += 1
        return Self.firstWay + UInt16(last)
    }

    /// The address that a way names; nil when it names none.
    @inline(__always)
    func address(of way: UInt16) -> tributary_own_address? {
        let index = Int(way) - Int(Self.firstWay)
        return index >= 0 && index < count ? places[index] : nil
    }

    @inline(__always)
    private func isSame(_ one: tributary_own_address, _ other: tributary_own_address) -> Bool {
        one.high == other.high && one.low == other.low
    }
}
