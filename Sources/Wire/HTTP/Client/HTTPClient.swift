/// A client for `http` and `https` on libcurl: one thread for all its transfers, connections reused.
public final class HTTPClient: Sendable {
    /// What all requests of a client share.
    public struct Settings: Sendable {
        /// Path of a PEM file with the certificates to trust; nil for the system's.
        public var caFile: String?
        /// Sent as `User-Agent`.
        public var userAgent = "tributary"
        /// The most connections to one server.
        public var maxConnectionsPerHost = 64
        /// What may be buffered of one body in each direction, in bytes.
        public var bodyBufferBytes = 64 << 10

        /// Settings with the defaults above.
        public init() {}
    }

    private let loop: TransferLoop

    /// Starts the client's thread.
    public init(_ settings: Settings = Settings()) { loop = TransferLoop(settings) }

    deinit { loop.requestStop() }

    /// Sends a request and gives the answer as soon as its header is there. Cancelling the task gives the transfer up; so does
    /// letting go of the answer's body before its end. Any status is an answer, none is an error.
    public func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
        let transfer = loop.makeTransfer(request, owner: self)
        let loop = loop
        do {
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    if transfer.begin(continuation) { loop.post(.start(transfer)) }
                }
            } onCancel: {
                transfer.cancel()
            }
        } catch let error as HTTPClientError {
            throw error
        } catch {
            throw .cancelled
        }
    }

    /// Gives up all transfers and ends the thread.
    public func shutdown() async { await loop.stop() }
}
