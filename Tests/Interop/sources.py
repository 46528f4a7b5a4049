"""Sound and pictures with a mark: each second begins with a white flash of 100 ms and a beep of 100 ms."""

from __future__ import annotations

import fractions
import pathlib
import subprocess

import av
import numpy

FPS = 30
RATE = 48_000
SIZE = (320, 240)
SAMPLES = 960  # 20 ms
MARK_SECONDS = 0.1


def moving(width: int, height: int) -> numpy.ndarray:
    """The pattern that pictures of this size show, shifted."""
    return numpy.arange(width * height, dtype=numpy.uint32).reshape(height, width)


_MOVING = moving(*SIZE)


def picture(index: int) -> av.VideoFrame:
    """Frame `index`: white during the mark, else a dark pattern that moves, so that an encoder has something to do."""
    is_mark = (index % FPS) < FPS * MARK_SECONDS
    # Read once: a test may put another pattern in its place, from another thread, at any time.
    pattern = _MOVING
    height, width = pattern.shape
    grey = numpy.full((height, width), 235, numpy.uint8) if is_mark else ((pattern + index * 7) % 48 + 16).astype(numpy.uint8)
    planes = numpy.concatenate([grey, numpy.full((height // 2, width), 128, numpy.uint8)])
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.pts, frame.time_base = index, fractions.Fraction(1, FPS)
    return frame


NOISE_SIZE = (640, 360)
_NOISE = [numpy.random.default_rng(seed).integers(16, 235, (NOISE_SIZE[1] * 3 // 2, NOISE_SIZE[0]), dtype=numpy.uint8) for seed in range(8)]


def noise(index: int) -> av.VideoFrame:
    """A picture that no encoder can make small."""
    frame = av.VideoFrame.from_ndarray(_NOISE[index % len(_NOISE)], format="yuv420p")
    frame.pts, frame.time_base = index, fractions.Fraction(1, FPS)
    return frame


def sound(index: int) -> av.AudioFrame:
    """20 ms of stereo: 1 kHz during the mark, else nearly silent (not digital silence, so that DTX never sets in)."""
    at = numpy.arange(index * SAMPLES, (index + 1) * SAMPLES)
    loud = (at % RATE) < RATE * MARK_SECONDS
    wave = numpy.sin(2 * numpy.pi * 1000 * at / RATE) * numpy.where(loud, 16_000, 40)
    frame = av.AudioFrame.from_ndarray(numpy.repeat(wave.astype(numpy.int16), 2).reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE, index * SAMPLES, fractions.Fraction(1, RATE)
    return frame


def marked_film(path: pathlib.Path, seconds: int) -> None:
    """The flashes and beeps as a file of H.264 and Opus, a key frame each second."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=FPS, options={
            "preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": str(FPS), "bf": "0"})
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = fractions.Fraction(1, FPS)
        audio = output.add_stream("libopus", rate=RATE, layout="stereo")
        # In the order of time, as a live encoder would: five sounds go with three pictures.
        for index in range(seconds * FPS):
            output.mux(video.encode(picture(index)))
            for number in range(index * 5 // 3, (index + 1) * 5 // 3):
                output.mux(audio.encode(sound(number)))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


def film(path: pathlib.Path, seconds: int) -> None:
    """A small file of H.264 and Opus as a browser would encode them, a key frame each second: what edge-bench publishes."""
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30",
        "-f", "lavfi", "-i", f"sine=frequency=330:sample_rate={RATE}", "-t", str(seconds),
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-b:v", "800k", "-g", str(FPS),
        "-c:a", "libopus", "-ac", "2", "-b:a", "64k", str(path)], check=True)
