import Testing

@testable import SDP

/// The rules that every answer keeps, whatever the offer (RFC 3264 section 6, RFC 9143 section 7.3, RFC 9725 section 4.4).
func checkAnswer(_ answerText: String, to offer: SessionDescription, direction: String, setup: SetupRole) throws {
    #expect(answerText.utf8.count <= 8192)
    #expect(answerText.hasPrefix("v=0\r\no=") && answerText.contains("\r\ns=-\r\nt=0 0\r\n"))
    #expect(!answerText.utf8.split(separator: UInt8(ascii: "\n")).contains { $0.last != UInt8(ascii: "\r") })
    let answer = try SessionDescription(parsing: answerText)
    #expect(answer.serialized() == answerText)
    #expect(answer.media.map(\.media) == offer.media.map(\.media))
    #expect(answer.media.map(\.transportProtocol) == offer.media.map(\.transportProtocol))
    #expect(answer.attributes.contains(SDPAttribute("ice-lite")))

    let accepted = answer.media.filter { $0.port != 0 }
    #expect(accepted.allSatisfy { $0.port == 9 })
    func group(_ description: SessionDescription) -> [String]? {
        description.attributes.first { $0.name == "group" && $0.value?.hasPrefix("BUNDLE") == true }?.value.map {
            $0.split(separator: " ").dropFirst().map(String.init)
        }
    }
    if let answered = group(answer) {
        #expect(answered == accepted.compactMap { $0.first("mid") })
        #expect(Set(answered).isSubset(of: Set(group(offer) ?? [])))
    } else {
        #expect(group(offer) == nil)
    }
    for (section, offered) in zip(answer.media, offer.media) {
        #expect(section.first("mid") == offered.first("mid"))
        #expect(section.connection == "IN IP4 0.0.0.0")
        #expect(section.first("ice-ufrag") == "edgeUfrg" && section.first("ice-pwd") == "edgePasswordOf24Letters0")
        #expect(section.first("fingerprint")?.hasPrefix("sha-256 00:05:0A:") == true)
        #expect(section.first("setup") == setup.rawValue)
        let isData = section.kind == .application && section.port != 0
        #expect(section.has("rtcp-mux") == !isData)
        #expect(section.has("rtcp-rsize") == offered.has("rtcp-rsize"))
        let layers = section.first("simulcast")?.dropFirst("recv ".utf8.count).split(separator: ";").map(String.init) ?? []
        #expect(section.all("rid") == layers.map { "\($0) recv" })
        if section.port == 0 {
            #expect(section.has("inactive"))
        } else {
            #expect(section.has(direction) == !isData)
            try checkAccepted(section, offered)
        }
    }
    let candidates = accepted.flatMap { $0.all("candidate") }
    #expect(candidates.first?.contains(" 192.0.2.10 7000 typ host") == true)
    #expect(candidates.last?.contains("2001:db8::5") == true)
    #expect(Set(candidates.compactMap { $0.split(separator: " ").first }).count == candidates.count)
    #expect(accepted.first?.has("end-of-candidates") == true)
}

/// Formats, feedback and extensions are the offer's, never more.
private func checkAccepted(_ section: MediaDescription, _ offered: MediaDescription) throws {
    #expect(!section.formats.isEmpty && Set(section.formats).isSubset(of: Set(offered.formats)))
    #expect(section.formats.compactMap { Int($0) }.allSatisfy { !(64...95).contains($0) })
    let refused = ["ulpfec", "flexfec", "CN", "telephone-event"]
    #expect(!section.all("rtpmap").contains { map in refused.contains { map.contains(" \($0)") } })
    // Redundant audio data of a payload type that is answered, too.
    for line in section.all("rtpmap") where line.contains(" red/") {
        let red = line.prefix { $0 != " " }
        let blocks = section.all("fmtp").first { $0.hasPrefix("\(red) ") }?.dropFirst(red.count + 1).split(separator: "/") ?? []
        #expect(line == "\(red) red/48000/2" && section.formats.contains(String(red)))
        #expect(blocks.count == 2 && blocks[0] == blocks[1] && section.formats.contains(String(blocks[0])))
    }
    for line in section.all("extmap") {
        let fields = line.split(separator: " ")
        #expect(fields.count == 2)
        let id = fields[0].prefix { $0 != "/" }
        #expect(offered.all("extmap").contains { $0.prefix { $0 != " " && $0 != "/" } == id && $0.hasSuffix(String(fields[1])) })
    }
    for line in section.all("rtcp-fb") {
        let message = line.drop { $0 != " " }
        let isOffered = offered.attributes.contains {
            ($0.name == "rtcp-fb" && $0.value?.hasSuffix(message) == true)
                || $0.name.hasPrefix("rtcp-fb") && $0.name.hasSuffix(message)
        }
        #expect(isOffered, "feedback that was not offered: \(line)")
    }
    for line in section.all("fmtp") where line.contains("apt=") {
        let repaired = line.drop { $0 != "=" }.dropFirst()
        #expect(section.formats.contains(String(repaired)))
    }
}

extension MediaDescription {
    func first(_ name: String) -> String? { attributes.first { $0.name == name }?.value }
    func all(_ name: String) -> [String] { attributes.filter { $0.name == name }.compactMap(\.value) }
    func has(_ name: String) -> Bool { attributes.contains { $0.name == name && $0.value == nil } }
}
