"""What aiortc cannot encode by itself: H.265, and pictures out of order (B-frames), as a gateway or a camera sends them."""

from __future__ import annotations

import fractions
import re

import aiortc.codecs
import aiortc.rtcrtpsender
import av
from aiortc.codecs.base import Encoder
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpCodecParameters

PAYLOAD_MAX = 1200
CLOCK = 90_000
_FEEDBACK = [RTCRtcpFeedback(type="nack"), RTCRtcpFeedback(type="nack", parameter="pli")]
H265 = RTCRtpCodecParameters(mimeType="video/H265", clockRate=CLOCK, payloadType=118, rtcpFeedback=_FEEDBACK, parameters={})


class ReorderingEncoder(Encoder):
    """x264 or x265 with `b_frames` between two others; a picture is sent when it is encoded, with the time at which it is shown."""

    def __init__(self, is_h265: bool, b_frames: int):
        self._is_h265, self._b_frames, self._codec = is_h265, b_frames, None

    def encode(self, frame: av.VideoFrame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        if self._codec is None:
            self._codec = self._open(frame.width, frame.height)
        timestamp = round(frame.pts * frame.time_base * CLOCK)
        copy = frame.reformat(format="yuv420p")
        copy.pts, copy.time_base = timestamp, fractions.Fraction(1, CLOCK)
        copy.pict_type = av.video.frame.PictureType.I if force_keyframe else av.video.frame.PictureType.NONE
        packets = self._codec.encode(copy)
        payloads = [payload for packet in packets[:1] for payload in self.packetize(bytes(packet))]
        assert len(packets) <= 1, "one picture in, at most one out"
        return payloads, packets[0].pts if packets else timestamp

    def pack(self, packet):
        raise NotImplementedError("pictures come raw")

    def _open(self, width: int, height: int) -> av.CodecContext:
        codec = av.CodecContext.create("libx265" if self._is_h265 else "libx264", "w")
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.framerate, codec.time_base = fractions.Fraction(30, 1), fractions.Fraction(1, CLOCK)
        own = f"keyint=30:min-keyint=30:scenecut=0:repeat-headers=1:b-adapt=0:bframes={self._b_frames}:rc-lookahead=5:bitrate=400:"
        own += "pools=none:frame-threads=1:open-gop=0:log-level=none" if self._is_h265 else "threads=1"
        codec.options = {"preset": "ultrafast", "x265-params" if self._is_h265 else "x264-params": own, "forced-idr": "1"}
        return codec

    def packetize(self, annex_b: bytes) -> list[bytes]:
        """RFC 6184 or RFC 7798: single units and fragments."""
        header = 2 if self._is_h265 else 1
        payloads = []
        for unit in (part.rstrip(b"\0") for part in re.split(b"\0\0\1", annex_b)):
            if not unit:
                continue
            if len(unit) <= PAYLOAD_MAX:
                payloads.append(unit)
                continue
            parts = [unit[at:at + PAYLOAD_MAX] for at in range(header, len(unit), PAYLOAD_MAX)]
            for index, part in enumerate(parts):
                edge = (0x80 if index == 0 else 0) | (0x40 if index == len(parts) - 1 else 0)
                if self._is_h265:
                    payloads.append(bytes([unit[0] & 0x81 | 49 << 1, unit[1], edge | unit[0] >> 1 & 0x3F]) + part)
                else:
                    payloads.append(bytes([unit[0] & 0xE0 | 28, edge | unit[0] & 0x1F]) + part)
        return payloads


def install(patch, b_frames: int) -> None:
    """Until the test ends aiortc offers H.265 as well, and encodes H.264 and H.265 with B-frames."""
    patch.setitem(aiortc.codecs.CODECS, "video", [*aiortc.codecs.CODECS["video"], H265])
    own = aiortc.rtcrtpsender.get_encoder

    def encoder(codec: RTCRtpCodecParameters) -> Encoder:
        name = codec.name.upper()
        return ReorderingEncoder(name == "H265", b_frames) if name in ("H264", "H265") else own(codec)

    patch.setattr(aiortc.rtcrtpsender, "get_encoder", encoder)
