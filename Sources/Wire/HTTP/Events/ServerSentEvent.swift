/// One event of a `text/event-stream` (WHATWG HTML, section 9.2).
public struct ServerSentEvent: Sendable, Equatable {
    /// The type; `message` when the stream names none.
    public let event: String
    /// The data, lines joined by line feeds.
    public let data: String
    /// The last event id seen so far in the stream.
    public let id: String?

    /// An event from its parts.
    public init(event: String = "message", data: String, id: String? = nil) {
        (self.event, self.data, self.id) = (event, data, id)
    }

    /// The wire form; line breaks in the event name and id are left out, since they would end the field.
    var encoded: [UInt8] {
        func oneLine(_ text: String) -> String { String(text.unicodeScalars.filter { $0 != "\n" && $0 != "\r" && $0 != "\0" }) }
        var out = event == "message" ? "" : "event: \(oneLine(event))\n"
        if let id { out += "id: \(oneLine(id))\n" }
        let lines = data.replacing("\r\n", with: "\n").replacing("\r", with: "\n").split(
            separator: "\n", omittingEmptySubsequences: false)
        for line in lines { out += "data: \(line)\n" }
        return Array((out + "\n").utf8)
    }
}
