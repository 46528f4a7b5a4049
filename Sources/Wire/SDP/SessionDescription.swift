/// What an `m=` line announces (RFC 8866 section 5.14), as far as WebRTC uses it.
public enum MediaKind: String, Sendable, Hashable, CaseIterable {
    case audio, video, application
}

/// One `a=` line: `name` alone or `name:value` (RFC 8866 section 5.13).
public struct SDPAttribute: Sendable, Equatable {
    /// What stands before the colon.
    public var name: String
    /// What stands after the colon; nil for a property attribute.
    public var value: String?

    /// Makes an attribute from its two halves.
    public init(_ name: String, _ value: String? = nil) {
        self.name = name
        self.value = value
    }
}

/// One media section: an `m=` line and what follows it.
public struct MediaDescription: Sendable, Equatable {
    /// The media token as sent, such as `audio`.
    public var media: String
    /// The port; 0 means rejected or, in an offer, disabled or bundle-only.
    public var port: Int
    /// The transport protocol, such as `UDP/TLS/RTP/SAVPF`.
    public var transportProtocol: String
    /// Payload types, or `webrtc-datachannel`; never empty after parsing.
    public var formats: [String]
    /// The value of `c=`, when the section has one.
    public var connection: String?
    /// The section's attributes in their order.
    public var attributes: [SDPAttribute]

    /// The kind, or nil for a media token that WebRTC does not know.
    public var kind: MediaKind? { MediaKind(rawValue: media) }

    /// Makes a section from its parts; nothing is checked.
    public init(
        media: String, port: Int, transportProtocol: String, formats: [String], connection: String? = nil,
        attributes: [SDPAttribute] = []
    ) {
        self.media = media
        self.port = port
        self.transportProtocol = transportProtocol
        self.formats = formats
        self.connection = connection
        self.attributes = attributes
    }
}

/// A session description as a value (RFC 8866).
///
/// It keeps what offer/answer needs: origin, name, timing, attributes and media sections. Lines of other types (`b=`, `i=`, `u=`,
/// `e=`, `p=`, `r=`, `z=`, `k=`) are checked for their form and left out. Parsing what `serialized` wrote gives an equal value.
public struct SessionDescription: Sendable, Equatable {
    /// The value of `o=`.
    public var origin: String
    /// The value of `s=`.
    public var sessionName: String
    /// The value of the first `t=`.
    public var timing: String
    /// Attributes before the first `m=`.
    public var attributes: [SDPAttribute]
    /// The media sections in their order.
    public var media: [MediaDescription]

    /// Makes a description from its parts; nothing is checked.
    public init(
        origin: String, sessionName: String = "-", timing: String = "0 0", attributes: [SDPAttribute] = [],
        media: [MediaDescription] = []
    ) {
        self.origin = origin
        self.sessionName = sessionName
        self.timing = timing
        self.attributes = attributes
        self.media = media
    }

    /// The description as text with CRLF line ends (RFC 8866 section 5).
    public func serialized() -> String {
        var text = "v=0\r\no=\(origin)\r\ns=\(sessionName)\r\nt=\(timing)\r\n"
        Self.append(attributes, to: &text)
        for section in media {
            let formats = section.formats.joined(separator: " ")
            text += "m=\(section.media) \(section.port) \(section.transportProtocol) \(formats)\r\n"
            if let connection = section.connection { text += "c=\(connection)\r\n" }
            Self.append(section.attributes, to: &text)
        }
        return text
    }

    private static func append(_ attributes: [SDPAttribute], to text: inout String) {
        for attribute in attributes {
            text += "a=" + attribute.name
            if let value = attribute.value { text += ":" + value }
            text += "\r\n"
        }
    }
}
