import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// Compares a configuration with the machine it is to run on and reports what doesn't fit, at the key's place.
public final class ConfigChecks {
    /// What may be looked at.
    public struct Kinds: OptionSet, Sendable {
        /// The bits.
        public let rawValue: Int
        /// - Parameter rawValue: the bits.
        public init(rawValue: Int) { self.rawValue = rawValue }
        /// Files readable, directories writable. Directories are made when they are missing.
        public static let files = Kinds(rawValue: 1)
        /// Ports free, addresses ours.
        public static let ports = Kinds(rawValue: 2)
        /// Everything.
        public static let all: Kinds = [.files, .ports]
    }

    private let context: ConfigContext
    private let kinds: Kinds

    init(context: ConfigContext, kinds: Kinds) {
        self.context = context
        self.kinds = kinds
    }

    /// Reports a problem of the key with this full path.
    public func problem(_ path: String, _ message: String) { context.report(path, message) }

    /// The file can be opened for reading.
    public func readable(file: String, key: String) {
        guard kinds.contains(.files) else { return }
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return problem(key, "\(file): \(reason())") }
        close(descriptor)
    }

    /// The directory exists, or can be made, and a file can be made in it.
    public func writable(directory: String, key: String) {
        guard kinds.contains(.files) else { return }
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        } catch {
            return problem(key, "\(directory): not a directory that can be made")
        }
        var template = Array("\(directory)/.check-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { return problem(key, "\(directory): \(reason())") }
        close(descriptor)
        unlink(template)
    }

    /// A file can be made at this path: its directory is writable, and the file, if it is there, too.
    public func writable(file: String, key: String) {
        guard kinds.contains(.files) else { return }
        if access(file, F_OK) == 0 {
            if access(file, W_OK) != 0 { problem(key, "\(file): \(reason())") }
            return
        }
        let directory = (file as NSString).deletingLastPathComponent
        writable(directory: directory.isEmpty ? "." : directory, key: key)
    }

    /// A TCP server could listen here now.
    public func listenable(_ address: ListenAddress, key: String) {
        bindable(host: address.host, port: address.port, type: SOCK_STREAM, key: key, what: address.description)
    }

    /// A UDP socket could be bound here now. Port 0 is always free.
    public func bindableUDP(host: String, port: UInt16, key: String) {
        bindable(host: host, port: port, type: SOCK_DGRAM, key: key, what: "UDP port \(port)")
    }

    private func bindable(host: String, port: UInt16, type: __socket_type, key: String, what: String) {
        guard kinds.contains(.ports) else { return }
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        hints.ai_socktype = Int32(type.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &list) == 0, let first = list else {
            return problem(key, "\(host): not an address of this machine")
        }
        defer { freeaddrinfo(first) }
        let descriptor = socket(first.pointee.ai_family, Int32(type.rawValue), 0)
        guard descriptor >= 0 else { return problem(key, "\(what): \(reason())") }
        defer { close(descriptor) }
        var on: Int32 = 1
        // A server may bind again while old connections time out; UDP has none, and there it would hide a second program.
        if type == SOCK_STREAM { setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)) }
        guard bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
            return problem(key, "\(what): \(reason())")
        }
        // With SO_REUSEADDR two sockets may bind as long as neither listens.
        if type == SOCK_STREAM, listen(descriptor, 1) != 0 { problem(key, "\(what): \(reason())") }
    }

    private func reason() -> String {
        switch errno {
        case EADDRINUSE: "already in use by another program"
        case EADDRNOTAVAIL: "not an address of this machine"
        case EACCES, EPERM: "permission denied"
        case ENOENT: "no such file"
        case ENOTDIR: "not a directory"
        case EROFS: "read-only file system"
        case ENOSPC: "no space left"
        default: String(cString: strerror(errno))
        }
    }
}
