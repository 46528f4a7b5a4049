import CLinux
import Glibc
import Synchronization

/// The one thread that runs SCTP, for all media planes of the process: usrsctp's state is the process's.
///
/// Loops put packets into its queue and go on; what it sends comes to them through their mailboxes. It begins with the first plane that
/// wants it and lasts as long as the process; without associations it sleeps.
final class DataChannelThread: Sendable {
    enum Mail: Sendable {
        case join(UInt64, DataChannelOrder)
        case packet(UInt64, [UInt8], waiting: WaitingBytes)
        case leave(UInt64)
        /// Runs there; for tests, whose clients speak SCTP too.
        case perform(@Sendable () -> Void)
    }

    /// Bytes of one peer that wait for the thread.
    final class WaitingBytes: Sendable {
        let count = Atomic<Int>(0)
    }

    private struct Queue {
        var mail: [Mail] = []
        var bytes = 0
    }

    private static let running = Mutex<DataChannelThread?>(nil)
    private let queue = Mutex(Queue())
    private let wake: WakeDescriptor
    private let lastID = Atomic<UInt64>(0)
    private let lastPlane = Atomic<UInt64>(0)

    /// The thread, started when it isn't there.
    static func shared() throws(MediaPlaneError) -> DataChannelThread {
        let result: Result<DataChannelThread, MediaPlaneError> = running.withLock { running in
            if let running { return .success(running) }
            do throws(MediaPlaneError) {
                let made = try DataChannelThread()
                try made.start()
                running = made
                return .success(made)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private init() throws(MediaPlaneError) { wake = try WakeDescriptor() }

    private func start() throws(MediaPlaneError) {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(&thread, nil, runDataChannels, context)
        guard result == 0 else {
            Unmanaged<DataChannelThread>.fromOpaque(context).release()
            throw .system(call: "pthread_create", errno: result)
        }
        pthread_detach(thread)
    }

    /// A number that tells one plane's streams from another's.
    func nextPlane() -> UInt64 { lastPlane.wrappingAdd(1, ordering: .relaxed).newValue }

    /// Lets a peer in whose DTLS is up.
    func join(_ order: DataChannelOrder) -> DataChannelLink {
        let id = lastID.wrappingAdd(1, ordering: .relaxed).newValue
        post(.join(id, order))
        return DataChannelLink(id: id, thread: self)
    }

    /// Queues; a packet that finds too many before it is dropped, as a network would.
    func post(_ mail: Mail) {
        let isFirst = queue.withLock { queue in
            if case .packet(_, let bytes, let waiting) = mail {
                guard queue.bytes + bytes.count <= SCTPLimits.waitingBytes else {
                    waiting.count.wrappingSubtract(bytes.count, ordering: .relaxed)
                    return false
                }
                queue.bytes += bytes.count
            }
            queue.mail.append(mail)
            return queue.mail.count == 1
        }
        if isFirst { wake.signal() }
    }

    private func takeAll() -> [Mail] {
        queue.withLock { queue in
            defer { queue = Queue() }
            return queue.mail
        }
    }

    // MARK: The thread

    fileprivate func run() {
        SCTPLibrary.start()
        let hub = DataChannelHub()
        var ticked = tributary_monotonic_ns()
        var heard = ticked
        while true {
            let isBusy = tributary_monotonic_ns() &- heard < SCTPLimits.busyNs
            let tick = isBusy ? SCTPLimits.busyTickMs : SCTPLimits.idleTickMs
            var wanted = pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&wanted, 1, hub.hasAssociations ? tick : -1)
            wake.clear()
            let mail = takeAll()
            let now = tributary_monotonic_ns()
            if !mail.isEmpty { heard = now }
            for each in mail { handle(each, hub, now) }
            let elapsedMs = (now &- ticked) / 1_000_000
            if elapsedMs >= UInt64(SCTPLimits.busyTickMs) {
                ticked = now
                hub.advance(milliseconds: UInt32(clamping: elapsedMs), now: now)
            }
        }
    }

    private func handle(_ mail: Mail, _ hub: DataChannelHub, _ now: UInt64) {
        switch mail {
        case .join(let id, let order): hub.join(id, order)
        case .leave(let id): hub.leave(id)
        case .packet(let id, let packet, let waiting):
            waiting.count.wrappingSubtract(packet.count, ordering: .relaxed)
            hub.receive(id, packet, now: now)
        case .perform(let work): work()
        }
    }
}

/// A media loop's end of one peer's data channels.
final class DataChannelLink: Sendable {
    private let id: UInt64
    private let thread: DataChannelThread
    private let waiting = DataChannelThread.WaitingBytes()

    init(id: UInt64, thread: DataChannelThread) {
        self.id = id
        self.thread = thread
    }

    /// Hands over a packet as DTLS gave it. Never waits; drops when too many wait.
    func receive(_ packet: UnsafeRawBufferPointer) {
        let count = waiting.count.wrappingAdd(packet.count, ordering: .relaxed).newValue
        guard count <= SCTPLimits.waitingBytesPerPeer else {
            waiting.count.wrappingSubtract(packet.count, ordering: .relaxed)
            return
        }
        thread.post(.packet(id, Array(packet), waiting: waiting))
    }

    /// The peer is gone.
    func leave() { thread.post(.leave(id)) }
}

/// The thread's body.
private func runDataChannels(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    let thread = Unmanaged<DataChannelThread>.fromOpaque(context).takeRetainedValue()
    tributary_name_thread("data-channels")
    thread.run()
    return nil
}
