/// Stands around all routes as a middleware does, but never waits, so that answers that are made on the server's thread pass it too.
public protocol RouterLayer: Sendable {
    /// Before the handler; what it throws becomes the answer.
    func enter(_ request: HTTPRequest) throws(HTTPError)
    /// The answer is ready. Called once for each `enter`, whichever layer threw.
    /// - Parameter spentNs: nanoseconds since the request came.
    func leave(_ request: HTTPRequest, _ response: HTTPResponse, spentNs: UInt64)
}

extension RouterLayer {
    /// Nothing to do.
    public func leave(_ request: HTTPRequest, _ response: HTTPResponse, spentNs: UInt64) {}
}
