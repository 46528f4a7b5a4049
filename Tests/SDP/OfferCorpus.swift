import Testing

@testable import SDP

/// An offer shaped like those of one client. Written for these tests; addresses, keys and names are made up.
struct ClientOfferSample: CustomTestStringConvertible, Sendable {
    let client: String
    let text: String
    /// Payload types of the sections that have to be accepted when publishing, video and audio in section order.
    let published: [UInt8]
    let publishedSetup: SetupRole

    var testDescription: String { client }
    var description: SessionDescription { get throws { try SessionDescription(parsing: text) } }
}

enum OfferCorpus {
    static let fingerprint = (0..<32).map { index in
        let hex = String(index * 7 % 256, radix: 16, uppercase: true)
        return hex.count == 1 ? "0" + hex : hex
    }.joined(separator: ":")

    static func crlf(_ lines: String) -> String {
        lines.split(separator: "\n").map { $0 + "\r\n" }.joined()
    }

    /// Audio first, many codecs, data channel, TWCC, mDNS candidates.
    static let chrome = ClientOfferSample(
        client: "Chrome publishing",
        text: crlf(
            """
            v=0
            o=- 4611731400430051336 2 IN IP4 127.0.0.1
            s=-
            t=0 0
            a=group:BUNDLE 0 1 2
            a=extmap-allow-mixed
            a=msid-semantic: WMS 6c0c
            m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
            c=IN IP4 0.0.0.0
            a=rtcp:9 IN IP4 0.0.0.0
            a=candidate:1 1 udp 2113937151 8f2c61a4-0f6e-4d6e-9f47-1a2b3c4d5e6f.local 51972 typ host generation 0 network-cost 999
            a=ice-ufrag:4ZcD
            a=ice-pwd:2/1muCWoOi3uLifh0NuRHlb1
            a=ice-options:trickle
            a=fingerprint:sha-256 \(fingerprint)
            a=setup:actpass
            a=mid:0
            a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
            a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
            a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
            a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
            a=sendonly
            a=msid:6c0c aaaa
            a=rtcp-mux
            a=rtcp-rsize
            a=rtpmap:111 opus/48000/2
            a=rtcp-fb:111 transport-cc
            a=fmtp:111 minptime=10;useinbandfec=1
            a=rtpmap:63 red/48000/2
            a=fmtp:63 111/111
            a=rtpmap:9 G722/8000
            a=rtpmap:0 PCMU/8000
            a=rtpmap:8 PCMA/8000
            a=rtpmap:13 CN/8000
            a=rtpmap:110 telephone-event/48000
            a=rtpmap:126 telephone-event/8000
            a=ssrc:3735928559 cname:e9BfyyxyWXT3LTg5
            a=ssrc:3735928559 msid:6c0c aaaa
            m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 108 109 114 39 40 45 46 98 99 123 124
            c=IN IP4 0.0.0.0
            a=ice-ufrag:4ZcD
            a=ice-pwd:2/1muCWoOi3uLifh0NuRHlb1
            a=ice-options:trickle
            a=fingerprint:sha-256 \(fingerprint)
            a=setup:actpass
            a=mid:1
            a=extmap:14 urn:ietf:params:rtp-hdrext:toffset
            a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
            a=extmap:13 urn:3gpp:video-orientation
            a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
            a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
            a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
            a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
            a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
            a=sendonly
            a=msid:6c0c bbbb
            a=rtcp-mux
            a=rtcp-rsize
            a=rtpmap:96 VP8/90000
            a=rtcp-fb:96 goog-remb
            a=rtcp-fb:96 transport-cc
            a=rtcp-fb:96 ccm fir
            a=rtcp-fb:96 nack
            a=rtcp-fb:96 nack pli
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
            a=rtpmap:108 rtx/90000
            a=fmtp:108 apt=107
            a=rtpmap:109 H264/90000
            a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
            a=rtpmap:114 rtx/90000
            a=fmtp:114 apt=109
            a=rtpmap:39 H264/90000
            a=fmtp:39 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f
            a=rtpmap:40 rtx/90000
            a=fmtp:40 apt=39
            a=rtpmap:45 AV1/90000
            a=fmtp:45 level-idx=5;profile=0;tier=0
            a=rtpmap:46 rtx/90000
            a=fmtp:46 apt=45
            a=rtpmap:98 VP9/90000
            a=fmtp:98 profile-id=0
            a=rtpmap:99 rtx/90000
            a=fmtp:99 apt=98
            a=rtpmap:123 ulpfec/90000
            a=rtpmap:124 flexfec-03/90000
            a=ssrc-group:FID 1111111111 2222222222
            a=ssrc:1111111111 cname:e9BfyyxyWXT3LTg5
            a=ssrc:1111111111 msid:6c0c bbbb
            a=ssrc:2222222222 cname:e9BfyyxyWXT3LTg5
            a=ssrc:2222222222 msid:6c0c bbbb
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel
            c=IN IP4 0.0.0.0
            a=ice-ufrag:4ZcD
            a=ice-pwd:2/1muCWoOi3uLifh0NuRHlb1
            a=ice-options:trickle
            a=fingerprint:sha-256 \(fingerprint)
            a=setup:actpass
            a=mid:2
            a=sctp-port:5000
            a=max-message-size:262144
            """), published: [111, 103], publishedSetup: .passive)

    /// Session-level fingerprint, directions in extmap ids, video with no ssrc-group.
    static let firefox = ClientOfferSample(
        client: "Firefox publishing",
        text: crlf(
            """
            v=0
            o=mozilla...THIS_IS_SDPARTA-99.0 8154093519041530014 0 IN IP4 0.0.0.0
            s=-
            t=0 0
            a=sendrecv
            a=fingerprint:sha-256 \(fingerprint)
            a=group:BUNDLE 0 1
            a=ice-options:trickle
            a=msid-semantic:WMS *
            m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
            c=IN IP4 0.0.0.0
            a=sendonly
            a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
            a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
            a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
            a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
            a=fmtp:101 0-15
            a=ice-pwd:0123456789abcdef0123456789abcdef
            a=ice-ufrag:c2f1a6b9
            a=mid:0
            a=msid:{70aa} {71bb}
            a=rtcp-mux
            a=rtpmap:109 opus/48000/2
            a=rtpmap:9 G722/8000/1
            a=rtpmap:0 PCMU/8000
            a=rtpmap:8 PCMA/8000
            a=rtpmap:101 telephone-event/8000/1
            a=setup:actpass
            a=ssrc:2087432711 cname:{c0de}
            m=video 9 UDP/TLS/RTP/SAVPF 120 124 121 125 126 127 97 98
            c=IN IP4 0.0.0.0
            a=sendonly
            a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
            a=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
            a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
            a=fmtp:126 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1
            a=fmtp:97 profile-level-id=42e01f;level-asymmetry-allowed=1
            a=fmtp:120 max-fs=12288;max-fr=60
            a=fmtp:124 apt=120
            a=fmtp:127 apt=126
            a=fmtp:98 apt=97
            a=ice-pwd:0123456789abcdef0123456789abcdef
            a=ice-ufrag:c2f1a6b9
            a=mid:1
            a=msid:{70aa} {72cc}
            a=rtcp-fb:120 nack
            a=rtcp-fb:126 nack
            a=rtcp-fb:126 nack pli
            a=rtcp-fb:126 ccm fir
            a=rtcp-fb:126 goog-remb
            a=rtcp-fb:126 transport-cc
            a=rtcp-mux
            a=rtcp-rsize
            a=rtpmap:120 VP8/90000
            a=rtpmap:124 rtx/90000
            a=rtpmap:121 VP9/90000
            a=rtpmap:125 rtx/90000
            a=rtpmap:126 H264/90000
            a=rtpmap:127 rtx/90000
            a=rtpmap:97 H264/90000
            a=rtpmap:98 rtx/90000
            a=setup:actpass
            a=ssrc:1509841023 cname:{c0de}
            """), published: [109, 126], publishedSetup: .passive)

    /// libdatachannel: session-level transport, no candidates, no RTX, no TWCC.
    static let obs = ClientOfferSample(
        client: "OBS publishing",
        text: crlf(
            """
            v=0
            o=rtc 3767197920 0 IN IP4 127.0.0.1
            s=-
            t=0 0
            a=group:BUNDLE 0 1
            a=group:LS 0 1
            a=msid-semantic:WMS *
            a=setup:actpass
            a=ice-ufrag:nsuL
            a=ice-pwd:nMCJOtJTyHQZUTDlZ0aHQx
            a=ice-options:ice2,trickle
            a=fingerprint:sha-256 \(fingerprint)
            m=audio 9 UDP/TLS/RTP/SAVPF 111
            c=IN IP4 0.0.0.0
            a=mid:0
            a=sendonly
            a=ssrc:1730131413 cname:r4Xm
            a=ssrc:1730131413 msid:r4Xm r4Xm-audio
            a=msid:r4Xm r4Xm-audio
            a=rtcp-mux
            a=rtpmap:111 opus/48000/2
            a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
            m=video 9 UDP/TLS/RTP/SAVPF 96
            c=IN IP4 0.0.0.0
            a=mid:1
            a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
            a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
            a=sendonly
            a=ssrc:1730131414 cname:r4Xm
            a=ssrc:1730131414 msid:r4Xm r4Xm-video
            a=msid:r4Xm r4Xm-video
            a=rtcp-mux
            a=rtpmap:96 H264/90000
            a=rtcp-fb:96 nack
            a=rtcp-fb:96 nack pli
            a=rtcp-fb:96 goog-remb
            a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
            """), published: [111, 96], publishedSetup: .passive)

    /// Pion: fingerprint at session level only, names without a stream of one letter, and everything of a codec in one section.
    static let pion = ClientOfferSample(
        client: "Pion publishing",
        text: crlf(
            """
            v=0
            o=- 6151926215541316912 1763769600 IN IP4 0.0.0.0
            s=-
            t=0 0
            a=msid-semantic:WMS*
            a=fingerprint:sha-256 \(fingerprint)
            a=extmap-allow-mixed
            a=group:BUNDLE 0 1
            m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 45 46
            c=IN IP4 0.0.0.0
            a=setup:actpass
            a=mid:0
            a=ice-ufrag:QmTvLxYfHgRpWnZd
            a=ice-pwd:sKdJfHgLqWeRtYuIoPzXcVbNmAsDfGhJ
            a=rtcp-mux
            a=rtcp-rsize
            a=rtpmap:96 VP8/90000
            a=rtcp-fb:96 goog-remb
            a=rtcp-fb:96 ccm fir
            a=rtcp-fb:96 nack
            a=rtcp-fb:96 nack pli
            a=rtcp-fb:96 transport-cc
            a=rtpmap:97 rtx/90000
            a=fmtp:97 apt=96
            a=rtpmap:102 H264/90000
            a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
            a=rtcp-fb:102 goog-remb
            a=rtcp-fb:102 ccm fir
            a=rtcp-fb:102 nack
            a=rtcp-fb:102 nack pli
            a=rtcp-fb:102 transport-cc
            a=rtpmap:103 rtx/90000
            a=fmtp:103 apt=102
            a=rtpmap:45 AV1/90000
            a=rtcp-fb:45 nack
            a=rtcp-fb:45 nack pli
            a=rtpmap:46 rtx/90000
            a=fmtp:46 apt=45
            a=extmap:1 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
            a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid
            a=ssrc-group:FID 2921548107 1193046471
            a=ssrc:2921548107 cname:pion
            a=ssrc:2921548107 msid:pion video
            a=ssrc:1193046471 cname:pion
            a=ssrc:1193046471 msid:pion video
            a=msid:pion video
            a=sendonly
            a=candidate:2437018963 1 udp 2130706431 192.0.2.30 41234 typ host ufrag QmTvLxYfHgRpWnZd
            a=candidate:2437018963 2 udp 2130706431 192.0.2.30 41234 typ host ufrag QmTvLxYfHgRpWnZd
            a=end-of-candidates
            m=audio 9 UDP/TLS/RTP/SAVPF 111 9 0 8
            c=IN IP4 0.0.0.0
            a=setup:actpass
            a=mid:1
            a=ice-ufrag:QmTvLxYfHgRpWnZd
            a=ice-pwd:sKdJfHgLqWeRtYuIoPzXcVbNmAsDfGhJ
            a=rtcp-mux
            a=rtcp-rsize
            a=rtpmap:111 opus/48000/2
            a=fmtp:111 minptime=10;useinbandfec=1
            a=rtcp-fb:111 transport-cc
            a=rtpmap:9 G722/8000
            a=rtpmap:0 PCMU/8000
            a=rtpmap:8 PCMA/8000
            a=extmap:1 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
            a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid
            a=ssrc:718046209 cname:pion
            a=ssrc:718046209 msid:pion audio
            a=msid:pion audio
            a=sendonly
            """), published: [102, 111], publishedSetup: .passive)

    /// ffmpeg 8: waits for the server's ClientHello, prints seven profile digits, forgets the colon of rtcp-fb,
    /// names a bundle member that is not there.
    static let ffmpeg = ClientOfferSample(
        client: "ffmpeg 8 publishing video only",
        text: crlf(
            """
            v=0
            o=FFmpeg 4489045141692799359 2 IN IP4 127.0.0.1
            s=FFmpegPublishSession
            t=0 0
            a=group:BUNDLE 0 1
            a=extmap-allow-mixed
            a=msid-semantic: WMS
            m=video 9 UDP/TLS/RTP/SAVPF 106
            c=IN IP4 0.0.0.0
            a=ice-ufrag:9d3f0c1a
            a=ice-pwd:6f3a2b9c1d8e7f605142334455667788
            a=fingerprint:sha-256 \(fingerprint)
            a=setup:passive
            a=mid:1
            a=sendonly
            a=msid:FFmpeg video
            a=rtcp-mux
            a=rtcp-rsize
            a=rtpmap:106 H264/90000
            a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=422001f
            a=rtcp-fb106 nack
            a=ssrc:2573908461 cname:FFmpeg
            a=ssrc:2573908461 msid:FFmpeg video
            """), published: [106], publishedSetup: .active)

    /// aiortc: full candidates, own port per section, three fingerprints, short extension list, no TWCC, static PTs.
    static let aiortc = ClientOfferSample(
        client: "aiortc publishing",
        text: crlf(
            """
            v=0
            o=- 3969400225 3969400225 IN IP4 0.0.0.0
            s=-
            t=0 0
            a=group:BUNDLE 0 1
            a=msid-semantic:WMS *
            m=audio 40337 UDP/TLS/RTP/SAVPF 96 9 0 8
            c=IN IP4 172.17.0.2
            a=sendonly
            a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
            a=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level
            a=mid:0
            a=msid:4e5f 6a7b
            a=rtcp:9 IN IP4 0.0.0.0
            a=rtcp-mux
            a=ssrc:2817363312 cname:8c9d
            a=rtpmap:96 opus/48000/2
            a=rtpmap:9 G722/8000
            a=rtpmap:0 PCMU/8000
            a=rtpmap:8 PCMA/8000
            a=candidate:0 1 udp 2130706431 172.17.0.2 40337 typ host
            a=candidate:1 1 udp 1694498815 203.0.113.9 40337 typ srflx raddr 172.17.0.2 rport 40337
            a=end-of-candidates
            a=ice-ufrag:HnVG
            a=ice-pwd:ZzYyXxWwVvUuTtSsRrQqPp
            a=fingerprint:sha-256 \(fingerprint)
            a=fingerprint:sha-384 \(fingerprint):\(String(fingerprint.prefix(47)))
            a=fingerprint:sha-512 \(fingerprint):\(fingerprint)
            a=setup:actpass
            m=video 53102 UDP/TLS/RTP/SAVPF 97 98 99 100 101 102
            c=IN IP4 172.17.0.2
            a=sendonly
            a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
            a=extmap:3 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
            a=mid:1
            a=msid:4e5f 9c8d
            a=rtcp:9 IN IP4 0.0.0.0
            a=rtcp-mux
            a=ssrc-group:FID 1400190283 2871920183
            a=ssrc:1400190283 cname:8c9d
            a=ssrc:2871920183 cname:8c9d
            a=rtpmap:97 VP8/90000
            a=rtcp-fb:97 nack
            a=rtpmap:98 rtx/90000
            a=fmtp:98 apt=97
            a=rtpmap:99 H264/90000
            a=rtcp-fb:99 nack
            a=rtcp-fb:99 nack pli
            a=rtcp-fb:99 goog-remb
            a=fmtp:99 packetization-mode=1;level-asymmetry-allowed=1;profile-level-id=42001f
            a=rtpmap:100 rtx/90000
            a=fmtp:100 apt=99
            a=rtpmap:101 H264/90000
            a=fmtp:101 packetization-mode=1;level-asymmetry-allowed=1;profile-level-id=42e01f
            a=rtpmap:102 rtx/90000
            a=fmtp:102 apt=101
            a=candidate:0 1 udp 2130706431 172.17.0.2 53102 typ host
            a=end-of-candidates
            a=ice-ufrag:HnVG
            a=ice-pwd:ZzYyXxWwVvUuTtSsRrQqPp
            a=fingerprint:sha-256 \(fingerprint)
            a=setup:actpass
            """), published: [96, 99], publishedSetup: .passive)

    /// GStreamer: bundle-only second section with port 0, no ssrc, feedback for all payload types, `active`.
    static let gstreamer = ClientOfferSample(
        client: "GStreamer publishing",
        text: crlf(
            """
            v=0
            o=- 6830223478104712993 0 IN IP4 0.0.0.0
            s=-
            t=0 0
            a=ice-options:trickle
            a=group:BUNDLE video0 audio1
            m=video 9 UDP/TLS/RTP/SAVPF 96 97
            c=IN IP4 0.0.0.0
            a=setup:active
            a=ice-ufrag:vGjK93bnTxqLmW2s
            a=ice-pwd:Q1w2E3r4T5y6U7i8O9p0AaSsDdFfGgHh
            a=rtcp-mux
            a=rtcp-rsize
            a=sendonly
            a=rtpmap:96 H264/90000
            a=rtcp-fb:* nack pli
            a=rtcp-fb:* ccm fir
            a=rtcp-fb:96 transport-cc
            a=rtcp-fb:96 nack
            a=fmtp:96 packetization-mode=1;profile-level-id=42c01f;sprop-parameter-sets=Z0LAH9oBQBboQA==,aM4yyA==
            a=rtpmap:97 rtx/90000
            a=fmtp:97 apt=96
            a=extmap:1 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
            a=mid:video0
            a=fingerprint:sha-256 \(fingerprint)
            m=audio 0 UDP/TLS/RTP/SAVPF 98
            c=IN IP4 0.0.0.0
            a=setup:active
            a=ice-ufrag:vGjK93bnTxqLmW2s
            a=ice-pwd:Q1w2E3r4T5y6U7i8O9p0AaSsDdFfGgHh
            a=bundle-only
            a=rtcp-mux
            a=rtcp-rsize
            a=sendonly
            a=rtpmap:98 OPUS/48000/2
            a=fmtp:98 sprop-stereo=0;useinbandfec=0
            a=mid:audio1
            a=fingerprint:sha-256 \(fingerprint)
            """), published: [96, 98], publishedSetup: .passive)

    static let publishers = [chrome, firefox, obs, ffmpeg, aiortc, gstreamer, pion]

    static let local = LocalTransport(
        ice: ICECredentials(ufrag: "edgeUfrg", password: "edgePasswordOf24Letters0"),
        fingerprint: Fingerprint(algorithm: "sha-256", bytes: (0..<32).map { UInt8($0 * 5) }),
        candidates: [
            Candidate(address: "2001:db8::5", port: 7000), Candidate(address: "192.0.2.10", port: 7000),
            Candidate(address: "198.51.100.7", port: 7001),
        ], sessionID: 42)
}

extension String {
    /// The same offer from someone who receives.
    func replacingSendonly() -> String {
        split(separator: "\r\n").map { $0 == "a=sendonly" ? "a=recvonly" : String($0) }.joined(separator: "\r\n") + "\r\n"
    }

    /// The text with the first occurrence of a line replaced; nil drops it.
    func replacingLine(_ line: String, with other: String?) -> String {
        var lines = split(separator: "\r\n").map(String.init)
        guard let index = lines.firstIndex(of: line) else { return self }
        if let other { lines[index] = other } else { lines.remove(at: index) }
        return lines.joined(separator: "\r\n") + "\r\n"
    }

    /// The text without any line that begins with `prefix`.
    func removingLines(_ prefix: String) -> String {
        split(separator: "\r\n").filter { !$0.hasPrefix(prefix) }.joined(separator: "\r\n") + "\r\n"
    }
}

/// A small generator with a fixed seed (SplitMix64), so that a failing case can be run again.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
