import Streams

/// Which way a stream goes between two nodes.
public enum CascadeDirection: String, Sendable, Hashable, Codable {
    /// From the other node to us.
    case pull
    /// From us to the other node.
    case push
}

/// A cascade as others see it; tokens are not in it.
public struct CascadeStatus: Sendable, Equatable, Codable {
    /// Where a cascade stands.
    public enum State: String, Sendable, Codable {
        /// The other node is being asked.
        case connecting
        /// There is a session.
        case connected
        /// The session was lost, or a configured one is not wanted yet; there will be another attempt.
        case waiting
        /// Over; listed for a minute.
        case ended
    }

    /// The stream's name here.
    public var stream: String
    /// Which way it goes.
    public var direction: CascadeDirection
    /// Where it is pulled from.
    public var sourceUrl: String?
    /// Where it is pushed to.
    public var targetUrl: String?
    /// The session at the other node.
    public var sessionUrl: String?
    /// The session here; `DELETE /session/{stream}/{session}` ends the cascade.
    public var session: String?
    /// Where it stands.
    public var state: State
    /// Why the last session ended or the last attempt failed.
    public var reason: String?
    /// Attempts since there was a session.
    public var attempts: Int
}

/// One cascade that somebody asked for, with or without a session now.
struct CascadeLink {
    enum Phase: Equatable {
        case connecting
        case connected(session: String, remote: String)
        /// Monotonic.
        case waiting(untilNs: UInt64)
        case ended(atNs: UInt64)
    }

    let id: UInt64
    let stream: String
    let direction: CascadeDirection
    /// Where to ask, one after the other; one when it was asked for by hand.
    let addresses: [CascadeAddress]
    /// A pull that nobody has watched for so long ends, and what was pushed is let go by the other node; 0 for never.
    let idleNs: UInt64
    /// From the configuration: never given up.
    let isLasting: Bool
    var phase: Phase
    /// What the other node is being asked, until it has answered.
    var offer: RelayOffer?
    var attempts = 0
    /// How often in a row the session was found connected.
    var goodTicks = 0
    var reason: String?
    /// Which address is asked, or was last.
    var turn = 0

    var address: CascadeAddress { addresses[turn % addresses.count] }

    var isOver: Bool {
        if case .ended = phase { true } else { false }
    }

    func has(session wanted: String) -> Bool {
        if case .connected(wanted, _) = phase { true } else { false }
    }

    var status: CascadeStatus {
        var status = CascadeStatus(
            stream: stream, direction: direction, sourceUrl: direction == .pull ? address.url : nil,
            targetUrl: direction == .push ? address.url : nil, state: .connecting, reason: reason, attempts: attempts)
        switch phase {
        case .connecting: break
        case .connected(let session, let remote):
            (status.state, status.session, status.sessionUrl) = (.connected, session, remote)
        case .waiting: status.state = .waiting
        case .ended: status.state = .ended
        }
        return status
    }
}
