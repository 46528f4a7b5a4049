"""The clients of the matrix behind one face: publish, play, tell what was decoded, stop."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import queue
import subprocess
import threading
from typing import Protocol

import av

from browser import Browser
from muxers import WHIPMuxer
from peers import Peer, PeerLoop
from programs import eventually
from webdriver_bidi import Firefox
from wire import call

FOLDER = pathlib.Path(__file__).resolve().parent
CHANNEL = "matrix"
PAGE = (FOLDER / "peer.js").read_text()


@dataclasses.dataclass
class Decoded:
    """What came out of a viewer's decoders since it began."""

    frames: int = 0
    samples: int = 0
    is_audible: bool = False
    video: str = ""
    sound: str = ""
    first_frame_ms: float | None = None


class Session(Protocol):
    """One publisher or viewer; `offer` is what it sent."""

    offer: str

    def decoded(self) -> Decoded: ...

    def say(self, text: str) -> None:
        """A message on its data channel."""

    def heard(self) -> list[str]:
        """The messages of its data channel."""

    def stop(self) -> None:
        """As its user would: DELETE, then the end of the connection."""


class Client(Protocol):
    """A program that can do both, or one, and which codecs it knows."""

    name: str
    #: Combinations of video and sound that it sends.
    sends: list[tuple[str, str]]
    #: Video that it sends in three layers, with Opus.
    layered: list[str]
    receives: set[str]
    has_channels: bool

    def publish(self, url: str, video: str, sound: str, layers: int = 0) -> Session: ...

    def play(self, url: str) -> Session: ...

    def close(self) -> None: ...


def rows(client: type[Client] | Client) -> list[tuple[str, str, int]]:
    """What a client publishes: video, sound, layers (0 for media sent once)."""
    return [(*each, 0) for each in client.sends] + [(video, "opus", 3) for video in client.layered]


class _BrowserSession:
    def __init__(self, owner: "_BrowserClient", name: str, told: dict):
        self._owner, self._name, self.offer = owner, name, told["offer"]

    def decoded(self) -> Decoded:
        told = self._owner.call("received", self._name)
        return Decoded(told["frames"], told["samples"], told["energy"] > 1e-4, told.get("video", ""), told.get("sound", ""),
                       told.get("firstFrameMs"))

    def say(self, text: str) -> None:
        self._owner.call("say", self._name, text)

    def heard(self) -> list[str]:
        return self._owner.call("heard", self._name)

    def stop(self) -> None:
        status = self._owner.call("stop", self._name)
        assert status in (200, 204), f"DELETE: {status}"


class _BrowserClient:
    """Publishes and plays from one page each, in browsers of their own, as two people would."""

    has_channels = True

    def __init__(self, base: str):
        self._base, self._pages, self._count = base, {}, 0

    def _make(self, role: str):
        raise NotImplementedError

    def _run(self, page, function: str) -> str:
        raise NotImplementedError

    def call(self, what: str, name: str, *arguments) -> object:
        role = name.split("-")[0]
        if role not in self._pages:
            self._pages[role] = self._make(role)
        written = ", ".join(json.dumps(each) for each in (name, *arguments))
        function = f"async () => {{\n{PAGE}\nreturn JSON.stringify(await calls.{what}({written}));\n}}"
        return json.loads(self._run(self._pages[role], function) or "null")

    def _open(self, role: str, *arguments) -> _BrowserSession:
        self._count += 1
        name = f"{role}-{self._count}"
        return _BrowserSession(self, name, self.call(role, name, *arguments))

    def publish(self, url: str, video: str, sound: str, layers: int = 0) -> _BrowserSession:
        return self._open("publish", url, video, sound, layers)

    def play(self, url: str) -> _BrowserSession:
        return self._open("play", url)

    def close(self) -> None:
        for page in self._pages.values():
            page.close()


class ChromiumClient(_BrowserClient):
    name = "Chromium"
    sends = [("H264", "opus"), ("VP8", "opus"), ("VP9", "opus"), ("AV1", "opus"), ("H264", "PCMU"), ("H264", "PCMA"), ("H264", "G722")]
    layered = ["H264", "VP8"]
    receives = {"H264", "VP8", "VP9", "AV1", "opus", "PCMU", "PCMA", "G722"}

    def _make(self, role: str) -> Browser:
        page = Browser(self._base)
        page.driver.get(f"{self._base}/healthz")
        return page

    def _run(self, page: Browser, function: str) -> str:
        told = page.driver.execute_async_script(
            f"const done = arguments[0]; ({function})().then((value) => done({{value}}), (error) => done({{error: String(error)}}));")
        assert "error" not in told, told["error"]
        return told["value"]


class FirefoxClient(_BrowserClient):
    name = "Firefox"
    sends = [("VP8", "opus"), ("VP9", "opus"), ("AV1", "opus"), ("VP8", "PCMU"), ("VP8", "PCMA"), ("VP8", "G722")]
    layered = ["VP8"]
    receives = {"VP8", "VP9", "AV1", "opus", "PCMU", "PCMA", "G722"}

    def __init__(self, base: str, folder: pathlib.Path):
        super().__init__(base)
        self._folder = folder

    def _make(self, role: str) -> Firefox:
        page = Firefox(self._folder / f"firefox-{role}.log")
        page.open(f"{self._base}/healthz")
        return page

    def _run(self, page: Firefox, function: str) -> str:
        return page.run(function)


class _AiortcSession:
    def __init__(self, peer: Peer):
        self._peer = peer
        self.offer = peer.connection.localDescription.sdp

    def decoded(self) -> Decoded:
        peer = self._peer
        first = (peer.first_frame_at - peer.started_at) * 1000 if peer.frames else None
        return Decoded(peer.frames, peer.samples, peer.samples > 0 and peer.energy / peer.samples > 1e-4, first_frame_ms=first)

    def say(self, text: str) -> None:
        self._peer.say(CHANNEL, text)

    def heard(self) -> list[str]:
        return self._peer.heard[CHANNEL]

    def stop(self) -> None:
        status = self._peer.hang_up()
        assert status in (200, 204), f"DELETE: {status}"


class AiortcClient:
    name = "aiortc"
    sends = [("H264", "opus"), ("VP8", "opus"), ("H264", "PCMU"), ("H264", "PCMA"), ("H264", "G722")]
    layered: list[str] = []
    receives = {"H264", "VP8", "opus", "PCMU", "PCMA", "G722"}
    has_channels = True

    def __init__(self):
        self._loop = PeerLoop()

    def publish(self, url: str, video: str, sound: str, layers: int = 0) -> _AiortcSession:
        return _AiortcSession(self._loop.publish(url, video=video, sound=sound, channels=(CHANNEL,)))

    def play(self, url: str) -> _AiortcSession:
        return _AiortcSession(self._loop.play(url, channels=(CHANNEL,)))

    def close(self) -> None:
        self._loop.close()


class _MuxerSession:
    offer = ""

    def __init__(self, url: str):
        self._muxer = WHIPMuxer(url, seconds=120)
        self._muxer.start()

    def decoded(self) -> Decoded:
        raise NotImplementedError("FFmpeg has no WHEP")

    def say(self, text: str) -> None:
        raise NotImplementedError("FFmpeg has no data channels")

    def heard(self) -> list[str]:
        raise NotImplementedError("FFmpeg has no data channels")

    def stop(self) -> None:
        self._muxer.finish()


class FFmpegClient:
    name = f"FFmpeg {av.ffmpeg_version_info}"
    sends = [("H264", "opus")]
    layered: list[str] = []
    receives: set[str] = set()
    has_channels = False

    def publish(self, url: str, video: str, sound: str, layers: int = 0) -> _MuxerSession:
        return _MuxerSession(url)

    def play(self, url: str) -> Session:
        raise NotImplementedError("FFmpeg has no WHEP")

    def close(self) -> None:
        pass


class _GStreamerSession:
    def __init__(self, role: str, url: str, *codecs: str):
        self._process = subprocess.Popen(
            ["/usr/bin/python3", str(FOLDER / "gstreamer_peer.py"), role, url, *codecs], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines: queue.Queue[dict] = queue.Queue()
        self._last: dict = {}
        threading.Thread(target=self._read, daemon=True).start()
        self.offer = eventually("GStreamer has an answer", lambda: self._take().get("session") and self._last["offer"], 20)

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(json.loads(line))

    def _take(self) -> dict:
        while True:
            try:
                self._last |= self._lines.get_nowait()
            except queue.Empty:
                assert "error" not in self._last, f"GStreamer: {self._last['error']}"
                return self._last

    def decoded(self) -> Decoded:
        told = self._take()
        samples = told.get("samples", 0)
        return Decoded(
            told.get("frames", 0), samples, samples > 0 and told["energy"] / samples > 1e-6, told.get("video", ""), told.get("sound", ""),
            told.get("firstFrameMs"))

    def _tell(self, line: str) -> None:
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def say(self, text: str) -> None:
        self._tell(text)

    def heard(self) -> list[str]:
        return self._take().get("heard", [])

    def stop(self) -> None:
        self._tell("")
        self._process.wait(15)
        status = eventually("GStreamer has ended", lambda: self._take().get("ended"), 5)
        assert status in (200, 204), f"DELETE: {status}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class GStreamerClient:
    name = "GStreamer"
    sends = [("H264", "opus"), ("VP8", "opus"), ("VP9", "opus"), ("H265", "opus"), ("H264", "PCMU"), ("H264", "PCMA"), ("H264", "G722")]
    layered: list[str] = []
    receives = {"H264", "H265", "VP8", "VP9", "opus", "PCMU", "PCMA", "G722"}
    has_channels = True

    def __init__(self):
        self._sessions: list[_GStreamerSession] = []

    def _open(self, *words: str) -> _GStreamerSession:
        self._sessions.append(_GStreamerSession(*words))
        return self._sessions[-1]

    def publish(self, url: str, video: str, sound: str, layers: int = 0) -> _GStreamerSession:
        return self._open("publish", url, video, sound)

    def play(self, url: str) -> _GStreamerSession:
        return self._open("play", url)

    def close(self) -> None:
        for session in self._sessions:
            session.kill()
