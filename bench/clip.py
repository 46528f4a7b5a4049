"""How soon an hour-long clip begins to come, and how fast the rest does.

Records some seconds of 2.5 Mb/s H.264 and Opus with a real edge node, repeats them in the recording's files until there is more than an
hour, as if the publisher had stayed, and asks another node on those files, and a coordinator before it, for an hour of it. Prints one
table row for each figure; `--update` puts them into RESULTS.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.request

from record import BINARIES, ROOT, film, processor, update
from serve import Process, free_port

SECONDS = 3_600


def shifted(segment: bytes, ticks: int) -> bytes:
    """A segment that many ticks later: every tfdt (ISO/IEC 14496-12 8.8.12) and sidx (8.16.3)."""
    out = bytearray(segment)

    def walk(start: int, end: int) -> None:
        while start + 8 <= end:
            size, kind = struct.unpack_from(">I4s", out, start)
            if kind in (b"moof", b"traf"):
                walk(start + 8, start + size)
            elif kind in (b"tfdt", b"sidx"):
                version, at = out[start + 8], start + (12 if kind == b"tfdt" else 20)
                form = ">Q" if version == 1 else ">I"
                struct.pack_into(form, out, at, struct.unpack_from(form, out, at)[0] + ticks)
            start += max(8, size)

    walk(0, len(out))
    return bytes(out)


def edge(folder: pathlib.Path, storage: pathlib.Path, auto: str) -> Process:
    port = free_port()
    return Process([str(BINARIES / "edge-node")], folder, {
        "PORT": str(port), "LOG_LEVEL": "warn", "EDGE_NODE_ALIAS": "edge-a", "EDGE_NODE_URL": f"http://127.0.0.1:{port}",
        "EDGE_RECORDER_STORAGE_ROOT": str(storage), "EDGE_RECORDER_MIN_FREE_SPACE": "0", "EDGE_RECORDER_AUTO_STREAMS": auto}, port, "/healthz")


def record(folder: pathlib.Path, storage: pathlib.Path) -> pathlib.Path:
    """The journal of a recording of some twenty seconds."""
    source = folder / "film.mkv"
    film(source, 24)
    node = edge(folder, storage, '["*"]')
    publisher = subprocess.Popen(
        [str(BINARIES / "edge-bench"), "publish", "--url", f"http://127.0.0.1:{node.port}/whip/demo", "--input", str(source), "--loop"],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(26)
    node.stop()
    publisher.terminate()
    publisher.wait(30)
    return next(storage.rglob("session_*.jsonl"))


def repeat(journal: pathlib.Path) -> None:
    """Adds the recording's full segments behind themselves until there is more than an hour."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    tracks = {line["prefix"]: line for line in lines if line["event"] == "track"}
    kinds = {line["kind"]: prefix for prefix, line in tracks.items()}
    segments: dict[str, list[dict]] = {kind: [line for line in lines if line["event"] == "segment" and line["kind"] == kind][:5] for kind in kinds}
    root = journal.parent
    kept = [line for line in lines if line["event"] in ("session", "period", "track")]
    at = max(line["at"] for line in lines)
    added: list[tuple[float, dict]] = []
    for kind, own in segments.items():
        timescale = tracks[kinds[kind]]["timescale"]
        ticks = own[-1]["t"] + own[-1]["d"] - own[0]["t"]
        # Both tracks are repeated after the same time, so that they stay beside each other.
        video = segments["video"]
        ticks = round((video[-1]["t"] + video[-1]["d"] - video[0]["t"]) * timescale / tracks[kinds["video"]]["timescale"]) if kind != "video" else ticks
        content = [(root / f"{kinds[kind]}{line['n']:04d}.m4s").read_bytes() for line in own]
        starts = [line["t"] for line in own]
        lengths = [*(b - a for a, b in zip(starts, starts[1:])), ticks - (starts[-1] - starts[0])]
        count = int((SECONDS + 120) * timescale / ticks)
        for turn in range(count):
            for line, data, start, length in zip(own, content, starts, lengths):
                number = own[0]["n"] + turn * len(own) + line["n"] - own[0]["n"]
                (root / f"{kinds[kind]}{number:04d}.m4s").write_bytes(shifted(data, turn * ticks))
                added.append(((start + turn * ticks) / timescale, line | {"n": number, "t": start + turn * ticks, "d": length}))
    for _, line in sorted(added, key=lambda pair: pair[0]):
        at += 1
        kept.append(line | {"at": at})
    kept += [line | {"at": at + 1 + number} for number, line in enumerate(line for line in lines if line["event"] in ("period_end", "end"))]
    journal.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in kept))


def ask(server: Process, cut: str) -> tuple[float, float, int]:
    """Seconds to the first byte of the body, seconds in all, bytes."""
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/playback/demo/export.mp4?start=7&duration={SECONDS}&cut={cut}", timeout=120) as answer:
        assert answer.read(1)
        first, size = time.monotonic() - began, 1
        while piece := answer.read(1 << 20):
            size += len(piece)
    return first, time.monotonic() - began, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write RESULTS.md")
    options = parser.parse_args()
    started: list[Process] = []
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as temporary:
        folder = pathlib.Path(temporary)
        storage = folder / "storage"
        journal = record(folder, storage)
        repeat(journal)
        try:
            node = edge(folder, storage, "[]")
            started.append(node)
            port = free_port()
            coordinator = Process([str(BINARIES / "coordinator")], folder, {
                "PORT": str(port), "LOG_LEVEL": "warn", "COORDINATOR_DATABASE_URL": "sqlite:coordinator.db",
                "COORDINATOR_NODES": json.dumps([{"alias": "edge-a", "url": f"http://127.0.0.1:{node.port}"}])}, port, "/healthz")
            started.append(coordinator)
            time.sleep(5)
            rows = []
            for name, server in [("edge", node), ("coordinator, from the edge", coordinator)]:
                for cut in ("keyframe", "exact"):
                    runs = [ask(server, cut) for _ in range(3)]
                    first, whole, size = (statistics.median(values) for values in zip(*runs))
                    rows.append((f"{name}, `cut={cut}`", f"{first * 1e3:.0f} ms", "< 1,000 ms", f"{whole:.1f} s for {size / 1e6:,.0f} MB"))
                    print(rows[-1], flush=True)
        finally:
            for process in reversed(started):
                process.stop()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    text = "\n".join([
        "## An hour as one file", "",
        f"`make bench-clip` on {datetime.date.today()}, commit {commit}, {processor()}, Linux {os.uname().release}: an hour of 2.5 Mb/s H.264 and Opus "
        f"in 4 s segments on local files, medians of 3 (load of the machine at the end: {os.getloadavg()[0]:.1f}).", "",
        "| what | first byte | target | all of it |", "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""])
    print(text)
    if options.update:
        update(text)


if __name__ == "__main__":
    main()
