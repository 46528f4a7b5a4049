import Testing

@testable import SDP

extension OfferCorpus {
    /// A browser player: the same codecs, receiving, data channel first.
    static let chromePlayer = ClientOfferSample(
        client: "Chrome playing",
        text: crlf(
            """
            v=0
            o=- 8121902391238712731 2 IN IP4 127.0.0.1
            s=-
            t=0 0
            a=group:BUNDLE 0 1 2
            a=extmap-allow-mixed
            a=msid-semantic: WMS
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel
            c=IN IP4 0.0.0.0
            a=ice-ufrag:uXyZ
            a=ice-pwd:AAAABBBBCCCCDDDDEEEEFFFF
            a=fingerprint:sha-256 \(fingerprint)
            a=setup:actpass
            a=mid:0
            a=sctp-port:5000
            m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 109 39 100
            c=IN IP4 0.0.0.0
            a=ice-ufrag:uXyZ
            a=ice-pwd:AAAABBBBCCCCDDDDEEEEFFFF
            a=fingerprint:sha-256 \(fingerprint)
            a=setup:actpass
            a=mid:1
            a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
            a=extmap:13 urn:3gpp:video-orientation
            a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
            a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
            a=recvonly
            a=rtcp-mux
            a=rtcp-rsize
            a=rtpmap:96 VP8/90000
            a=rtpmap:97 rtx/90000
            a=fmtp:97 apt=96
            a=rtpmap:103 H264/90000
            a=rtcp-fb:103 goog-remb
            a=rtcp-fb:103 transport-cc
            a=rtcp-fb:103 ccm fir
            a=rtcp-fb:103 nack
            a=rtcp-fb:103 nack pli
            a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
            a=rtpmap:104 rtx/90000
            a=fmtp:104 apt=103
            a=rtpmap:107 H264/90000
            a=fmtp:107 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f
            a=rtpmap:109 H264/90000
            a=rtcp-fb:109 nack
            a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
            a=rtpmap:39 H264/90000
            a=fmtp:39 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f
            a=rtpmap:100 H264/90000
            a=fmtp:100 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f
            m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13
            c=IN IP4 0.0.0.0
            a=ice-ufrag:uXyZ
            a=ice-pwd:AAAABBBBCCCCDDDDEEEEFFFF
            a=fingerprint:sha-256 \(fingerprint)
            a=setup:actpass
            a=mid:2
            a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
            a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
            a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
            a=recvonly
            a=rtcp-mux
            a=rtpmap:111 opus/48000/2
            a=rtcp-fb:111 transport-cc
            a=fmtp:111 minptime=10;useinbandfec=1
            a=rtpmap:63 red/48000/2
            a=rtpmap:9 G722/8000
            a=rtpmap:0 PCMU/8000
            a=rtpmap:8 PCMA/8000
            a=rtpmap:13 CN/8000
            """), published: [], publishedSetup: .passive)

    /// aiortc's receiver: H264 with two profiles, no TWCC.
    static let aiortcPlayer = ClientOfferSample(
        client: "aiortc playing", text: aiortc.text.replacingSendonly(), published: [], publishedSetup: .passive)
    static let firefoxPlayer = ClientOfferSample(
        client: "Firefox playing", text: firefox.text.replacingSendonly(), published: [], publishedSetup: .passive)
    static let gstreamerPlayer = ClientOfferSample(
        client: "GStreamer playing", text: gstreamer.text.replacingSendonly(), published: [], publishedSetup: .passive)

    static let players = [chromePlayer, aiortcPlayer, firefoxPlayer, gstreamerPlayer]
}
