import Dispatch

#if canImport(Glibc)
    import Glibc
#endif

/// Signals as values, in the order they come, for as long as the object lives.
final class Signals {
    /// What an operator may ask for.
    enum Request: Sendable {
        case stop, reload
    }

    /// One consumer.
    let requests: AsyncStream<Request>
    private let sources: [any DispatchSourceSignal]

    /// Takes SIGTERM, SIGINT and SIGHUP over from their default actions, and ignores SIGPIPE: a client that goes away is an error
    /// of one write, not the end of the program.
    init() {
        let (stream, continuation) = AsyncStream.makeStream(of: Request.self)
        requests = stream
        signal(SIGPIPE, SIG_IGN)
        let queue = DispatchQueue(label: "signals")
        sources = [(SIGTERM, Request.stop), (SIGINT, .stop), (SIGHUP, .reload)].map { number, request in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { continuation.yield(request) }
            source.resume()
            return source
        }
    }
}
