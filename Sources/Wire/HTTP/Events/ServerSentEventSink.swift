/// Where a handler sends its events.
public struct ServerSentEventSink: Sendable {
    let writer: HTTPBodyWriter

    /// Sends one event; waits while the client is slow. Throws when the client is gone. Any task may call it.
    public func send(event: String = "message", data: String, id: String? = nil) async throws {
        try await writer.write(ServerSentEvent(event: event, data: data, id: id).encoded)
    }

    /// Sends a comment, which clients ignore.
    func comment() async throws { try await writer.write(": \n\n") }
}

extension HTTPResponse {
    /// A stream of events, with a comment every 15 s so that proxies keep it and a vanished client is noticed.
    /// The closure's task is cancelled when the client goes; the stream ends when the closure returns.
    public static func serverSentEvents(
        headers: HTTPHeaders = [:], keepAliveSeconds: Int = 15,
        _ body: @escaping @Sendable (ServerSentEventSink) async throws -> Void
    ) -> HTTPResponse {
        var headers = headers
        headers["Cache-Control"] = "no-store"
        headers["X-Accel-Buffering"] = "no"
        var response = HTTPResponse.stream(contentType: "text/event-stream", headers: headers) { writer in
            let sink = ServerSentEventSink(writer: writer)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while true {
                        try await Task.sleep(for: .seconds(keepAliveSeconds))
                        try await sink.comment()
                    }
                }
                group.addTask { try await body(sink) }
                // Whichever ends first ends both: the closure by returning, the keep-alive by the client's going.
                try await group.next()
                group.cancelAll()
            }
        }
        response.endsWhenCancelled = true
        return response
    }
}
