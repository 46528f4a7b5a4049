import HTTP
import Presentation

/// The bytes of a recorded object, piece by piece; one reader, once.
public struct ObjectStream: Sendable {
    /// The next piece; nil at the end. Throws what broke it. Letting go of the stream gives it up.
    public let next: @Sendable () async throws -> [UInt8]?

    /// A stream of what `next` brings.
    public init(_ next: @escaping @Sendable () async throws -> [UInt8]?) { self.next = next }
}

/// What a program has recorded, as playback needs it: the coordinator's index over all nodes, or a node's own.
/// Every method may be called from any task; errors that clients should see are `HTTPError`.
public protocol PlaybackSource: Sendable {
    /// Names of the streams that have recordings, sorted.
    func streams() async throws -> [String]
    /// A page of a stream's recordings, newest first.
    func page(_ query: RecordingQuery) async throws -> PlaybackPage
    /// The recordings of a range on one line; nil `gaps` leaves them out of what is finished. Throws 404 when there is nothing.
    func timeline(stream: String, fromUs: Int64?, toUs: Int64?, gaps: GapRule?) async throws -> Timeline
    /// When a recording began, Unix microseconds: the one of this identifier, or the stream's first. Nil when there is none.
    func recordingStart(stream: String, id: String?) async throws -> Int64?
    /// An object's bytes. Throws 404 when it is not there.
    func object(_ key: String, node: String, for request: HTTPRequest) async throws -> ObjectStream
    /// Whether object addresses must say which node has the object.
    var namesNodes: Bool { get }
}
