"""Recording to a bucket through the spool: the store goes away, crawls, refuses, and the node dies meanwhile. Nothing is lost or doubled."""

from __future__ import annotations

import collections
import json
import pathlib
import re
import subprocess
import time

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


def outage(site: Site, film: pathlib.Path, stream: str, seconds: float) -> dict:
    """Records, takes the store away for some seconds, gives it back; what viewers lost meanwhile."""
    site.node.start()
    publisher = site.publish(stream, film)
    eventually("objects arrive", lambda: len(site.proxy.puts(".m4s")) > 4, 30)
    viewer = Program("viewer", [
        BENCH, "play", "--url", f"{site.node.url}/whep/{stream}", "--duration", str(int(seconds)), "--json"], site.folder)
    site.programs.append(viewer)
    site.proxy.mode = "refuse"
    before, arrived = site.segments(stream), len(site.proxy.puts())
    viewer.start()
    time.sleep(seconds)
    assert site.segments(stream) >= before + seconds, "recording goes on while the store is away"
    assert len(site.proxy.puts()) <= arrived + 4
    status = site.status(stream)
    assert status["state"] == "recording" and status["spool"]["pending_objects"] >= seconds and status["spool"]["last_error"], status
    assert site.metric("spool_bytes") > 0 and site.metric("spool_oldest_seconds") > seconds / 2
    # One probe at a time, further and further apart; each is a few requests, because the S3 client tries again by itself.
    assert site.proxy.attempts["refuse"] <= 40 + seconds / 2, site.proxy.attempts
    attempts = site.proxy.attempts["refuse"]
    site.proxy.mode = "pass"
    eventually("the backlog is sent", lambda: site.status(stream)["spool"]["pending_objects"] < 4, 40 + seconds, every=0.2)
    viewer.process.wait(60)
    seen = json.loads(next(line for line in viewer.log.read_text().splitlines() if line.startswith("{")))
    assert seen["packets"] > 30 * seconds and seen["lost"] == 0, seen
    publisher.kill()
    call("DELETE", f"{site.node.url}/api/record/{stream}")
    read = site.check_arrived()
    assert len(read.periods) == 1
    assert all(count == 1 for count in collections.Counter(site.proxy.puts(".m4s")).values())
    return {"attempts": attempts, "seconds": read.periods[0].seconds, "viewer": seen}


def test_store_away_and_back(film, rclone_s3, sites):
    outage(sites(rclone_s3, "away"), film, "rec-away", 15)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_store_away_for_ten_minutes(film, rclone_s3, sites):
    print(outage(sites(rclone_s3, "long"), film, "rec-long", 600))


def storms(site: Site, film: pathlib.Path, modes: list[str], seconds: float, patience: float) -> None:
    """One recording through every way in which a store fails; all of it arrives."""
    site.node.start()
    publisher = site.publish("rec-storms", film)
    eventually("objects arrive", lambda: len(site.proxy.puts(".m4s")) > 4, 30)
    for mode in modes:
        before = site.segments("rec-storms")
        site.proxy.mode = mode
        time.sleep(seconds)
        eventually(f"recording goes on: {mode}", lambda: site.segments("rec-storms") >= before + seconds, 10)
        assert site.status("rec-storms")["state"] == "recording"
        assert site.proxy.attempts[mode] > 0
        site.proxy.mode = "pass"
        eventually(f"the backlog is sent: {mode}", lambda: site.status("rec-storms")["spool"]["pending_objects"] < 4, patience, every=0.2)
    publisher.kill()
    call("DELETE", f"{site.node.url}/api/record/rec-storms")
    assert len(site.check_arrived().periods) == 1


def test_store_that_fails_halfway(film, rclone_s3, sites):
    storms(sites(rclone_s3, "storms"), film, ["slowdown", "reset", "lost", "cut"], 3, 60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_store_that_refuses_or_hangs(film, rclone_s3, sites):
    storms(sites(rclone_s3, "refusals"), film, ["denied", "hang"], 20, 150)


def test_killed_while_the_store_is_away(film, rclone_s3, sites):
    site = sites(rclone_s3, "killed")
    site.node.start()
    publisher = site.publish("rec-killed", film)
    eventually("objects arrive", lambda: len(site.proxy.puts(".m4s")) > 4, 30)
    site.proxy.mode = "lost"
    time.sleep(1)
    site.proxy.mode = "refuse"
    before = site.segments("rec-killed")
    eventually("some are only here", lambda: site.segments("rec-killed") > before + 6, 30)
    site.node.kill()
    publisher.kill()
    kept = {file.name for file in site.local()}
    assert kept
    site.node.start()
    time.sleep(2)
    assert kept <= {file.name for file in site.local()}, "nothing goes before it has arrived"
    site.proxy.mode = "pass"
    read = site.check_arrived()
    assert kept <= read.objects
    rows = call("GET", f"{site.node.url}/api/recordings?limit=0&stream=rec-killed").json["sessions"]
    assert [row["status"] for row in rows] == ["Completed"]
    # It plays through the node as well, though nothing of it is there any more.
    name = sorted(read.objects)[0]
    answer = call("GET", f"{site.node.url}/api/record/object/{rows[0]['record_dir']}/{name}")
    assert answer.status == 200


def test_crawling_store_does_not_hold_up_recording(film, rclone_s3, sites):
    site = sites(rclone_s3, "slow")
    # A hundredth of what is recorded.
    site.proxy.rate = 1_064_000 / 8 / 100
    site.node.start()
    publisher = site.publish("rec-slow", film)
    eventually("recorded on", lambda: site.segments("rec-slow") >= 16, 40)
    assert site.status("rec-slow")["spool"]["pending_objects"] > 8
    publisher.kill()
    call("DELETE", f"{site.node.url}/api/record/rec-slow")
    site.proxy.rate = None
    site.check_arrived()
