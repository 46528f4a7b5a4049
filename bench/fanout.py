#!/usr/bin/env python3
"""One publisher, many viewers: what each packet costs the server, beside the cheapest possible sender of the same packets.

Server and load run in two network namespaces, joined by a veth pair. The floor (`bench/Floor`) and the server serve the same viewers
(`edge-bench play`: full ICE, DTLS and SRTP, everything decrypted) in turn, in the same run. Delays are from the publisher's stamp in every
seventh picture to the kernel's time of arrival at the viewer's socket. Prints tables; `--update` writes RESULTS.md. Needs root.

BENCH_WHIP=URL BENCH_WHEP=URL BENCH_PID=N measure another server that is running already: the same load goes there, from here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from pair import LOAD, SERVER, Pair, cpu_ns, overflows, rss_kb, softirq_ns, until
from record import BINARIES


def film(path: pathlib.Path, seconds: int = 10) -> None:
    """2.5 Mb/s 720p30 H.264 and Opus; one slice for a picture and a key frame every two seconds, as encoders of live streams do."""
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30,noise=alls=8:allf=t",
        "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000", "-t", str(seconds), "-threads", "1",
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p",
        "-b:v", "2430k", "-minrate", "2430k", "-maxrate", "2430k", "-bufsize", "1215k", "-g", "60",
        "-c:a", "libopus", "-ac", "2", "-b:a", "64k", str(path)], check=True)


@dataclasses.dataclass
class Figures:
    """Of one server with one load."""

    packets: int
    cpu_us: float
    rss_kb: float
    lost: int
    unread: int
    delay: dict[str, float] | None
    join: dict[str, float]
    seconds: float

    @property
    def per_packet(self) -> float:
        return self.cpu_us / max(self.packets, 1)


class Lab:
    """Both sides, the film, and the programs that run."""

    def __init__(self, pair: Pair, folder: pathlib.Path, options):
        self.pair, self.folder, self.options = pair, folder, options
        self.film = folder / "film.mkv"
        film(self.film)
        cores = sorted(os.sched_getaffinity(0))
        self.cores = {cores[0]}
        self.others = set(cores[1:]) or self.cores

    def floor(self, profile: str) -> "Server":
        process = self.pair.start(
            self.pair.server, self.cores, BINARIES / "floor", "--input", self.film, "--listen", f"{SERVER}:7900", "--address", SERVER,
            "--profile", profile, stderr=(self.folder / "floor.log").open("wb"))
        return self._ready(Server(self, process, f"http://{SERVER}:7900", process.pid))

    def edge(self, loops: int = 1, cores: set[int] | None = None, **more: str) -> "Server":
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("EDGE_")}
        settings = {"EDGE_HTTP_LISTEN": f"{SERVER}:7777", "EDGE_AUTH_OPEN": "true", "EDGE_WEBRTC_LOOPS": str(loops), "LOG_LEVEL": "warn"} | more
        process = self.pair.start(
            self.pair.server, cores or self.cores, BINARIES / "edge-node", cwd=self.folder, env=inherited | settings,
            stderr=(self.folder / "edge.log").open("wb"))
        return self._ready(Server(self, process, f"http://{SERVER}:7777", process.pid))

    def _ready(self, server: "Server") -> "Server":
        until(f"{server.url} answers", lambda: self.pair.get(f"{server.url}/healthz") is not None)
        return server

    def bench(self, *words: object, **more) -> subprocess.Popen:
        return self.pair.start(self.pair.load, self.others, BINARIES / "edge-bench", *words, **more)

    def publish(self, whip: str, *words: object) -> subprocess.Popen:
        return self.bench(
            "publish", "--url", whip, "--input", self.film, "--loop", "--stamp", *words, stderr=(self.folder / "publish.log").open("wb"))


class Server:
    """Something with a WHEP endpoint whose process can be watched."""

    def __init__(self, lab: Lab, process: subprocess.Popen | None, url: str, pid: int, whep: str | None = None):
        self.lab, self.process, self.url, self.pid = lab, process, url, pid
        self.whep = whep or f"{url}/whep/bench"

    def stop(self) -> None:
        if self.process:
            self.lab.pair.stop(self.process)

    def watched(self, viewers: int, seconds: int, *words: object) -> Figures:
        """Joins viewers, and once all have a picture counts for so many seconds."""
        idle = rss_kb(self.pid)
        play = self.lab.bench(
            "play", "--url", self.whep, "--viewers", viewers, "--joining", 16, "--settle", 60, "--duration", seconds, "--json", *words,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        marks = []
        for line in play.stderr:
            if line.strip() in ("counting", "counted"):
                marks.append((cpu_ns(self.pid) + softirq_ns(self.lab.cores), overflows(play.pid), rss_kb(self.pid)))
            elif self.lab.options.verbose:
                print(f"    {line.rstrip()}", file=sys.stderr)
        text = play.stdout.read()
        self.lab.pair.stop(play)
        if len(marks) < 2 or not text:
            raise SystemExit(f"{self.url}: nothing was counted")
        seen, (before, after) = json.loads(text), marks[:2]
        if seen["with_picture"] < viewers:
            raise SystemExit(f"{self.url}: only {seen['with_picture']} of {viewers} viewers have a picture")
        return Figures(
            packets=seen["packets"], cpu_us=(after[0] - before[0]) / 1000, rss_kb=(after[2] - idle) / viewers, lost=seen["lost"],
            unread=after[1] - before[1], delay=seen.get("delay_ms"), join=seen["picture_ms"], seconds=seen["seconds"])


def compare(lab: Lab, viewers: int, profile: str) -> tuple[Figures, Figures]:
    """The floor and the server with as many viewers, in turn, so often; the run of middle cost of each."""
    runs: dict[str, list[Figures]] = {"floor": [], "server": []}
    words = ("--profile", profile)
    for _ in range(lab.options.rounds):
        floor = lab.floor(profile)
        runs["floor"].append(floor.watched(viewers, lab.options.seconds, *words))
        floor.stop()
        edge = lab.edge()
        publisher = lab.publish(f"{edge.url}/whip/bench")
        runs["server"].append(edge.watched(viewers, lab.options.seconds, *words))
        lab.pair.stop(publisher)
        edge.stop()
        print(f"  {viewers} {profile}: floor {runs['floor'][-1].per_packet:.3f}, server {runs['server'][-1].per_packet:.3f} µs", file=sys.stderr)
    middle = [sorted(figures, key=lambda figure: figure.per_packet)[len(figures) // 2] for figures in runs.values()]
    return middle[0], middle[1]


HEADER = ("viewers", "SRTP", "who", "CPU µs per packet", "÷ floor", "memory per viewer", "lost", "delay p50", "p99", "join p50", "p99")


def row(viewers: int, profile: str, who: str, figures: Figures, ratio: float | None) -> tuple[str, ...]:
    lost = str(figures.lost) + (f" ({figures.unread} unread)" if figures.unread else "")
    delay = figures.delay or {"median": float("nan"), "p99": float("nan")}
    return (
        str(viewers), profile, who, f"{figures.per_packet:.2f}", f"{ratio:.2f}" if ratio else "", f"{figures.rss_kb:.0f} KB", lost,
        f"{delay['median']:.2f} ms", f"{delay['p99']:.2f} ms", f"{figures.join['median']:.0f} ms", f"{figures.join['p99']:.0f} ms")


def table(lab: Lab) -> list[tuple[str, ...]]:
    rows = []
    for viewers, profile in [(count, "gcm") for count in lab.options.viewers]:
        floor, server = compare(lab, viewers, profile)
        rows.append(row(viewers, profile, "floor", floor, None))
        rows.append(row(viewers, profile, "edge-node", server, server.per_packet / floor.per_packet))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=lambda text: [int(part) for part in text.split(",")], default=[1, 100, 300, 1000])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="what the viewers see, each second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as temporary:
        pair = Pair()
        try:
            rows = table(Lab(pair, pathlib.Path(temporary), options))
        finally:
            pair.close()
    for line in [HEADER, *rows]:
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
