"""What ffprobe and ffmpeg, who know nothing of us, find in a recording."""

from __future__ import annotations

import json
import pathlib
import subprocess

import av
import numpy


def packets(source: str, kind: str) -> list[float]:
    """Presentation times of all packets of the first "v" or "a" stream, sorted."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", f"{kind}:0", "-show_entries", "packet=pts_time,flags", "-of", "json", source],
        capture_output=True, text=True, timeout=60, check=True)
    return sorted(float(packet["pts_time"]) for packet in json.loads(done.stdout)["packets"] if "pts_time" in packet)


def streams(source: str) -> dict[str, dict]:
    """ffprobe's description of each stream by its type."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", source], capture_output=True, text=True, timeout=60, check=True)
    return {stream["codec_type"]: stream for stream in json.loads(done.stdout)["streams"]}


def largest_step(times: list[float]) -> float:
    return max((after - before for before, after in zip(times, times[1:])), default=0.0)


def decode_errors(source: str) -> str:
    """What ffmpeg complains about when it decodes everything; empty when nothing is wrong."""
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-i", source, "-map", "0", "-fps_mode", "passthrough", "-enc_time_base", "-1",
         "-f", "null", "-"], capture_output=True, text=True, timeout=120, check=False)
    return done.stderr.strip()


def marks(source: str, folder: pathlib.Path) -> tuple[list[float], list[float]]:
    """The times at which flashes and beeps begin in the decoded recording."""
    plain = folder / "decoded.mkv"
    subprocess.run(
        ["ffmpeg", "-nostdin", "-y", "-v", "error", "-copyts", "-i", source, "-map", "0:v:0", "-map", "0:a:0", "-vf", "scale=16:12,format=gray",
         "-fps_mode", "passthrough", "-c:v", "rawvideo", "-c:a", "pcm_s16le", "-ac", "1", "-ar", "48000", str(plain)],
        timeout=120, check=True, capture_output=True)
    light, loudness = [], []
    with av.open(str(plain)) as container:
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                light.append((frame.time, float(frame.to_ndarray().mean()) > 140))
                continue
            samples = frame.to_ndarray().reshape(-1).astype(numpy.float64)
            for start in range(0, len(samples) - 47, 48):
                level = numpy.sqrt(numpy.square(samples[start:start + 48]).mean())
                loudness.append((frame.time + start / 48_000, level > 3000))
    return onsets(light), onsets(loudness)


def onsets(levels: list[tuple[float, bool]]) -> list[float]:
    """Times at which a level rises after at least half a second without; the start of the recording is no rise."""
    result, quiet_since = [], None
    for time, is_high in levels:
        if not is_high:
            quiet_since = time if quiet_since is None else quiet_since
        elif quiet_since is not None:
            if time - quiet_since > 0.5:
                result.append(time)
            quiet_since = None
    return result


def offsets(flashes: list[float], beeps: list[float]) -> list[float]:
    """How much later than its flash each beep begins, in seconds."""
    return [min((beep - flash for beep in beeps), key=abs) for flash in flashes] if beeps else []
