"""Recording to a bucket through the spool: the store goes away, crawls, refuses, and the node dies meanwhile. Nothing is lost or doubled."""

from __future__ import annotations

import collections
import json
import pathlib
import threading
import time

import pytest

from programs import Program, eventually
from spooled import BENCH, Site
from wire import call


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
    eventually("recording goes on while the store is away", lambda: site.segments(stream) >= before + seconds, 10)
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


def test_stopped_while_the_store_hangs(film, rclone_s3, sites):
    """Uploads, and whoever reads through the node, wait for the store; the end does not, and the next start sends what is left."""
    site = sites(rclone_s3, "stopped")
    site.node.start()
    publisher = site.publish("rec-stopped", film)
    eventually("objects arrive", lambda: len(site.proxy.puts(".m4s")) > 4, 30)
    site.proxy.mode = "hang"
    before = site.segments("rec-stopped")
    eventually("some are only here", lambda: site.segments("rec-stopped") > before + 4, 30)
    arrived = site.proxy.puts(".m4s")[0].removeprefix(f"{site.root}/")
    assert not (site.spool / arrived).exists()
    asked = site.proxy.attempts["hang"]
    reader = threading.Thread(target=lambda: call(
        "GET", f"{site.node.url}/api/record/object/{arrived}", seconds=60, is_refusal_fine=True))
    reader.start()
    eventually("the reader waits for the store", lambda: site.proxy.attempts["hang"] > asked)
    began = time.monotonic()
    assert site.node.stop() == 0, site.node.tail()
    assert time.monotonic() - began < 10
    publisher.kill()
    reader.join(10)
    assert not reader.is_alive()
    kept = {file.name for file in site.local()}
    assert kept, "nothing goes before it has arrived"
    site.proxy.mode = "pass"
    site.node.start()
    read = site.check_arrived()
    assert kept <= read.objects and len(read.periods) == 1


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
