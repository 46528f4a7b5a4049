/// What was sent to one viewer lately, found by its transport-wide number: when, how much, and for which probe.
///
/// 1024 packets are 1.8 s of a 5 Mb/s stream with sound, several times what feedback takes to come back, in 16 KB.
struct SentHistory: ~Copyable {
    struct Packet {
        var sentNs: UInt64 = 0
        var bytes: UInt16 = 0
        /// The probe that it belongs to; 0 for none.
        var probe: UInt8 = 0
        var fate = Fate.unknown
    }

    enum Fate: UInt8 {
        case unknown, lost, arrived
    }

    static let capacity = 1024
    private let packets: UnsafeMutablePointer<Packet>
    /// The number that the next packet gets; counts on past 16 bits.
    private(set) var next: UInt64 = 1

    init() {
        packets = .allocate(capacity: Self.capacity)
        packets.initialize(repeating: Packet(), count: Self.capacity)
    }

    deinit { packets.deallocate() }

    @inline(__always)
    private func place(_ number: UInt64) -> UnsafeMutablePointer<Packet> {
        packets + (Int(truncatingIfNeeded: number) & (Self.capacity - 1))
    }

    /// Notes a packet and returns the number that it carries.
    @inline(__always)
    mutating func add(bytes: Int, probe: UInt8, now: UInt64) -> UInt16 {
        place(next).pointee = Packet(sentNs: now, bytes: UInt16(clamping: bytes), probe: probe)
        defer { next &+= 1 }
        return UInt16(truncatingIfNeeded: next)
    }

    /// The packet that a 16-bit number stands for, if it was sent and is still known.
    @inline(__always)
    func extend(_ number: UInt16) -> UInt64? {
        let back = UInt64(UInt16(truncatingIfNeeded: next) &- number)
        guard back > 0, back <= UInt64(Self.capacity), back < next else { return nil }
        return next - back
    }

    /// - Parameter number: one that ``extend(_:)`` returned, with nothing added since.
    @inline(__always)
    func packet(_ number: UInt64) -> Packet { place(number).pointee }

    /// Notes what became of a packet; returns what was known before.
    @inline(__always)
    mutating func settle(_ number: UInt64, _ fate: Fate) -> Fate {
        let place = place(number)
        let before = place.pointee.fate
        // What came after all was not lost, and what came stays so.
        if before != .arrived { place.pointee.fate = fate }
        return before
    }
}
