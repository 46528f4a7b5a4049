/// Reads a `text/event-stream` from bytes in any portions (WHATWG HTML, section 9.2.6). Sans-IO.
public struct ServerSentEventParser: Sendable {
    /// A line or an event's data was longer than the limit.
    public struct TooLong: Error, Equatable {
        /// The limit in bytes.
        public let limit: Int
    }

    private let limit: Int
    private var line: [UInt8] = []
    private var skipsLineFeed = false
    private var isFirstLine = true
    private var event = ""
    private var data: [UInt8] = []
    private var hasData = false
    private var lastID: String?
    /// The reconnection time the server asked for in milliseconds, nil when it did not.
    public private(set) var retryMs: Int?

    /// - Parameter limit: the most bytes that one event may have.
    public init(limit: Int = 8 << 20) { self.limit = limit }

    /// Takes bytes and gives the events they complete.
    public mutating func push(_ bytes: some Sequence<UInt8>) throws(TooLong) -> [ServerSentEvent] {
        var events: [ServerSentEvent] = []
        for byte in bytes {
            if skipsLineFeed {
                skipsLineFeed = false
                if byte == 0x0A { continue }
            }
            if byte == 0x0A || byte == 0x0D {
                skipsLineFeed = byte == 0x0D
                if let event = endLine() { events.append(event) }
            } else {
                guard line.count + data.count < limit else { throw TooLong(limit: limit) }
                line.append(byte)
            }
        }
        return events
    }

    private mutating func endLine() -> ServerSentEvent? {
        if isFirstLine, line.starts(with: [0xEF, 0xBB, 0xBF]) { line.removeFirst(3) }
        isFirstLine = false
        defer { line.removeAll(keepingCapacity: true) }
        guard !line.isEmpty else { return dispatch() }
        let colon = line.firstIndex(of: 0x3A) ?? line.count
        let name = String(decoding: line[..<colon], as: UTF8.self)
        var value = line[min(colon + 1, line.count)...]
        if value.first == 0x20 { value = value.dropFirst() }
        switch name {
        case "event": event = String(decoding: value, as: UTF8.self)
        case "data":
            if hasData { data.append(0x0A) }
            data += value
            hasData = true
        case "id": if !value.contains(0) { lastID = String(decoding: value, as: UTF8.self) }
        case "retry":
            if !value.isEmpty, value.allSatisfy({ (0x30...0x39).contains($0) }) {
                retryMs = Int(String(decoding: value, as: UTF8.self))
            }
        default: break
        }
        return nil
    }

    private mutating func dispatch() -> ServerSentEvent? {
        defer {
            event = ""
            data.removeAll(keepingCapacity: true)
            hasData = false
        }
        guard hasData else { return nil }
        return ServerSentEvent(event: event.isEmpty ? "message" : event, data: String(decoding: data, as: UTF8.self), id: lastID)
    }
}
