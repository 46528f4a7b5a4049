"""What aiortc cannot encode by itself: H.265, pictures out of order (B-frames), AAC and surround sound, as a gateway or a camera sends them."""

from __future__ import annotations

import fractions
import re

import aiortc.codecs
import aiortc.rtcrtpsender
import av
from aiortc.codecs.base import Encoder
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpCodecParameters

import sources

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


def _rtpmap(codec: RTCRtpCodecParameters) -> str:
    """aiortc itself writes no number of channels but 2."""
    return f"{codec.name}/{codec.clockRate}" + (f"/{codec.channels}" if (codec.channels or 1) > 1 else "")


AAC = RTCRtpCodecParameters(mimeType="audio/MPEG4-GENERIC", clockRate=sources.RATE, channels=2, payloadType=119, parameters={
    "streamtype": "5", "profile-level-id": "1", "mode": "AAC-hbr", "config": "1190", "sizelength": "13", "indexlength": "3", "indexdeltalength": "3"})
SURROUND = RTCRtpCodecParameters(mimeType="audio/multiopus", clockRate=sources.RATE, channels=6, payloadType=120, parameters={
    "channel_mapping": "0,4,1,2,3,5", "num_streams": "4", "coupled_streams": "2", "minptime": "10", "useinbandfec": "1"})


class SoundEncoder(Encoder):
    """AAC (RFC 3640), or Opus of four streams for 5.1 loudspeakers."""

    def __init__(self, is_aac: bool):
        self._is_aac = is_aac
        layout = "stereo" if is_aac else "5.1"
        self._codec = av.CodecContext.create("aac" if is_aac else "libopus", "w")
        self._codec.bit_rate, self._codec.sample_rate, self._codec.layout = 128_000, sources.RATE, layout
        self._codec.format = "fltp" if is_aac else "s16"
        self._codec.time_base = fractions.Fraction(1, sources.RATE)
        self._codec.options = {} if is_aac else {"mapping_family": "1"}
        self._resampler = av.AudioResampler(
            format=self._codec.format, layout=layout, rate=sources.RATE, frame_size=1024 if is_aac else sources.SAMPLES)
        self._origin: int | None = None

    def encode(self, frame: av.AudioFrame, force_keyframe: bool = False) -> tuple[list[bytes], int | None]:
        packets = [packet for part in self._resampler.resample(frame) for packet in self._codec.encode(part)]
        if not packets:
            return [], None
        if self._origin is None:
            self._origin = packets[0].pts
        units = [bytes(packet) for packet in packets]
        return [self._gathered(units)] if self._is_aac else units, packets[0].pts - self._origin

    def pack(self, packet):
        raise NotImplementedError("sound comes raw")

    @staticmethod
    def _gathered(units: list[bytes]) -> bytes:
        """One payload with a header of 13 + 3 bits for each access unit (RFC 3640 3.3.6)."""
        headers = b"".join((len(unit) << 3).to_bytes(2) for unit in units)
        return (16 * len(units)).to_bytes(2) + headers + b"".join(units)


def install_sound(patch) -> None:
    """Until the test ends aiortc can publish AAC and 5.1 as well."""
    patch.setattr(RTCRtpCodecParameters, "__str__", _rtpmap)
    patch.setitem(aiortc.codecs.CODECS, "audio", [*aiortc.codecs.CODECS["audio"], AAC, SURROUND])
    own = aiortc.rtcrtpsender.get_encoder
    patch.setattr(aiortc.rtcrtpsender, "get_encoder", lambda codec: (
        SoundEncoder(codec.mimeType == AAC.mimeType) if codec.mimeType in (AAC.mimeType, SURROUND.mimeType) else own(codec)))
