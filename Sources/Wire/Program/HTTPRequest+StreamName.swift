import Cluster
import HTTP

extension HTTPRequest {
    /// The path's `{stream}`.
    /// - Throws: 400 when it is not a stream name.
    public func streamName() throws(HTTPError) -> String {
        let name = parameter("stream")
        guard StreamName.isValid(name) else {
            throw HTTPError(.badRequest, "not a stream name: 1 to 64 of A-Z a-z 0-9 _ . ~ - and no dot first")
        }
        return name
    }
}
