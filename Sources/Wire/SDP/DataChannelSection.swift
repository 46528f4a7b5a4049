/// What a peer says of its data channels (RFC 8841 sections 5 and 6).
public struct DataChannelTerms: Sendable, Equatable {
    /// The peer's SCTP port.
    public let port: UInt16
    /// The longest message that it takes, in bytes; `Int.max` when any.
    public let messageBytes: Int

    /// RFC 8841 section 6.1.
    private static let messageBytesDefault = 65_536
    static let format = "webrtc-datachannel"
    static let port: UInt16 = 5000

    /// Reads a section; nil when it is not SCTP over DTLS as WebRTC uses it, such as the drafts' `DTLS/SCTP`.
    init?(_ section: OfferedSection) {
        let description = section.description
        guard section.kind == .application, !section.isDisabled, description.formats == [Self.format],
            ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP"].contains(description.transportProtocol)
        else { return nil }
        func number(_ name: String, limit: Int, orElse value: Int) -> Int? {
            guard let line = description.attributes.first(where: { $0.name == name })?.value else { return value }
            return sdpNumber(line, limit: limit)
        }
        guard let port = number("sctp-port", limit: 65_535, orElse: Int(Self.port)), port > 0,
            let bytes = number("max-message-size", limit: .max, orElse: Self.messageBytesDefault)
        else { return nil }
        self.port = UInt16(port)
        messageBytes = bytes == 0 ? .max : bytes
    }
}

extension ReadDescription {
    /// Accepts the first section for data channels that shares the session's transport; it stays rejected otherwise.
    ///
    /// - Parameters:
    ///   - messageBytes: the longest message that we take; nil when there are no data channels here.
    ///   - media: the first accepted section.
    ///   - answered: the answer's sections, all of them.
    func acceptDataChannels(
        messageBytes: Int?, with media: OfferedSection?, in answered: inout [AnswerSection]
    ) -> DataChannelTerms? {
        guard let messageBytes, let media else { return nil }
        for (index, section) in sections.enumerated() where sharesTransport(section, with: media) {
            guard let terms = DataChannelTerms(section) else { continue }
            answered[index] = AnswerSection(
                section,
                accepted: AnswerSection.Accepted(
                    formats: [DataChannelTerms.format],
                    attributes: [
                        SDPAttribute("sctp-port", String(DataChannelTerms.port)),
                        SDPAttribute("max-message-size", String(messageBytes)),
                    ], direction: nil))
            return terms
        }
        return nil
    }
}
