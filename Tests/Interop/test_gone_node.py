"""Recordings whose node never came back: a coordinator that knows nothing finds them in the bucket, plays them and deletes them."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
from urllib.parse import urljoin, urlsplit

import pytest

import inspection
import sources
from programs import BINARIES, Edge, Program, Server, eventually
from stores import Bucket
from wire import call


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    sources.film(path, 6)
    return path


class Site:
    """A node that records to a bucket, and coordinators that know only the bucket unless told more."""

    def __init__(self, bucket: Bucket, root: str, film: pathlib.Path, folder: pathlib.Path):
        self.bucket, self.root, self.film, self.folder = bucket, root, film, folder
        self.spool = folder / "spool"
        self.node = Edge("edge-gone", folder, bucket.environment("EDGE", root) | {
            "EDGE_RECORDER_SPOOL_DIR": str(self.spool), "EDGE_RECORDER_SEGMENT_SECONDS": "1", "EDGE_WEBRTC_LOOPS": "1"})
        self.programs: list[Program] = [self.node]

    def coordinator(self, name: str, **more: str) -> Server:
        """One with an index of its own, which is empty."""
        made = Server(name, "coordinator", self.folder, self.bucket.environment("COORDINATOR", self.root) | {
            "COORDINATOR_DATABASE_URL": f"sqlite:{name}.db"} | more)
        self.programs.append(made)
        made.start()
        return made

    def publish(self, stream: str) -> Program:
        publisher = Program(f"publisher-{len(self.programs)}", [
            str(BINARIES / "edge-bench"), "publish", "--url", f"{self.node.url}/whip/{stream}", "--input", str(self.film), "--loop",
            "--streams", "1"], self.folder)
        self.programs.append(publisher)
        publisher.start()
        return publisher

    def keys(self, *suffixes: str) -> set[str]:
        pages = self.bucket.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket.name, Prefix=self.root + "/")
        found = {entry["Key"].removeprefix(self.root + "/") for page in pages for entry in page.get("Contents", [])}
        return {key for key in found if key.endswith(suffixes or ("",))}

    def record_whole(self, stream: str) -> None:
        """One recording from its start to its end, all of it in the bucket."""
        publisher = self.publish(stream)
        eventually("segments", lambda: call("GET", f"{self.node.url}/api/record/{stream}").json.get("segments", 0) >= 6, 30)
        publisher.kill()
        assert call("DELETE", f"{self.node.url}/api/record/{stream}").status == 200
        eventually("all of it is sent", lambda: not list(self.spool.rglob("*.m4s")) and not list(self.spool.rglob("*.mpd")), 30, every=0.2)

    def record_and_kill(self, stream: str, segments: int) -> None:
        """A recording that its node does not live to end, of so many segments and a few more."""
        publisher = self.publish(stream)
        before = len(self.keys(".m4s"))
        eventually("segments in the bucket", lambda: len(self.keys(".m4s")) >= before + segments, 40, every=0.2)
        self.node.kill()
        publisher.kill()


def rows(coordinator: Server, stream: str) -> list[dict]:
    answer = call("GET", f"{coordinator.url}/api/playback/{stream}")
    return answer.json if answer.status == 200 else []


def statuses(coordinator: Server, stream: str) -> list[str]:
    return sorted(row["status"] for row in rows(coordinator, stream))


def named(coordinator: Server, stream: str) -> set[str]:
    """The keys of all segments on the stream's timeline."""
    url = f"{coordinator.url}/api/playback/{stream}"
    master = call("GET", f"{url}/index.m3u8").text
    lists = {line for line in master.splitlines() if line and not line.startswith("#")} | set(re.findall(r'TYPE=AUDIO.*URI="([^"]+)"', master))
    assert lists
    found = set()
    for each in lists:
        text = call("GET", urljoin(f"{url}/index.m3u8", each)).text
        assert "#EXT-X-ENDLIST" in text
        found |= {urlsplit(line).path.split("/record/object/")[-1] for line in text.splitlines() if line and not line.startswith("#")}
    return found


def delete(coordinator: Server, stream: str, row: dict) -> int:
    return call("DELETE", f"{coordinator.url}/api/playback/{stream}/{row['id']}").status


@pytest.fixture
def sites(film, tmp_path):
    made: list[Site] = []

    def make(bucket: Bucket, root: str) -> Site:
        made.append(Site(bucket, root, film, tmp_path))
        made[-1].node.start()
        return made[-1]

    yield make
    for program in [program for site in made for program in site.programs]:
        program.kill()


def check_plays(url: str) -> list[float]:
    """FFmpeg finds pictures and sound in it, and nothing wrong; the times of the pictures."""
    video, audio = inspection.packets(url, "v"), inspection.packets(url, "a")
    assert len(video) > 30 and len(audio) > 50, url
    assert inspection.decode_errors(url) == ""
    return video


def test_recordings_of_a_node_that_is_gone_for_good(rgw, sites):
    site, stream = sites(rgw, "gone"), "rec-gone"
    site.record_whole(stream)
    site.record_and_kill(stream, segments=8)
    shutil.rmtree(site.spool)
    fresh = site.coordinator("fresh")
    eventually("both recordings", lambda: statuses(fresh, stream) == ["completed", "incomplete"], 20, every=0.2)
    incomplete, complete = rows(fresh, stream)
    assert incomplete["status"] == "incomplete" and incomplete["start"] < incomplete["end"] and incomplete["duration"] >= 3
    assert {row["node_alias"] for row in (incomplete, complete)} == {"edge-gone"}

    # All that is in the bucket is played, also what came after the journal did last.
    there = {key for key in site.keys(".m4s") if "seg_" in key}
    assert named(fresh, stream) == there

    # The day's manifest as it lies in the folder: nothing grows, although the one in the bucket says so.
    manifest = f"{fresh.url}/api/record/object/{complete['mpd_path']}"
    assert 'type="static"' in call("GET", manifest).text and call("GET", manifest).text.count("<Period") == 2
    # ffprobe reads the first Period of a manifest only.
    check_plays(manifest)
    for row in (incomplete, complete):
        whole = f"{fresh.url}/api/playback/{stream}/manifest.mpd?from={row['start']}&to={row['end']}"
        check_plays(whole)
        clip = site.folder / f"{row['id']}.mp4"
        clip.write_bytes(call("GET", f"{fresh.url}/api/playback/{stream}/export.mp4?recording={row['id']}&start=0&duration={row['duration']}").body)
        shown = check_plays(str(clip))
        assert abs(shown[-1] - shown[0] - row["duration"]) < 0.5
    neighbours = site.keys(f"_{incomplete['id']}.m4s") | {key for key in site.keys(".m4s") if f"_{incomplete['id']}_" in key}
    assert neighbours
    assert delete(fresh, stream, complete) == 204
    assert site.keys(".m4s") == neighbours
    # What might still be written is refused for a moment.
    eventually("it may be deleted", lambda: delete(fresh, stream, incomplete) == 204, 30, every=1)
    assert site.keys(".m4s", ".mpd") == set() and rows(fresh, stream) == []
    assert delete(fresh, stream, incomplete) == 404
    # Nor does an index find them that has never heard of them.
    another = site.coordinator("another")
    eventually("it has looked", lambda: "store_sync_journals_total 2" in call("GET", f"{another.url}/metrics").text, 20, every=0.2)
    assert rows(another, stream) == [] and fresh.stop() == 0


def test_a_node_that_comes_back_has_each_recording_once(rclone_s3, sites):
    site, stream = sites(rclone_s3, "back"), "rec-back"
    site.record_whole(stream)
    site.record_and_kill(stream, segments=6)
    nodes = json.dumps([{"alias": "edge-gone", "url": site.node.url}])
    fresh = site.coordinator("fresh", COORDINATOR_NODES=nodes)
    eventually("from the bucket", lambda: statuses(fresh, stream) == ["completed", "incomplete"], 20, every=0.2)
    before = {row["id"] for row in rows(fresh, stream)}
    site.node.start()
    eventually("as the node tells them", lambda: statuses(fresh, stream) == ["completed", "completed"], 20, every=0.2)
    assert {row["id"] for row in rows(fresh, stream)} == before
    eventually("the rest is sent", lambda: not list(site.spool.rglob("*.m4s")), 30, every=0.2)
    check_plays(f"{fresh.url}/api/playback/{stream}/manifest.mpd")

    # Deleted while it is away, a recording does not come back with it.
    assert site.node.stop() == 0
    first = rows(fresh, stream)[-1]
    eventually("the node is lost", lambda: call("GET", f"{fresh.url}/api/nodes").json[0]["status"] == "lost", 10)
    assert delete(fresh, stream, first) == 204
    site.node.start()

    def listed() -> dict[str, str]:
        return {row["id"]: row["status"] for row in call("GET", f"{site.node.url}/api/recordings?limit=0&stream={stream}").json["sessions"]}

    eventually("the node was told", lambda: listed().get(first["id"]) == "Deleted", 20, every=0.2)
    assert [row["id"] for row in rows(fresh, stream)] == list(before - {first["id"]})
