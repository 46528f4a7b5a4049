"""FFmpeg 8's WHIP muxer as a publisher, through PyAV, whose wheels bring that FFmpeg."""

from __future__ import annotations

import fractions
import threading
import time

import av

import sources


class WHIPMuxer(threading.Thread):
    """`av.open(url, "w", format="whip")` fed at the pace of its own clock."""

    def __init__(self, url: str, seconds: float, picture=sources.picture, size=sources.SIZE, bit_rate: int = 600_000, key_seconds: int = 1,
                 profile: str = "baseline"):
        super().__init__(daemon=True)
        self.url, self.seconds = url, seconds
        self._picture, self._size, self._bit_rate, self._key_seconds = picture, size, bit_rate, key_seconds
        self._profile = profile
        self.error: Exception | None = None
        self.leave = threading.Event()

    def run(self) -> None:
        try:
            self._publish()
        except Exception as error:  # Handed to the test, which raises it in its own thread.
            self.error = error

    def _publish(self) -> None:
        with av.open(self.url, "w", format="whip") as output:
            video = output.add_stream("libx264", rate=sources.FPS, options={
                "preset": "ultrafast", "tune": "zerolatency", "profile": self._profile, "g": str(self._key_seconds * sources.FPS), "bf": "0",
                # What makes a stream High, and what this preset leaves out.
                "x264-params": "8x8dct=1:cabac=1" if self._profile == "high" else ""})
            video.width, video.height = self._size
            video.pix_fmt = "yuv420p"
            video.bit_rate = self._bit_rate
            video.codec_context.time_base = fractions.Fraction(1, sources.FPS)
            audio = output.add_stream("libopus", rate=sources.RATE, layout="stereo")
            audio.bit_rate = 64_000
            output.start_encoding()
            started, pictures, sounds = time.monotonic(), 0, 0
            while not self.leave.is_set():
                now = time.monotonic() - started
                if now > self.seconds:
                    break
                while pictures / sources.FPS <= now:
                    output.mux(video.encode(self._picture(pictures)))
                    pictures += 1
                while sounds * sources.SAMPLES / sources.RATE <= now:
                    output.mux(audio.encode(sources.sound(sounds)))
                    sounds += 1
                time.sleep(0.005)

    def finish(self) -> None:
        self.leave.set()
        self.join(20)
        assert not self.is_alive(), "the muxer did not end"
        if self.error:
            raise self.error
