/// Who is told of recordings.
public struct HookSettings: Sendable, Equatable {
    /// Gets events by POST; empty: nobody.
    public var url: String
    /// An absolute path and arguments, started for each event; empty: none.
    public var command: [String]
    /// Which events are told.
    public var events: Set<RecordingEvent.Kind>
    /// How long one request or one run may take, in milliseconds.
    public var timeoutMs: Int
    /// Key of the signature; empty: requests carry none.
    public var secret: String

    /// Nobody is told unless `url` or `command` is given.
    public init(
        url: String = "", command: [String] = [], events: Set<RecordingEvent.Kind> = Set(RecordingEvent.Kind.allCases),
        timeoutMs: Int = 10_000, secret: String = ""
    ) {
        self.url = url
        self.command = command
        self.events = events
        self.timeoutMs = timeoutMs
        self.secret = secret
    }

    /// Somebody is told of something.
    public var isAnySet: Bool { !(url.isEmpty && command.isEmpty) && !events.isEmpty }
}

/// How hooks fared since the node started.
public struct HookMetrics: Sendable, Equatable {
    /// Requests answered 2xx and programs that ended with 0.
    public var delivered: Int64 = 0
    /// Events given up on.
    public var failed: Int64 = 0
    /// Events that found the queue full.
    public var dropped: Int64 = 0
}
