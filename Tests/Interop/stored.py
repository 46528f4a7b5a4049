"""What lies in a recording's directory, and whether its manifest says exactly that."""

from __future__ import annotations

import dataclasses
import io
import pathlib
import re
import xml.etree.ElementTree as xml

import av

MPD = "{urn:mpeg:dash:schema:mpd:2011}"


@dataclasses.dataclass
class Track:
    kind: str
    initialization: str
    timescale: int
    segments: list[tuple[str, int, int]]

    @property
    def seconds(self) -> float:
        return (self.segments[-1][1] + self.segments[-1][2]) / self.timescale if self.segments else 0

    def bytes(self, folder: pathlib.Path) -> bytes:
        return b"".join((folder / name).read_bytes() for name in (self.initialization, *(name for name, _, _ in self.segments)))


@dataclasses.dataclass
class Period:
    id: str
    seconds: float
    tracks: list[Track]


@dataclasses.dataclass
class Manifest:
    kind: str
    periods: list[Period]

    @property
    def objects(self) -> set[str]:
        tracks = [track for period in self.periods for track in period.tracks]
        return {track.initialization for track in tracks} | {name for track in tracks for name, _, _ in track.segments}


def seconds(text: str | None) -> float:
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", text or "PT0S")
    assert found, text
    hours, minutes, rest = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


def manifest(path: pathlib.Path) -> Manifest:
    """The manifest with every segment it names."""
    root = xml.fromstring(path.read_bytes())
    periods = []
    for period in root.iter(f"{MPD}Period"):
        tracks = []
        for adaptation in period.iter(f"{MPD}AdaptationSet"):
            template = next(adaptation.iter(f"{MPD}SegmentTemplate"))
            number, time, segments = int(template.get("startNumber", "1")), 0, []
            for entry in template.iter(f"{MPD}S"):
                time = int(entry.get("t", time))
                for _ in range(int(entry.get("r", "0")) + 1):
                    segments.append((template.get("media").replace("$Number%04d$", f"{number:04d}"), time, int(entry.get("d"))))
                    number, time = number + 1, time + int(entry.get("d"))
            kind = adaptation.get("contentType") or adaptation.get("mimeType").split("/")[0]
            tracks.append(Track(kind, template.get("initialization"), int(template.get("timescale", "1")), segments))
        periods.append(Period(period.get("id"), seconds(period.get("duration")), tracks))
    return Manifest(root.get("type", "static"), periods)


def media(folder: pathlib.Path) -> dict[str, int]:
    """Every object under its final name, with its size."""
    return {file.name: file.stat().st_size for file in folder.iterdir() if file.suffix in (".m4s", ".webm")} if folder.exists() else {}


def check_closed(folder: pathlib.Path) -> Manifest:
    """A directory at rest: static, nothing unfinished, and manifest and files name the same objects, none of them empty."""
    read = manifest(folder / "manifest.mpd")
    assert read.kind == "static", folder
    files = media(folder)
    assert read.objects == set(files), (folder, read.objects ^ set(files))
    assert all(files.values()), (folder, files)
    assert not [file.name for file in folder.rglob("*.tmp")], folder
    return read


def check_plays(folder: pathlib.Path, read: Manifest, decode: bool = False) -> None:
    """FFmpeg's demuxer finds every track whole: times without a hole from 0 to the end that the manifest says; decoded on request."""
    for period in read.periods:
        for track in period.tracks:
            form = track.initialization.rsplit(".", 1)[1].replace("m4s", "mp4")
            with av.open(io.BytesIO(track.bytes(folder)), format=form) as container:
                packets = [packet for packet in container.demux() if packet.size]
                # In WebM only the last block of a Cluster says how long it lasts, and FFmpeg's VP9 parser puts guesses in its place.
                is_exact = form == "mp4" and container.streams[0].codec_context.name != "vp9"
                base = packets[0].time_base
                assert packets[0].dts == 0, (folder, period.id, track.kind, packets[0].dts)
                for before, after in zip(packets, packets[1:]):
                    is_next = before.dts + before.duration == after.dts if is_exact else before.dts < after.dts
                    assert is_next, (folder, period.id, track.kind, before, after)
                end = float((packets[-1].dts + packets[-1].duration) * base)
                assert abs(end - track.seconds) < (0.002 if is_exact else 0.5), (folder, period.id, track.kind, end, track.seconds)
            if decode:
                with av.open(io.BytesIO(track.bytes(folder)), format=form) as container:
                    frames = sum(1 for _ in container.decode())
                # Opus has no sample for its look-ahead; a picture is lost to nobody.
                assert frames == len(packets), (folder, period.id, track.kind, frames, len(packets))
        longest = max(track.seconds for track in period.tracks)
        assert abs(period.seconds - longest) < 0.01, (folder, period)
