@testable import SDP
@testable import Streams
import Testing

@Suite("Lists of formats that viewers share")
struct SharedFormatsTests {
    /// A track with one other format of these parameters.
    private func track(_ fmtp: String) -> NegotiatedTrack {
        var track = NegotiatedTrack(
            kind: .video, mid: "0", codec: .h264, payloadType: 96, rtxPayloadType: nil, ssrc: nil, rtxSSRC: nil,
            extensions: HeaderExtensionIDs(), feedback: FeedbackMessages(), cname: "")
        let codec = Codec(name: "VP9", clockRate: 90_000, fmtp: fmtp)
        track.alternatives = [NegotiatedFormat(codec: codec, payloadType: 98, rtxPayloadType: nil, redPayloadType: nil)]
        return track
    }

    /// Whether two tracks have one list, and not only the same.
    private func share(_ left: [NegotiatedTrack], _ right: [NegotiatedTrack]) -> Bool {
        left[0].alternatives.withUnsafeBytes { one in
            right[0].alternatives.withUnsafeBytes { other in one.baseAddress == other.baseAddress }
        }
    }

    @Test("so many are kept; the next one begins anew, and who is there keeps what he has")
    func lists() {
        var formats = SharedFormats()
        let first = formats.shared([track("0")])
        for other in 1..<SharedFormats.listsMax { _ = formats.shared([track("\(other)")]) }
        let kept = formats.shared([track("0")])
        #expect(share(first, kept))
        _ = formats.shared([track("\(SharedFormats.listsMax)")])
        let anew = formats.shared([track("0")])
        #expect(!share(first, anew) && first == anew)
        let again = formats.shared([track("0")])
        #expect(share(anew, again))
    }

    @Test("what is long is kept by its session alone", arguments: [(0, true), (1, false)])
    func text(beyond: Int, isShared: Bool) {
        var formats = SharedFormats()
        let long = String(repeating: "x", count: SharedFormats.textBytesMax + beyond)
        let first = formats.shared([track(long)])
        let second = formats.shared([track(long)])
        #expect(share(first, second) == isShared && first == second)
    }
}
