extension HTTPClient {
    /// The events of a `text/event-stream`, until it ends or breaks; the stream throws ``HTTPClientError``. It does not reconnect.
    /// Events that are not read yet hold the server back. Cancelling the reader closes the connection.
    /// - Parameter idleSeconds: gives up after so long without a byte; heartbeats count as bytes.
    public func events(_ url: String, headers: HTTPHeaders = [:], idleSeconds: Int = 45) -> ServerSentEvents {
        var request = HTTPClientRequest(.get, url, headers: headers)
        if headers["Accept"] == nil { request.headers["Accept"] = "text/event-stream" }
        request.totalMs = nil
        request.idleSeconds = idleSeconds
        return ServerSentEvents(client: self, request: request)
    }
}

/// A stream of events from a server; it connects when iteration begins.
public struct ServerSentEvents: AsyncSequence, Sendable {
    let client: HTTPClient
    let request: HTTPClientRequest

    /// Starts; one connection for each iterator.
    public func makeAsyncIterator() -> Iterator { Iterator(client: client, request: request) }

    /// Gives the events in order, nil when the server ends the stream properly.
    public struct Iterator: AsyncIteratorProtocol {
        let client: HTTPClient
        let request: HTTPClientRequest
        private var body: HTTPClientBody?
        private var parser = ServerSentEventParser()
        private var waiting: ArraySlice<ServerSentEvent> = []

        init(client: HTTPClient, request: HTTPClientRequest) {
            (self.client, self.request) = (client, request)
        }

        /// The next event. Throws ``HTTPClientError/status(_:)`` when the answer is not 200, ``HTTPClientError/broken(_:)`` when it is
        /// no event stream.
        public mutating func next() async throws(HTTPClientError) -> ServerSentEvent? {
            while true {
                if let event = waiting.popFirst() { return event }
                let body = try await connected()
                guard let chunk = try await body.next() else { return nil }
                do throws(ServerSentEventParser.TooLong) {
                    waiting = try parser.push(chunk)[...]
                } catch {
                    body.cancel()
                    throw .tooLong(limit: error.limit)
                }
            }
        }

        private mutating func connected() async throws(HTTPClientError) -> HTTPClientBody {
            if let body { return body }
            let response = try await client.send(request)
            guard response.status == .ok else { throw .status(response.status) }
            guard response.headers.mediaType == "text/event-stream" else { throw .broken("the answer is no event stream") }
            body = response.body
            return response.body
        }
    }
}
