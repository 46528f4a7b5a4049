import CLinux
import Glibc
import Synchronization

/// A media loop as other threads see it: its port, its mailbox, its thread.
final class MediaLoop: Sendable {
    /// What the threads of loops are called, before their numbers.
    static let threadName = "media-"

    let port: UInt16
    /// Nil without TCP.
    let tcpPort: UInt16?
    let status: LoopStatus
    private let thread: Mutex<pthread_t?>

    /// Binds the socket and starts the thread.
    init(index: Int, settings: MediaSettings, directory: PlaneDirectory, pool: HandshakePool) throws(MediaPlaneError) {
        let status = LoopStatus()
        let core = try LoopCore(
            index: index, settings: settings, directory: directory, mailbox: directory.mailboxes[index], status: status,
            pool: pool)
        port = core.socket.port
        tcpPort = core.listener?.port
        self.status = status
        var started = pthread_t()
        let context = Unmanaged.passRetained(core).toOpaque()
        let result = pthread_create(&started, nil, runLoop, context)
        guard result == 0 else {
            Unmanaged<LoopCore>.fromOpaque(context).release()
            throw .system(call: "pthread_create", errno: result)
        }
        // Before anybody else gives way to threads of that name.
        tributary_name_other_thread(started, "\(Self.threadName)\(index)")
        thread = Mutex(started)
    }

    /// Waits for the thread; the shutdown command must have been posted.
    func join() {
        let started = thread.withLock { $0.take() }
        if let started { pthread_join(started, nil) }
    }
}

/// The thread's body; the core is given up by the caller and freed here.
private func runLoop(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    let core = Unmanaged<LoopCore>.fromOpaque(context).takeRetainedValue()
    tributary_take_short_turns(MediaLimits.turnNs)
    core.run()
    return nil
}
