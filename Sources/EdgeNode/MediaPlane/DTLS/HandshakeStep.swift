/// A piece of a DTLS handshake that any thread may carry out: the association itself, and what came for it.
///
/// Whoever holds the step is alone with the association, so nothing is shared and nothing locked. A transport has one step out at most;
/// what comes meanwhile waits for the next.
package final class HandshakeStep: @unchecked Sendable {  // why: handed over whole, one thread has it at a time
    /// Something that happened to the handshake, and the peer's address that goes with it.
    struct Event {
        enum Kind {
            case start
            case datagram([UInt8])
            case timeout
        }

        let kind: Kind
        let address: SocketAddress
    }

    let dtls: DTLSSession
    private let events: [Event]
    /// Where the datagram that ended the handshake came from.
    private(set) var completedBy: SocketAddress?
    private var produced: [(address: SocketAddress, bytes: [UInt8])] = []

    init(_ dtls: DTLSSession, _ events: [Event]) {
        self.dtls = dtls
        self.events = events
    }

    /// Does the work, public-key operations and all: some tenths of a millisecond.
    func run(now: UInt64, output: inout TransportOutput) {
        for event in events {
            switch event.kind {
            case .start: dtls.start(to: event.address, now: now, output: &output)
            case .timeout: dtls.handleTimeout(to: event.address, now: now, output: &output)
            case .datagram(let bytes):
                bytes.withUnsafeBytes { dtls.receive($0, from: event.address, now: now, output: &output) }
                if dtls.status == .complete, completedBy == nil { completedBy = event.address }
            }
        }
    }

    /// The same on a thread that has no socket: what is to be sent travels back with the step.
    func run(now: UInt64, scratch: inout TransportOutput) {
        run(now: now, output: &scratch)
        produced = (0..<scratch.count).map { (scratch.address(at: $0), Array(scratch.bytes(at: $0))) }
        scratch.removeAll()
    }

    /// Hands over what ``run(now:scratch:)`` left to be sent.
    func ship(_ output: inout TransportOutput) {
        for datagram in produced { datagram.bytes.withUnsafeBytes { output.append(to: datagram.address, bytes: $0) } }
        produced = []
    }
}

/// The DTLS side of one transport: the association, or what waits for it while a step of its handshake is away.
struct DTLSAssociation {
    /// Nil while a step is away.
    private(set) var session: DTLSSession?
    private var waiting: [HandshakeStep.Event] = []

    init(_ session: DTLSSession) { self.session = session }

    /// Whether somebody should take a step now.
    var hasWork: Bool { session != nil && !waiting.isEmpty }

    /// Whether a step is away.
    var isAway: Bool { session == nil }

    /// When the association wants to be woken: not while it is about to be, or is away.
    var deadlineNs: UInt64 { waiting.isEmpty ? session?.deadlineNs ?? .max : .max }

    /// Adds an event for the next step; false when too many wait.
    mutating func add(_ kind: HandshakeStep.Event.Kind, _ address: SocketAddress) -> Bool {
        guard waiting.count < Limits.dtlsEventsWaiting else { return false }
        waiting.append(HandshakeStep.Event(kind: kind, address: address))
        return true
    }

    /// Gives the association away with all that waits for it.
    mutating func takeStep() -> HandshakeStep? {
        guard !waiting.isEmpty, let session = session.take() else { return nil }
        defer { waiting = [] }
        return HandshakeStep(session, waiting)
    }

    /// Takes the association back.
    mutating func takeBack(_ step: HandshakeStep) { session = step.dtls }
}
