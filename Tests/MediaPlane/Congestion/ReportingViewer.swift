import CLinux
import Testing

@testable import MediaPlane

/// A viewer that reports on every packet as if it had come over a simulated link, in real time.
final class ReportingViewer {
    static let transportCC: UInt8 = 3

    let peer: TestPeer
    var link: SimulatedLink
    private var feedback = TransportFeedback()
    private var looked = 0
    private var underWay: [(number: UInt16, arrivalNs: UInt64)] = []
    /// Transport-wide numbers in order of arrival.
    private(set) var numbers: [UInt16] = []

    init(_ peer: TestPeer, link: SimulatedLink) {
        self.peer = peer
        self.link = link
    }

    /// What a viewer agreed on who takes RTX and reports arrivals.
    static func tracks(video: CodecID = .h264, hasAudio: Bool = false) -> [OutgoingTrackSpec] {
        var ids = ExtensionIDs()
        ids.transportCC = transportCC
        let feedback = FeedbackFlags(nack: true, pli: true, transportCC: true)
        let video = OutgoingTrackSpec(
            kind: .video, codec: video, payloadType: 102, ssrc: LoopBed.viewerVideo, rtxPayloadType: 112,
            rtxSSRC: LoopBed.viewerRepair, clockRate: 90000, cname: "c", extensions: ids, feedback: feedback)
        let audio = OutgoingTrackSpec(
            kind: .audio, codec: .opus, payloadType: 103, ssrc: LoopBed.viewerAudio, clockRate: 48000, cname: "c",
            extensions: ids, feedback: FeedbackFlags(nack: false, pli: false, transportCC: true))
        return hasAudio ? [video, audio] : [video]
    }

    static func number(of packet: [UInt8]) -> UInt16? {
        guard let header = try? RTPHeader(parsing: packet.span) else { return nil }
        var ids = ExtensionIDs()
        ids.transportCC = transportCC
        return ReceivedExtensions(header, in: packet.span, ids: ids).transportSequence
    }

    /// Takes what has come, and reports what the link has let through by now.
    func step(reports: Bool = true) {
        peer.step()
        let now = tributary_monotonic_ns()
        for packet in peer.media[looked...] {
            guard let number = Self.number(of: packet) else { continue }
            numbers.append(number)
            if let arrivalNs = link.carry(bytes: packet.count + MediaLimits.networkHeaderBytes, now: now) {
                underWay.append((number, arrivalNs))
            }
        }
        looked = peer.media.count
        let arrived = underWay.prefix { $0.arrivalNs <= now }
        for packet in arrived { feedback.record(packet.number, arrivalNs: packet.arrivalNs) }
        underWay.removeFirst(arrived.count)
        guard reports, feedback.isDue(now: now) else { return }
        peer.sendReports { writer in
            writer.receiverReport(sender: 1, blocks: 0) { _ in unusedBlock }
            for _ in 0..<4 where feedback.pending > 0 {
                _ = feedback.write(to: &writer, sender: 1, media: LoopBed.viewerVideo, now: now)
            }
        }
    }
}
