"""What a recording survives: processes that die, disks that fill up or fail, a node that is stopped with much to finish, two writers."""

from __future__ import annotations

import concurrent.futures
import errno
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import time

import pytest

import stored
from programs import BINARIES, Edge, Program, eventually
from wire import call

BENCH = str(BINARIES / "edge-bench")
SEGMENT_SECONDS = 1
GOP_SECONDS = 1
# Sound waits this long for pictures, then comes the last chunk.
SETTLING_SECONDS = 2


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """2.5 Mb/s of H.264 and Opus, a key frame each second."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30,noise=alls=24:allf=t",
        "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000", "-t", "6",
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p",
        "-b:v", "2430k", "-minrate", "2430k", "-maxrate", "2430k", "-bufsize", "2430k", "-g", str(30 * GOP_SECONDS),
        "-c:a", "libopus", "-ac", "2", "-b:a", "64k", str(path)], check=True)
    assert 2.0e6 < path.stat().st_size * 8 / 6 < 3.0e6
    return path


class Publisher(Program):
    def __init__(self, name: str, url: str, film: pathlib.Path, folder: pathlib.Path, streams: int = 1):
        super().__init__(name, [BENCH, "publish", "--url", url, "--input", str(film), "--loop", "--streams", str(streams)], folder)


class Viewer(Program):
    """Watches for some seconds and counts what it misses."""

    def __init__(self, name: str, url: str, seconds: int, folder: pathlib.Path):
        super().__init__(name, [BENCH, "play", "--url", url, "--duration", str(seconds), "--json"], folder)

    def report(self) -> dict:
        self.process.wait(60)
        text = self.log.read_text()
        return json.loads(text[text.index("\n{") + 1 if "\n{" in text else text.index("{"):].splitlines()[0])


def edge(alias: str, folder: pathlib.Path, **more: str) -> Edge:
    return Edge(alias, folder, {"EDGE_RECORDER_SEGMENT_SECONDS": str(SEGMENT_SECONDS), "EDGE_WEBRTC_LOOPS": "1"} | more)


def day(storage: pathlib.Path, stream: str) -> pathlib.Path | None:
    return next((folder for folder in sorted(storage.glob(f"{stream}/*/*/*")) if folder.is_dir()), None)


def status(node: Edge, stream: str) -> dict:
    answer = call("GET", f"{node.url}/api/record/{stream}")
    return answer.json if answer.status == 200 else {}


def metric(node: Edge, name: str) -> float:
    text = call("GET", f"{node.url}/metrics").text
    return float(re.search(rf"^tributary_edge_{name} (\S+)$", text, re.MULTILINE).group(1))


def rows(node: Edge, stream: str) -> list[dict]:
    return call("GET", f"{node.url}/api/recordings?limit=0&stream={stream}").json["sessions"]


# Killed.

def die_again_and_again(number: int, rounds: int, film: pathlib.Path, folder: pathlib.Path) -> list[float]:
    """One node, killed so many times; what the recordings lacked at their ends, in seconds."""
    chance = random.Random(number)
    node = edge(f"dying-{number}", folder)
    losses, before, stream, killed_at = [], None, "", 0.0
    try:
        for turn in range(rounds + 1):
            node.start()
            if before is not None:
                losses += check_after_death(node, stream, before, killed_at, decode=turn % 5 == 0)
            if turn == rounds:
                break
            # Two lives record into the same directory.
            stream = f"rec-{number}-{turn // 2}"
            known = stored.media(day(node.storage, stream) or folder / "none")
            publisher = Publisher(f"publisher-{number}", f"{node.url}/whip/{stream}", film, folder)
            publisher.start()
            try:
                eventually("something is written", lambda: (here := day(node.storage, stream)) and any(
                    file.name not in known for file in here.iterdir() if file.name.startswith(("seg_", "audio_seg_"))), 20, every=0.02)
                time.sleep(chance.uniform(0, 4.5))
                killed_at = time.time()
                node.kill()
            finally:
                publisher.kill()
            before = stored.media(day(node.storage, stream))
    finally:
        node.kill()
    return losses


def check_after_death(node: Edge, stream: str, before: dict[str, int], killed_at: float, decode: bool) -> list[float]:
    folder = day(node.storage, stream)
    if folder is None:
        assert not [name for name in before if "seg_" in name], before
        return []
    read = stored.check_closed(folder)
    after = stored.media(folder)
    # What was finished is there as it was. An initialization without any segment may go.
    for name, size in before.items():
        assert after.get(name) == size or "init" in name, (stream, name, size, after.get(name))
    saved = [name for name in after if name not in before]
    assert len([name for name in saved if name.startswith("seg_")]) <= 1 and len([name for name in saved if name.startswith("audio_seg_")]) <= 1, saved
    stored.check_plays(folder, read, decode)
    listed = rows(node, stream)
    assert listed and all(row["status"] == "Completed" and row["end_ts"] for row in listed), listed
    assert {period.id.split("-")[0] for period in read.periods} <= {row["id"] for row in listed}
    assert all(session["status"] != "Active" for session in listed)
    newest = max(listed, key=lambda row: row["start_ts"])
    lost = killed_at - newest["end_ts"] / 1e6
    assert lost < SEGMENT_SECONDS + GOP_SECONDS + SETTLING_SECONDS, (stream, lost)
    return [lost]


def test_killed_fifty_times_nothing_finished_is_lost(film, tmp_path):
    nodes, rounds = 10, 5
    folders = [tmp_path / str(number) for number in range(nodes)]
    for folder in folders:
        folder.mkdir()
    with concurrent.futures.ThreadPoolExecutor(nodes) as pool:
        runs = [pool.submit(die_again_and_again, number, rounds, film, folders[number]) for number in range(nodes)]
        losses = [loss for run in runs for loss in run.result()]
    # Some die before anything is durable, not many.
    assert len(losses) >= nodes * rounds * 3 // 4
    print(f"\n{len(losses)} recordings of {nodes * rounds} lives; lost at the end: median {sorted(losses)[len(losses) // 2]:.2f} s, most {max(losses):.2f} s")


# Full.

class SmallDisk:
    """A file system of its own for a node: mounted by us, or where that is not allowed in a user namespace that the node runs in."""

    def __init__(self, folder: pathlib.Path, size: int):
        self.size, self.path = size, folder / "disk"
        self.path.mkdir()
        self._pid: int | None = None
        self._is_mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.path)], capture_output=True, check=False).returncode == 0
        if not self._is_mounted:
            probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
            assert probe.returncode == 0, "neither mounting nor user namespaces are allowed here, so no disk can be filled"

    def put_under(self, node: Edge) -> None:
        node.storage = self.path
        node.environment["EDGE_RECORDER_STORAGE_ROOT"] = str(self.path)
        if not self._is_mounted:
            script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
            node.arguments = ["unshare", "-rm", "sh", "-c", script, "sh", str(self.size), str(self.path), *node.arguments]

    def seen_from(self, node: Edge) -> pathlib.Path:
        if self._is_mounted:
            return self.path
        return pathlib.Path(f"/proc/{node.process.pid}/root{self.path}")

    def close(self) -> None:
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True, check=False)


@pytest.fixture
def disks(tmp_path):
    made = []

    def make(name: str, size: int) -> SmallDisk:
        (tmp_path / name).mkdir()
        made.append(SmallDisk(tmp_path / name, size))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


def test_disk_without_room_pauses_the_recording_and_nothing_else(film, tmp_path, disks):
    """One node until writing fails, another until there is less than min_free_space."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(fill_up, film, disks(name, 16 << 20), least) for name, least in (("full", 0), ("guarded", 3 << 20))]:
            run.result()


def fill_up(film: pathlib.Path, disk: SmallDisk, least_free: int) -> None:
    tmp_path = disk.path.parent
    node = edge("small", tmp_path, EDGE_RECORDER_MIN_FREE_SPACE=str(least_free))
    disk.put_under(node)
    publisher = Publisher("publisher", f"{node.url}/whip/rec-1", film, tmp_path)
    viewer = Viewer("viewer", f"{node.url}/whep/rec-1", 12, tmp_path)
    try:
        node.start()
        here = disk.seen_from(node)
        ballast = here / "ballast"
        ballast.write_bytes(bytes((16 << 20) - least_free - 1_200_000))
        publisher.start()
        eventually("recording", lambda: status(node, "rec-1").get("state") == "recording", 20)
        viewer.start()
        paused = eventually("paused", lambda: (now := status(node, "rec-1")).get("state") == "paused" and now, 20)
        assert paused["recording"] is True and "no space" in paused["error"], paused
        assert metric(node, "recordings_paused") == 1 and metric(node, "recorder_storage_errors_total") >= 1
        assert "recording stops until storage works again" in node.log.read_text()
        assert call("POST", f"{node.url}/api/record/rec-1").status == 200
        if least_free:
            assert shutil.disk_usage(here).free > least_free - 1_000_000
        folder = day(here, "rec-1")
        stored.check_plays(folder, stored.check_closed(folder))
        written = len(stored.media(folder))
        assert written > 4, "no segment was finished before the disk was full"
        assert [row["status"] for row in rows(node, "rec-1")] == ["Completed"]
        # Another recording is refused, with the status for it.
        other = Publisher("other", f"{node.url}/whip/live-1", film, tmp_path)
        other.start()
        if least_free:
            eventually("the other stream", lambda: call("GET", f"{node.url}/api/streams/live-1").status == 200, 10)
            assert call("POST", f"{node.url}/api/record/live-1").status == 507
        other.kill()

        ballast.unlink()
        eventually("recording again", lambda: status(node, "rec-1").get("state") == "recording", 20)
        eventually("segments of the second part", lambda: len(stored.media(folder)) >= written + 6, 20)
        seen = viewer.report()
        assert seen["lost"] == 0 and seen["packets"] > 2000, seen
        assert call("DELETE", f"{node.url}/api/record/rec-1").status == 200
        read = stored.check_closed(folder)
        stored.check_plays(folder, read, decode=True)
        assert len(read.periods) >= 2
    finally:
        for program in (publisher, viewer):
            program.kill()
        node.stop()


# Failing.

FAULTS = {
    "rec-write": ("write", errno.EIO), "rec-sync": ("fdatasync", errno.EIO), "rec-link": ("linkat", errno.EIO),
    "rec-readonly": ("openat", errno.EROFS), "rec-quota": ("write", errno.EDQUOT), "rec-rename": ("renameat", errno.EIO),
}


def faulty(tmp_path: pathlib.Path) -> tuple[Edge, pathlib.Path]:
    """A node on a disk that can be made to fail, and the directory of its faults."""
    library = tmp_path / "faulty_disk.so"
    source = pathlib.Path(__file__).with_name("faulty_disk.c")
    subprocess.run(["clang", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    control = tmp_path / "faults"
    control.mkdir()
    return edge("faulty", tmp_path, LD_PRELOAD=str(library), FAULTY_DISK=str(control)), control


def test_disk_that_stalls(film, tmp_path):
    """A disk that takes seconds for each flush ends no recording and holds up no viewer; it is stopped in time all the same."""
    node, control = faulty(tmp_path)
    publishers = [Publisher(f"publisher-{stream}", f"{node.url}/whip/{stream}", film, tmp_path) for stream in ("rec-slow", "rec-well")]
    viewer = Viewer("viewer", f"{node.url}/whep/rec-slow", 8, tmp_path)
    try:
        node.start()
        for publisher in publishers:
            publisher.start()
        eventually("segments", lambda: all(status(node, s).get("segments", 0) >= 2 for s in ("rec-slow", "rec-well")), 30)
        sessions = {stream: status(node, stream)["id"] for stream in ("rec-slow", "rec-well")}
        (control / "rec-slow").write_text("fdatasync -2500")
        viewer.start()
        seen = viewer.report()
        assert seen["lost"] == 0 and seen["packets"] > 1000, seen
        stalled = status(node, "rec-slow")
        assert stalled["state"] == "recording" and stalled["id"] == sessions["rec-slow"], stalled
        (control / "rec-slow").unlink()
        segments = stalled["segments"]
        eventually("segments after the stall", lambda: status(node, "rec-slow")["segments"] >= segments + 4, 30)
        assert status(node, "rec-well")["id"] == sessions["rec-well"]
        (control / "rec-slow").write_text("fdatasync -2500")
        began = time.monotonic()
        node.stop()
        assert time.monotonic() - began < 15, "a disk must not keep a node from ending"
        # What could not be closed in time is closed by the next start.
        (control / "rec-slow").unlink()
        for publisher in publishers:
            publisher.kill()
        node.start()
        assert node.stop() == 0
        for stream in ("rec-slow", "rec-well"):
            folder = day(node.storage, stream)
            read = stored.check_closed(folder)
            stored.check_plays(folder, read)
        assert len(read.periods) == 1
    finally:
        for program in (*publishers, viewer, node):
            program.kill()


def test_disk_that_fails_in_every_way(film, tmp_path):
    """Each stream's directory fails in a way of its own, for a while."""
    node, control = faulty(tmp_path)
    publishers = [Publisher(f"publisher-{stream}", f"{node.url}/whip/{stream}", film, tmp_path) for stream in (*FAULTS, "rec-well")]
    viewer = Viewer("viewer", f"{node.url}/whep/rec-write", 8, tmp_path)

    def states() -> dict[str, str]:
        return {stream: status(node, stream).get("state", "") for stream in (*FAULTS, "rec-well")}

    try:
        node.start()
        for publisher in publishers:
            publisher.start()
        eventually("all recording", lambda: set(states().values()) == {"recording"}, 30)
        eventually("some segments", lambda: all(status(node, stream)["segments"] >= 2 for stream in states()), 30)
        viewer.start()
        for stream, (name, code) in FAULTS.items():
            (control / stream).write_text(f"{name} {code}")
        eventually("all paused but the one that is well",
                   lambda: (now := states()).pop("rec-well") == "recording" and set(now.values()) == {"paused"}, 20)
        for stream, (_, code) in FAULTS.items():
            expected = "no space" if code in (errno.EROFS, errno.EDQUOT) else "storage failed"
            assert expected in status(node, stream)["error"], status(node, stream)
        for stream in FAULTS:
            (control / stream).unlink()
        eventually("all recording again", lambda: set(states().values()) == {"recording"}, 45)
        eventually("more segments", lambda: all(status(node, stream)["segments"] >= 2 for stream in states()), 30)
        seen = viewer.report()
        assert seen["lost"] == 0 and seen["packets"] > 1000, seen
        assert node.stop() == 0
        for stream in (*FAULTS, "rec-well"):
            folder = day(node.storage, stream)
            read = stored.check_closed(folder)
            stored.check_plays(folder, read)
            assert len(read.periods) == (1 if stream == "rec-well" else 2), (stream, read)
    finally:
        for program in (*publishers, viewer, node):
            program.kill()


def test_directory_that_vanishes(film, tmp_path):
    node = edge("vanishing", tmp_path)
    publisher = Publisher("publisher", f"{node.url}/whip/rec-1", film, tmp_path)
    try:
        node.start()
        publisher.start()
        eventually("segments", lambda: status(node, "rec-1").get("segments", 0) >= 2, 20)
        shutil.rmtree(node.storage / "rec-1")
        eventually("recording anew", lambda: (here := day(node.storage, "rec-1")) and len(stored.media(here)) >= 6, 30)
        assert call("DELETE", f"{node.url}/api/record/rec-1").status == 200
        folder = day(node.storage, "rec-1")
        stored.check_plays(folder, stored.check_closed(folder))
    finally:
        publisher.kill()
        assert node.stop() == 0


# Stopped.

@pytest.mark.alone
def test_fifty_recordings_are_finished_when_the_node_is_stopped(film, tmp_path):
    count = 50
    node = edge("busy", tmp_path)
    publisher = Publisher("publisher", f"{node.url}/whip/rec-{{n}}", film, tmp_path, streams=count)
    try:
        node.start()
        publisher.start()
        eventually("all are recording", lambda: metric(node, "recordings_active") == count, 40, every=0.3)
        eventually("some segments each", lambda: metric(node, "recorded_segments_total") >= 4 * count, 40, every=0.3)
        began = time.monotonic()
        assert node.stop(60) == 0
        took = time.monotonic() - began
        print(f"\n{count} recordings finished in {took:.2f} s")
        assert took < 30
        for number in range(1, count + 1):
            folder = day(node.storage, f"rec-{number}")
            read = stored.check_closed(folder)
            if number % 10 == 1:
                stored.check_plays(folder, read, decode=True)
    finally:
        publisher.kill()
        node.kill()


# Two at once.

def test_two_nodes_record_one_stream_into_one_directory(film, tmp_path):
    """Without Redis, so neither knows of the other."""
    nodes = [edge(alias, tmp_path) for alias in ("left", "right")]
    for node in nodes:
        node.storage = tmp_path / "shared"
        node.environment["EDGE_RECORDER_STORAGE_ROOT"] = str(node.storage)
    publishers = [Publisher(f"publisher-{node.alias}", f"{node.url}/whip/rec-1", film, tmp_path) for node in nodes]
    seen: dict[str, int] = {}

    def grow() -> dict[str, int]:
        now = stored.media(day(tmp_path / "shared", "rec-1") or tmp_path / "none")
        for name, inode in seen.items():
            assert now.get(name) == inode, f"{name} was written twice"
        seen.update(now)
        return now

    try:
        for node in nodes:
            node.start()
        for publisher in publishers:
            publisher.start()
        eventually("ten segments of each", lambda: grow() and all(
            status(node, "rec-1").get("segments", 0) >= 10 for node in nodes), 40, every=0.1)
        nodes[0].kill()
        grow()
        publishers[0].kill()
        nodes[0].start()
        publishers[0].start()
        eventually("both again", lambda: grow() and all(status(node, "rec-1").get("segments", 0) >= 4 for node in nodes), 40, every=0.1)
        assert [node.stop() for node in nodes] == [0, 0]
        grow()
        folder = day(tmp_path / "shared", "rec-1")
        read = stored.check_closed(folder)
        stored.check_plays(folder, read, decode=True)
        assert len({period.id.split("-")[0] for period in read.periods}) == 3
        assert os.listdir(tmp_path / "shared") == ["rec-1"]
    finally:
        for program in (*publishers, *nodes):
            program.kill()
