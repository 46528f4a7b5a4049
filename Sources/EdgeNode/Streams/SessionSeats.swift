import Synchronization

/// How many sessions each client address and each credential has, for the caps of `[limits]`. Any thread.
final class SessionSeats: Sendable {
    /// What sessions are counted by.
    enum Holder: Hashable {
        case address(String)
        case credential(String)
    }

    private let counts = Mutex<[Holder: Int]>([:])

    /// How many sessions a holder has.
    func count(of holder: Holder) -> Int { counts.withLock { $0[holder] ?? 0 } }

    /// Counts a session for each of its holders, until nobody keeps the seat.
    func take(_ holders: [Holder]) -> SessionSeat {
        counts.withLock { counts in
            for holder in holders { counts[holder, default: 0] += 1 }
        }
        return SessionSeat(holders, in: self)
    }

    fileprivate func giveBack(_ holders: [Holder]) {
        counts.withLock { counts in
            for holder in holders {
                guard let count = counts[holder] else { continue }
                counts[holder] = count > 1 ? count - 1 : nil
            }
        }
    }
}

/// A session's place in the counts. It goes with the last copy of the session, whichever way that ends.
final class SessionSeat: Sendable {
    let holders: [SessionSeats.Holder]
    private let seats: SessionSeats

    fileprivate init(_ holders: [SessionSeats.Holder], in seats: SessionSeats) {
        (self.holders, self.seats) = (holders, seats)
    }

    deinit { seats.giveBack(holders) }
}

/// Who asks for a session.
public struct SessionClient: Sendable, Equatable {
    /// What tells one client from another; nil when nobody has to show any.
    public var credential: String?
    /// What stands for its address in counts; nil when that isn't counted.
    public var network: String?
    /// Its numeric address; nil when nobody knows.
    public var address: String?

    /// - Parameters:
    ///   - credential: what tells one client from another; nil when nobody has to show any.
    ///   - network: what stands for its address in counts; nil when that isn't counted.
    ///   - address: its numeric address; nil when nobody knows.
    public init(credential: String?, network: String? = nil, address: String? = nil) {
        self.credential = credential
        self.network = network
        self.address = address
    }

    var holders: [SessionSeats.Holder] {
        var holders: [SessionSeats.Holder] = []
        if let network { holders.append(.address(network)) }
        if let credential, !credential.isEmpty { holders.append(.credential(credential)) }
        return holders
    }
}
