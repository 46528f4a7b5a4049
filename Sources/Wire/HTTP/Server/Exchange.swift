import CMicrohttpd
import Log
import Synchronization

/// One request and its answer. The server's thread drives it through ``step(_:count:)``; the handler's task fills it in.
///
/// The connection is suspended whenever it waits for the task. The thread suspends it and then looks again at what it waits for;
/// whoever changes that calls `wake`.
final class Exchange: Sendable {
    /// The library's handle of the connection.
    struct Connection: @unchecked Sendable {  // why: only resume is called off its thread, which the library allows.
        let raw: OpaquePointer
    }

    enum Phase {
        /// The header has been read and the handler not started.
        case start
        /// The client's body is left in the socket until the handler asks for it or answers.
        case holding
        /// The body is read.
        case receiving
        /// All of the request has been read.
        case received
        /// The answer is the library's.
        case answered
    }

    struct State {
        var phase = Phase.start
        var isAborted = false
        var wantsBody = false
        var isHead = false
        /// Body bytes thrown away because the answer was ready before they came.
        var discarded = 0
        var response: HTTPResponse?
        var task: Task<Void, Never>?
        var webSocket: WebSocketConnection?
    }

    let id: UInt64
    let target: String
    /// Where the target lay in the library's buffer, to find out whether NUL cut it short.
    let targetAddress: UInt
    let connection: Connection
    /// The watcher's number for the connection.
    let socketID: UInt64
    let core: ServerCore
    let incoming: BytePipe
    let outgoing: BytePipe
    let state = Locked(State())

    init(id: UInt64, target: UnsafePointer<CChar>?, connection: OpaquePointer, core: ServerCore) {
        self.id = id
        self.target = target.map { String(cString: $0) } ?? ""
        targetAddress = UInt(bitPattern: target)
        self.connection = Connection(raw: connection)
        self.core = core
        socketID = UInt64(UInt(bitPattern: cmicrohttpd_socket_context(connection)))
        let capacity = core.settings.bodyBufferBytes
        let waker = Waker(connection: self.connection)
        incoming = BytePipe(capacity: capacity) { waker.wake() }
        outgoing = BytePipe(capacity: capacity) { waker.wake() }
        self.waker = waker
    }

    /// Resumes the connection, at most once for each suspension. Apart from the exchange, which the pipes must not keep alive.
    final class Waker: Sendable {
        private let isSuspended = Atomic<Bool>(false)
        private let connection: Connection

        init(connection: Connection) { self.connection = connection }

        func wake() {
            if isSuspended.exchange(false, ordering: .acquiringAndReleasing) { MHD_resume_connection(connection.raw) }
        }

        /// On the server's thread. The caller looks again afterwards and calls `wake` when there is no need to wait.
        func suspend() {
            guard !isSuspended.load(ordering: .acquiring) else { return }
            MHD_suspend_connection(connection.raw)
            isSuspended.store(true, ordering: .releasing)
        }
    }

    let waker: Waker

    /// Nothing of it is needed any more.
    var isAborted: Bool { state.withLock { $0.isAborted } }
}
