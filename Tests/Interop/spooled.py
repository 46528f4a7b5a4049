"""Recording to a bucket through the spool: a node, the proxy between it and the store, and what must have arrived at the end."""

from __future__ import annotations

import collections
import pathlib
import re
import subprocess

import pytest

import stored
from faults import FaultProxy
from programs import BINARIES, Edge, Program, eventually
from stores import Bucket
from wire import call

BENCH = str(BINARIES / "edge-bench")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """H.264 and Opus, 1 Mb/s, a key frame each second."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30,noise=alls=24:allf=t",
        "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000", "-t", "6", "-c:v", "libx264", "-preset", "ultrafast",
        "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-b:v", "1000k", "-maxrate", "1000k",
        "-bufsize", "1000k", "-g", "30", "-c:a", "libopus", "-ac", "2", "-b:a", "64k", str(path)], check=True)
    return path


class Site:
    """A node that records to a bucket through a proxy that can fail."""

    def __init__(self, bucket: Bucket, root: str, folder: pathlib.Path, **more: str):
        self.bucket, self.root, self.folder = bucket, root, folder
        self.proxy = FaultProxy(bucket.endpoint)
        self.spool = folder / "spool"
        settings = bucket.environment("EDGE", root) | {
            "EDGE_RECORDER_STORAGE_ENDPOINT": self.proxy.endpoint, "EDGE_RECORDER_SPOOL_DIR": str(self.spool),
            "EDGE_RECORDER_SEGMENT_SECONDS": "1", "EDGE_WEBRTC_LOOPS": "1"}
        self.node = Edge("spooling", folder, settings | more)
        self.programs: list[Program] = []

    def publish(self, stream: str, film: pathlib.Path) -> Program:
        publisher = Program(f"publisher-{len(self.programs)}", [
            BENCH, "publish", "--url", f"{self.node.url}/whip/{stream}", "--input", str(film), "--loop", "--streams", "1"], self.folder)
        self.programs.append(publisher)
        publisher.start()
        return publisher

    def status(self, stream: str) -> dict:
        answer = call("GET", f"{self.node.url}/api/record/{stream}")
        return answer.json if answer.status == 200 else {}

    def segments(self, stream: str) -> int:
        return self.status(stream).get("segments", 0)

    def metric(self, name: str) -> float:
        text = call("GET", f"{self.node.url}/metrics").text
        return float(re.search(rf"^tributary_edge_{name} (\S+)$", text, re.MULTILINE).group(1))

    def local(self, suffix: str = ".m4s") -> list[pathlib.Path]:
        return [file for file in self.spool.rglob(f"*{suffix}")]

    def fetch(self) -> pathlib.Path:
        """The bucket's day directory of the only stream, as files, read by boto3."""
        client, folder = self.bucket.client(), self.folder / "fetched"
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket.name, Prefix=self.root + "/")
        days = set()
        for entry in [entry for page in pages for entry in page.get("Contents", [])]:
            path = folder / entry["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.get_object(Bucket=self.bucket.name, Key=entry["Key"])["Body"].read())
            days.add(path.parent)
        assert len(days) == 1, days
        return days.pop()

    def check_arrived(self) -> stored.Manifest:
        """All of it, once, in order, and it plays."""
        eventually("the spool is empty", lambda: not self.local() and self.metric("spool_objects") == 0, 60, every=0.2)
        eventually("no manifest waits", lambda: not self.local(".mpd"), 30, every=0.2)
        folder = self.fetch()
        read = stored.check_closed(folder)
        stored.check_plays(folder, read)
        written = collections.Counter(self.proxy.puts(".m4s"))
        assert {path.rsplit("/", 1)[-1] for path in written} == set(stored.media(folder))
        for prefix in ("seg", "audio_seg"):
            order = [name for path in self.proxy.puts(".m4s") if re.match(rf"{prefix}_\w*?\d+\.m4s$", name := path.rsplit("/", 1)[-1])]
            # A repetition is the same object again, at once.
            unique = list(dict.fromkeys(order))
            by_session = collections.defaultdict(list)
            for name in unique:
                by_session[name.rsplit("_", 1)[0]].append(name)
            assert all(names == sorted(names) for names in by_session.values()), order
        plays = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(folder / "manifest.mpd")],
            capture_output=True, text=True, check=False)
        assert plays.returncode == 0 and float(plays.stdout) > 0, plays.stderr
        return read

    def close(self) -> None:
        for program in (*self.programs, self.node):
            program.kill()
        self.proxy.close()


@pytest.fixture
def sites(tmp_path):
    made = []

    def make(bucket: Bucket, root: str, **more: str) -> Site:
        made.append(Site(bucket, root, tmp_path, **more))
        return made[-1]

    yield make
    for site in made:
        site.close()
