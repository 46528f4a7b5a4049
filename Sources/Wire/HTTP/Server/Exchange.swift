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

    /// What others know of it.
    enum Standing {
        /// Nothing: its header is not complete.
        case unheard
        /// It is answered on the server's thread, and waits for nobody.
        case answering
        /// It has a handler that may wait.
        case running
    }

    struct State {
        var phase = Phase.start
        var standing = Standing.unheard
        var isAborted = false
        var wantsBody = false
        var isHead = false
        /// Body bytes thrown away because the answer was ready before they came.
        var discarded = 0
        var response: HTTPResponse?
        var task: Task<Void, Never>?
        var webSocket: WebSocketConnection?
        /// The client's body; nil when there is none.
        var incoming: BytePipe?
        /// The body of a streamed answer.
        var outgoing: BytePipe?
    }

    let target: String
    /// Where the target lay in the library's buffer, to find out whether NUL cut it short.
    let targetAddress: UInt
    let connection: Connection
    let socket: WatchedConnection
    let core: ServerCore
    let state = Locked(State())

    /// Nil when the connection is not watched.
    init?(target: UnsafePointer<CChar>?, connection: OpaquePointer, core: ServerCore) {
        guard let watched = cmicrohttpd_socket_context(connection) else { return nil }
        socket = Unmanaged<WatchedConnection>.fromOpaque(watched).takeUnretainedValue()
        self.target = target.map { String(cString: $0) } ?? ""
        targetAddress = UInt(bitPattern: target)
        self.connection = Connection(raw: connection)
        self.core = core
        waker = Waker(connection: self.connection)
    }

    /// The client's body; nil when there is none.
    var incoming: BytePipe? { state.withLock { $0.incoming } }

    /// Makes the pipe of the client's body; before anyone else knows of the exchange.
    func makeIncoming() -> BytePipe {
        let pipe = BytePipe(capacity: core.settings.bodyBufferBytes) { [waker] in waker.wake() }
        state.withLock { $0.incoming = pipe }
        return pipe
    }

    /// The body of a streamed answer. Most answers need none, so it is made when asked for.
    var outgoing: BytePipe {
        let (pipe, isAborted) = state.withLock { state in
            let pipe = state.outgoing ?? BytePipe(capacity: core.settings.answerBufferBytes) { [waker] in waker.wake() }
            state.outgoing = pipe
            return (pipe, state.isAborted)
        }
        if isAborted { pipe.fail(CancellationError()) }
        return pipe
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
