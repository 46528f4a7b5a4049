"""Clients that behave as good ones do: they notice that nothing comes any more, and ask again, the next coordinator if need be."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime
import io
import itertools
import pathlib
import signal
import threading
import time
from urllib.parse import urljoin

import aiohttp
import av

from laboratory.members import TOKEN
from peers import PeerLoop
from programs import BINARIES, Program
from wire import Answer, call

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Coordinators:
    """All of them behind one name, as a balancer or DNS would have it: one that does not answer is passed over."""

    def __init__(self, urls: list[str]):
        self._urls = urls
        self._turn = 0

    @property
    def url(self) -> str:
        return self._urls[self._turn % len(self._urls)]

    def next(self) -> None:
        self._turn += 1

    def get(self, path: str, seconds: float = 2) -> Answer | None:
        """The first answer below 500; None when there is none."""
        for _ in self._urls:
            with contextlib.suppress(OSError):
                answer = call("GET", urljoin(self.url, path), headers=HEADERS, seconds=seconds)
                if answer.status < 500:
                    return answer
            self.next()
        return None

    def json(self, path: str):
        answer = self.get(path)
        return answer.json if answer and answer.status == 200 else None


class Background:
    """A thread that does one thing over and over until the end."""

    def __init__(self):
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def _loop(self) -> None:
        while not self._is_over.is_set():
            self.step()

    def step(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(15)


class Viewer(Background):
    """Watches, and joins anew when there was no picture for two seconds."""

    PATIENCE = 2.0
    SHOWN = 1.5
    """Shorter pauses are not told: decoding waits for a busy machine's processors, too."""

    def __init__(self, coordinators: Coordinators, stream: str, node: str = ""):
        super().__init__()
        self._coordinators, self._path = coordinators, f"/whep/{stream}" + (f"?node={node}" if node else "")
        self._loop = PeerLoop(TOKEN)
        self._peer = None
        self._seen = 0
        self._began_at = self._heard_at = time.monotonic()
        self.joining_seconds: float | None = None
        self.frames = 0
        self.pauses: list[tuple[float, float]] = []

    def step(self) -> None:
        if self._peer is None:
            self._join()
            return
        time.sleep(0.02)
        now = time.monotonic()
        if self._peer.frames > self._seen:
            self.frames += self._peer.frames - self._seen
            if self.joining_seconds is None:
                self.joining_seconds = now - self._began_at
            if now - self._heard_at > self.SHOWN and self.frames > 1:
                self.pauses.append((self._heard_at, now))
            self._seen, self._heard_at = self._peer.frames, now
        elif now - max(self._heard_at, self._joined_at) > self.PATIENCE or self._peer.state in ("failed", "closed"):
            self._peer.vanish()
            self._peer = None

    def _join(self) -> None:
        try:
            self._peer = self._loop.play(self._coordinators.url + self._path, seconds=5)
            self._seen, self._joined_at = 0, time.monotonic()
        except (AssertionError, OSError, aiohttp.ClientError, concurrent.futures.TimeoutError):
            self._coordinators.next()
            time.sleep(0.25)

    def stop(self) -> None:
        super().stop()
        self._loop.close()

    def longest(self, since: float) -> float:
        return max((end - start for start, end in self.pauses if end > since), default=0)


class Encoder(Program):
    """edge-bench: publishes a film over and over, asks again when its session is lost, and says so in its log."""

    def __init__(self, url: str, film: pathlib.Path, folder: pathlib.Path, name: str = "encoder"):
        super().__init__(name, [
            str(BINARIES / "edge-bench"), "publish", "--url", url, "--token", TOKEN, "--input", str(film), "--loop", "--patience", "6"], folder)

    def times(self, words: str) -> list[float]:
        """When, Unix seconds, a line with these words was written."""
        found = [line.split()[0] for line in self.log.read_text().splitlines() if words in line]
        return [datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() for text in found]

    @property
    def began(self) -> list[float]:
        return self.times("publishing profile")

    @property
    def lost(self) -> list[float]:
        return self.times("session lost")

    def finish(self) -> None:
        if self.is_running:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(15)


def publish(lab, film: pathlib.Path, folder: pathlib.Path, stream: str, client: str = "client-2") -> Encoder:
    """An encoder for the lab's first node, in the namespace of `client`."""
    encoder = Encoder(f"{lab.url('edge-1')}/whip/{stream}", film, folder)
    with lab.client(client):
        encoder.start()
    return encoder


class Player(Background):
    """Plays a finished recording: its manifest, then object after object; each has to be what it was the first time."""

    def __init__(self, coordinators: Coordinators, stream: str):
        super().__init__()
        self._coordinators = coordinators
        self._stream = stream
        self.requests = 0
        self.changed: list[str] = []
        self.slowest = 0.0
        self._first: dict[str, bytes] = {}
        self._turn = itertools.count()
        self.objects = objects(coordinators, stream)

    def step(self) -> None:
        path = self.objects[next(self._turn) % len(self.objects)]
        began = time.monotonic()
        while not self._is_over.is_set():
            answer = self._coordinators.get(path)
            if answer and answer.status == 200:
                break
            time.sleep(0.1)
        else:
            return
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.requests += 1
        if self._first.setdefault(path, answer.body) != answer.body:
            self.changed.append(path)
        time.sleep(0.1)


def objects(coordinators: Coordinators, stream: str) -> list[str]:
    """The media objects of all of a stream's recordings, by its HLS playlists."""
    found: list[str] = []
    top = f"/api/playback/{stream}/index.m3u8"
    for playlist in _addresses(coordinators, top):
        for address in _addresses(coordinators, playlist):
            if address not in found:
                found.append(address)
    return found


def pictures(coordinators: Coordinators, stream: str) -> int:
    """How many pictures there are on a stream's line, by the objects themselves: a playlist does not tell of holes within a segment."""
    path, lines = _fetched(coordinators, f"/api/playback/{stream}/index.m3u8")
    path, lines = _fetched(coordinators, urljoin(path, next(line for line in lines if line and not line.startswith("#"))))
    # An initialization section and the segments that need it are one file.
    files: list[list[str]] = []
    for line in lines:
        if line.startswith("#EXT-X-MAP"):
            files.append([line.split('URI="')[1].split('"')[0]])
        elif line and not line.startswith("#"):
            files[-1].append(line)
    return sum(_count(b"".join(coordinators.get(urljoin(path, name)).body for name in names)) for names in files)


def _count(film: bytes) -> int:
    with av.open(io.BytesIO(film)) as opened:
        return sum(1 for packet in opened.demux(video=0) if packet.size)


def _addresses(coordinators: Coordinators, path: str) -> list[str]:
    """What a playlist names, its initialization sections too, as paths from the root."""
    path, lines = _fetched(coordinators, path)
    named = [line.split('URI="')[1].split('"')[0] for line in lines if line.startswith(("#EXT-X-MAP", "#EXT-X-MEDIA:")) and 'URI="' in line]
    return [urljoin(path, name) for name in named + [line for line in lines if line and not line.startswith("#")]]


def _fetched(coordinators: Coordinators, path: str) -> tuple[str, list[str]]:
    """A playlist's lines, and the address that redirects lead to."""
    for _ in range(5):
        answer = coordinators.get(path)
        assert answer, f"nobody answers for {path}"
        if answer.status not in (302, 307):
            break
        path = urljoin(path, answer.headers["Location"])
    assert answer.status == 200, f"{path}: {answer.status} {answer.text}"
    return path, answer.text.splitlines()


@dataclasses.dataclass
class Sample:
    at: float
    publishers: list[str]


class Watchman(Background):
    """Looks where the stream has a publisher, as everybody who asks a coordinator sees it."""

    def __init__(self, coordinators: Coordinators, stream: str):
        super().__init__()
        self._coordinators, self._stream = coordinators, stream
        self.samples: list[Sample] = []

    def step(self) -> None:
        time.sleep(0.1)
        nodes = self._coordinators.json("/api/nodes")
        if nodes is None:
            return
        alive = {node["alias"] for node in nodes if node["status"] != "lost"}
        self.samples.append(Sample(time.monotonic(), publishers(self._coordinators, self._stream, alive)))

    @property
    def split_seconds(self) -> float:
        """The longest time that two nodes said they have the publisher."""
        longest, since = 0.0, None
        for sample in self.samples:
            if len(sample.publishers) < 2:
                since = None
            else:
                since = since or sample.at
                longest = max(longest, sample.at - since)
        return longest


def publishers(coordinators: Coordinators, stream: str, alive: set[str]) -> list[str]:
    """Nodes that have a connected publisher of their own, no copy."""
    held = coordinators.json(f"/api/streams/{stream}") or {}
    def has(record: dict) -> bool:
        return any(session["leaveAt"] == 0 and session["state"] == "connected" and not session.get("cascade") for session in record["publish"]["sessions"])
    return [alias for alias, record in held.items() if alias in alive and has(record)]


def rows(coordinators: Coordinators, stream: str) -> list[dict]:
    return coordinators.json(f"/api/playback/{stream}") or []
