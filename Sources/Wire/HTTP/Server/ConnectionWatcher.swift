/// Watches what the library does not.
final class ConnectionWatcher: Sendable {
    func lingerWhenClosed(_ connection: Exchange.Connection) {}
}
