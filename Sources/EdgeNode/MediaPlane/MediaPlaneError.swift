/// Why the plane refuses something.
public enum MediaPlaneError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A UDP port of ours is in use by another program.
    case portInUse(UInt16)
    /// The same of a TCP port.
    case tcpPortInUse(UInt16)
    /// An address to bind or announce isn't an IP literal of this machine.
    case address(String)
    /// A system call failed while setting up.
    case system(call: String, errno: Int32)
    /// The transport couldn't be set up: no usable fingerprint, or OpenSSL refused.
    case transport(String)
    /// The user fragment is in use by another session.
    case duplicateUfrag
    /// The stream has a publisher; remove it first.
    case publisherExists
    /// No tracks, or more than a session may carry.
    case tracks(Int)
    /// The loop's command queue is full, or the loop number is out of range.
    case busy
    /// The session is gone.
    case noSession
    /// The plane is shutting down.
    case stopped

    /// One line for logs and configuration errors.
    public var description: String {
        switch self {
        case .portInUse(let port): "UDP port \(port) is in use"
        case .tcpPortInUse(let port): "TCP port \(port) is in use"
        case .address(let text): "\(text) is not an address that can be used here"
        case .system(let call, let errno): "\(call) failed with error number \(errno)"
        case .transport(let text): "the transport could not be set up: \(text)"
        case .duplicateUfrag: "the ICE user fragment is in use"
        case .publisherExists: "the stream has a publisher"
        case .tracks(let count): "\(count) tracks in one session"
        case .busy: "the media loop is busy"
        case .noSession: "no such session"
        case .stopped: "the media plane is stopped"
        }
    }
}
