"""Servers with a WHEP endpoint, viewers that watch them, and what that costs the servers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import time

from pair import SERVER, Pair, until
from record import BINARIES, ROOT
from usage import Meter, Usage, overflows, rss_kb

FILM_KBPS = 2430
# Publishers precede whoever watches: what they send late would be the server's delay. Watching precedes joining, which costs a viewer's
# side as much as the server's.
WATCHING_NICE, JOINING_NICE = 5, 15


def film(path: pathlib.Path, kbps: int = FILM_KBPS, seconds: int = 10) -> None:
    """720p30 H.264, 2.5 Mb/s with its Opus; one slice for a picture and a key frame every two seconds, as encoders of live streams do."""
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30,noise=alls=8:allf=t",
        "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000", "-t", str(seconds), "-threads", "1",
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p",
        "-b:v", f"{kbps}k", "-minrate", f"{kbps}k", "-maxrate", f"{kbps}k", "-bufsize", f"{kbps // 2}k", "-g", "60",
        "-c:a", "libopus", "-ac", "2", "-b:a", "64k", str(path)], check=True)


@dataclasses.dataclass
class Figures:
    """Of one server with one load."""

    packets: int
    usage: Usage
    rss_kb: float
    lost: int
    unread: int
    delay: dict[str, float] | None
    join: dict[str, float]
    seconds: float

    @property
    def per_packet(self) -> float:
        return self.usage.cpu_us / max(self.packets, 1)


@dataclasses.dataclass
class Counted:
    """What a load saw, and what else was seen of both sides while it counted."""

    seen: dict
    usage: Usage
    rss_kb: int
    unread: int


class Lab:
    """Both sides, the film, and the programs that run."""

    def __init__(self, pair: Pair, folder: pathlib.Path, options):
        self.pair, self.folder, self.options = pair, folder, options
        self.show(FILM_KBPS)
        cores = sorted(os.sched_getaffinity(0))
        self.cores = {cores[0]}
        self.others = set(cores[1:]) or self.cores
        # Whoever sends what is watched, if it isn't the server itself.
        self.publisher: subprocess.Popen | None = None

    def show(self, kbps: int) -> None:
        """From now on publishers send a film of this rate."""
        self.film = self.folder / f"film-{kbps}.mkv"
        if not self.film.exists():
            film(self.film, kbps)

    def show_sound(self) -> None:
        """From now on publishers have nothing but the film's sound."""
        whole, self.film = self.film, self.folder / "sound.mkv"
        subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-i", whole, "-vn", "-c", "copy", self.film], check=True)

    def floor(self, profile: str) -> "Server":
        process = self.pair.start(
            self.pair.server, self.cores, BINARIES / "floor", "--input", self.film, "--listen", f"{SERVER}:7900", "--address", SERVER,
            "--profile", profile, stderr=(self.folder / "floor.log").open("wb"))
        return self._ready(Server(self, process, f"http://{SERVER}:7900", process.pid))

    def echo(self, answer: int) -> "Server":
        """What only sends the first so many bytes of each datagram back."""
        process = self.pair.start(
            self.pair.server, self.cores, BINARIES / "floor", "--echo", 7901, "--answer", answer, stderr=(self.folder / "floor.log").open("wb"))
        return Server(self, process, f"{SERVER}:7901", process.pid)

    def edge(self, loops: int = 1, cores: set[int] | None = None, settings: dict[str, str] | None = None) -> "Server":
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("EDGE_")}
        process = self.pair.start(
            self.pair.server, cores or self.cores, BINARIES / "edge-node", cwd=self.folder, stderr=(self.folder / "edge.log").open("wb"),
            env=inherited | {"EDGE_HTTP_LISTEN": f"{SERVER}:7777", "EDGE_AUTH_OPEN": "true",
                             # Thousands of clients come from one address here.
                             "EDGE_LIMITS_MAX_SESSIONS": "0", "EDGE_LIMITS_MAX_SESSIONS_PER_ADDRESS": "0",
                             "EDGE_LIMITS_MAX_CONNECTIONS_PER_ADDRESS": "0",
                             "EDGE_WEBRTC_LOOPS": str(loops), "LOG_LEVEL": "warn"}
            | (settings or {}))
        return self._ready(Server(self, process, f"http://{SERVER}:7777", process.pid))

    @contextlib.contextmanager
    def published(self, *words: object, stream: str = "bench", settings: dict[str, str] | None = None):
        """An edge with the film on it."""
        edge = self.edge(settings=settings)
        edge.whep = f"{edge.url}/whep/{stream}"
        self.publisher = self.publish(f"{edge.url}/whip/{stream}", *words)
        try:
            yield edge
        finally:
            self.pair.stop(self.publisher)
            self.publisher = None
            edge.stop()

    def _ready(self, server: "Server") -> "Server":
        until(f"{server.url} answers", lambda: self.pair.get(f"{server.url}/healthz") is not None)
        return server

    def bench(self, *words: object, **more) -> subprocess.Popen:
        return self.pair.start(self.pair.load, self.others, BINARIES / "edge-bench", *words, **more)

    def joins(self, whep: str, viewers: int, rate: int, *words: object) -> dict:
        """Viewers that come at this rate, so many in a second."""
        play = self.bench(
            "play", "--url", whep, "--viewers", viewers, "--rate", rate, "--joining", 256, "--json", *words,
            nice=JOINING_NICE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        text = play.stdout.readline()
        self.pair.kill(play)
        return json.loads(text)

    def publish(self, whip: str, *words: object) -> subprocess.Popen:
        return self.bench(
            "publish", "--url", whip, "--input", self.film, "--loop", "--stamp", *words,
            precedes=True, stdout=subprocess.PIPE, stderr=(self.folder / "publish.log").open("wb"), text=True)


class Server:
    """Something with a WHEP endpoint whose process can be watched."""

    def __init__(self, lab: Lab, process: subprocess.Popen | None, url: str, pid: int, whep: str | None = None):
        self.lab, self.process, self.url, self.pid = lab, process, url, pid
        self.whep = whep or f"{url}/whep/bench"

    def stop(self) -> None:
        if self.process:
            self.lab.pair.stop(self.process)

    def metrics(self, *names: str) -> list[float]:
        text = self.lab.pair.get(f"{self.url}/metrics") or self.lab.pair.get(f"{self.url}/metrics")
        if text is None:
            raise SystemExit(f"{self.url}/metrics doesn't answer")
        found = [re.findall(rf"^tributary_edge_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE) for name in names]
        if not all(found):
            raise SystemExit(f"{self.url}/metrics has not all of {', '.join(names)}")
        return [sum(float(value) for value in values) for values in found]

    def meter(self) -> Meter:
        """Of this server and of what is published there."""
        return Meter(self.pid, self.lab.cores, self.lab.publisher)

    def watched(self, viewers: int, seconds: int, *words: object, meanwhile=None, reached: str = "with_picture", ends: bool = True) -> Figures:
        """Joins viewers, and once all are there counts for so many seconds, in which `meanwhile` is run.

        Unless `ends`, they are cut off instead of leaving one by one.
        """
        idle = rss_kb(self.pid)
        counted = self._counted(
            "play", "--url", self.whep, "--viewers", viewers, "--joining", 32, "--settle", max(60, viewers // 25), "--duration", seconds, "--json",
            *words, meanwhile=meanwhile, ends=ends)
        seen = counted.seen
        if seen[reached] < viewers:
            raise SystemExit(f"{self.url}: only {seen[reached]} of {viewers} viewers are there")
        return Figures(
            packets=seen["packets"], usage=counted.usage, rss_kb=(counted.rss_kb - idle) / viewers, lost=seen["lost"], unread=counted.unread,
            delay=seen.get("delay_ms"), join=seen.get("picture_ms") or seen["connect_ms"], seconds=seen["seconds"])

    def asked(self, sockets: int, rate: int, size: int, seconds: int) -> Usage:
        """Of an echo: so many datagrams in a second, of so many bytes."""
        counted = self._counted("ask", "--to", self.url, "--sockets", sockets, "--rate", rate, "--bytes", size, "--duration", seconds)
        asked, packets = counted.seen["asked"], counted.seen["packets"]
        # The last ones are still on their way.
        if packets < 0.98 * asked:
            raise SystemExit(f"{self.url}: only {packets} of {asked} datagrams came back")
        return counted.usage

    def _counted(self, *words: object, meanwhile=None, ends: bool = True) -> Counted:
        """Runs a load that tells when it counts."""
        play = self.lab.bench(*words, nice=WATCHING_NICE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        meter = usage = None
        with open(f"/proc/{play.pid}/net/snmp") as snmp:
            for line in play.stderr:
                if line.strip() == "counting":
                    unread, meter = overflows(snmp), self.meter()
                    if meanwhile:
                        meanwhile()
                elif line.strip() == "counted" and meter:
                    unread, rss, usage = overflows(snmp) - unread, rss_kb(self.pid), meter.read()
                elif self.lab.options.verbose:
                    print(f"    {line.rstrip()}", file=sys.stderr)
        text = play.stdout.readline()
        if ends:
            play.wait(60)
        self.lab.pair.kill(play)
        if not usage or not text:
            raise SystemExit(f"{self.url}: nothing was counted")
        seen = json.loads(text)
        usage.load = seen["busy"]
        return Counted(seen, usage, rss, unread)


class Allocations:
    """What a program's threads take from the heap, counted by a library that is loaded before its own."""

    def __init__(self, folder: pathlib.Path):
        self.library, self.table = folder / "allocations.so", folder / "allocations.table"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self.library, ROOT / "bench/allocations.c"], check=True)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "ALLOCATIONS": str(self.table)}

    def count(self, pid: int, thread: str) -> int:
        """Of the threads whose names begin so."""
        total = 0
        for number, count in struct.iter_unpack("QQ", self.table.read_bytes()):
            with contextlib.suppress(OSError):
                if number and pathlib.Path(f"/proc/{pid}/task/{number}/comm").read_text().startswith(thread):
                    total += count
        return total
