import Synchronization

/// What other threads may ask of a loop.
enum LoopCommand: Sendable {
    case add(SessionOrder, CheckedContinuation<Bool, Never>)
    case remove(UInt64, CheckedContinuation<Void, Never>)
    case restartICE(UInt64, local: ICECredentialPair, remote: ICECredentialPair, CheckedContinuation<Bool, Never>)
    /// A step of the session's handshake comes back from the pool; the host is whose place it held.
    case handshake(UInt64, step: HandshakeStep, host: UInt64)
    case snapshot(UInt64, CheckedContinuation<SessionSnapshot?, Never>)
    case layers(UInt64, CheckedContinuation<ViewerLayers?, Never>)
    case chooseFormats(UInt64, [FormatChoice])
    case chooseLayer(UInt64, LayerFollower.Wish, CheckedContinuation<Bool, Never>)
    /// The publisher's loop copies the stream into the pipe from now on; a loop with viewers also gets the newest group of pictures.
    case openOutlet(StreamKey, PacketPipe, replays: Bool)
    /// A loop with viewers reads the stream from the pipe from now on.
    case openInlet(StreamKey, PacketPipe)
    case closeInlet(StreamKey, PacketPipe)
    /// The source's tracks by their bits; nil for what readers are given.
    case requestKeyframe(StreamKey, sources: UInt64?)
    case shutdown
}

/// Commands for one loop: a bounded queue that the loop empties between two batches.
final class Mailbox: Sendable {
    private struct Queue {
        var commands: [LoopCommand] = []
        var isClosed = false
    }

    /// Packets of data channels, for the DTLS of the session named.
    typealias Record = (session: UInt64, packet: [UInt8])

    private struct Records {
        var waiting: [Record] = []
        var bytes = 0
    }

    let wake: WakeDescriptor
    private let queue = Mutex(Queue())
    private let records = Mutex(Records())
    private let hasRecords = Atomic<Bool>(false)

    init() throws(MediaPlaneError) {
        wake = try WakeDescriptor()
    }

    /// Queues a command; false when the queue is full or the loop has ended. Any thread.
    ///
    /// - Parameter isWiring: the plane's own bookkeeping, bounded by the number of sessions, which must not get lost.
    func post(_ command: LoopCommand, isWiring: Bool = false) -> Bool {
        let accepted = queue.withLock { queue in
            guard !queue.isClosed, isWiring || queue.commands.count < MediaLimits.mailboxCommands else { return false }
            queue.commands.append(command)
            return true
        }
        if accepted { wake.signal() }
        return accepted
    }

    /// Everything queued so far, in order.
    func takeAll() -> [LoopCommand] {
        queue.withLock { queue in
            guard !queue.commands.isEmpty else { return [] }
            let taken = queue.commands
            queue.commands = []
            return taken
        }
    }

    /// Queues a packet of a data channel; dropped when too much waits, for SCTP sends it again. Any thread.
    func post(_ packet: [UInt8], to session: UInt64) {
        let isAccepted = records.withLock { records in
            guard records.bytes + packet.count <= SCTPLimits.outgoingBytes else { return false }
            records.bytes += packet.count
            records.waiting.append((session, packet))
            return true
        }
        guard isAccepted, !hasRecords.exchange(true, ordering: .acquiringAndReleasing) else { return }
        wake.signal()
    }

    /// The oldest packets of data channels, not more than a batch; one atomic load when there are none.
    func takeRecords() -> ArraySlice<Record> {
        guard hasRecords.exchange(false, ordering: .acquiringAndReleasing) else { return [] }
        let (taken, isMore) = records.withLock { records in
            let taken = records.waiting.prefix(SCTPLimits.recordsPerBatch)
            records.waiting.removeFirst(taken.count)
            for record in taken { records.bytes -= record.packet.count }
            return (taken, !records.waiting.isEmpty)
        }
        if isMore, !hasRecords.exchange(true, ordering: .acquiringAndReleasing) { wake.signal() }
        return taken
    }

    /// Refuses everything from now on and returns what is left.
    func close() -> [LoopCommand] {
        queue.withLock { queue in
            queue.isClosed = true
            let rest = queue.commands
            queue.commands = []
            return rest
        }
    }
}
