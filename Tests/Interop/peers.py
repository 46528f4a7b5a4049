"""WHIP and WHEP with aiortc: an implementation of WebRTC that shares no code with ours or with a browser."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from urllib.parse import urljoin

import aiohttp
import numpy
from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import SessionDescription as RemoteDescription

import sources


class _Paced(MediaStreamTrack):
    """Frames at the pace of their own clock."""

    def __init__(self, kind: str, make, seconds_each: float, started: list[float]):
        super().__init__()
        self.kind, self._make, self._each, self._started, self._index = kind, make, seconds_each, started, 0

    async def recv(self):
        if self.readyState != "live":
            raise MediaStreamError
        # Both tracks count from the moment the first of them is asked, as one capture would.
        if not self._started:
            self._started.append(time.monotonic())
        await asyncio.sleep(max(0.0, self._started[0] + self._index * self._each - time.monotonic()))
        frame = self._make(self._index)
        self._index += 1
        return frame


class PeerLoop:
    """An asyncio loop in a thread of its own, so that tests stay plain functions."""

    def __init__(self, token: str | None = None):
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._peers: list[Peer] = []

    def run(self, coroutine, seconds: float = 30):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    def publish(self, url: str, video: str = "H264", sound: str | None = "opus", channels: tuple[str, ...] = ()) -> "Peer":
        return self._open(Peer(self, url, is_publisher=True, video=video, sound=sound, channels=channels))

    def play(self, url: str, seconds: float = 30, channels: tuple[str, ...] = ()) -> "Peer":
        return self._open(Peer(self, url, is_publisher=False, channels=channels), seconds)

    def offer(self, is_publisher: bool = True) -> str:
        """The text of a valid offer, for requests that are to fail for other reasons."""
        async def make() -> str:
            peer = Peer(self, "", is_publisher)
            await peer.prepare()
            text = peer.connection.localDescription.sdp
            await peer.connection.close()
            return text
        return self.run(make())

    def _open(self, peer: "Peer", seconds: float = 30) -> "Peer":
        self._peers.append(peer)
        self.run(peer.open(), seconds)
        return peer

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class Peer:
    """One session. A viewer counts what it decodes; `heard` are the messages of each data channel."""

    def __init__(self, owner: PeerLoop, url: str, is_publisher: bool, video: str = "H264", sound: str | None = "opus",
                 channels: tuple[str, ...] = ()):
        self._owner, self._url, self._is_publisher, self._video, self._sound = owner, url, is_publisher, video, sound
        self._headers = owner.headers
        self.session: str | None = None
        self.frames = 0
        self.size: tuple[int, int] | None = None
        self.samples = 0
        self.energy = 0.0
        self.started_at = self.first_frame_at = self.last_frame_at = 0.0
        self.longest_pause = 0.0
        self.lost = 0
        self.retransmitted = 0
        self.heard: dict[str, list[str | bytes]] = {label: [] for label in channels}
        self.channels: dict[str, RTCDataChannel] = {}
        self.connection: RTCPeerConnection | None = None
        self._tasks: list[asyncio.Task] = []

    @property
    def state(self) -> str:
        return self.connection.connectionState if self.connection else "closed"

    @property
    def is_heard(self) -> bool:
        """What was decoded so far is not silence; between its marks the test sound nearly is."""
        return self.energy > 1e-4 * self.samples

    async def prepare(self) -> None:
        connection = self.connection = RTCPeerConnection()
        started: list[float] = []
        if self._is_publisher:
            video = connection.addTransceiver(_Paced("video", sources.picture, 1 / sources.FPS, started), direction="sendonly")
            if self._sound:
                audio = connection.addTransceiver(
                    _Paced("audio", sources.sound, sources.SAMPLES / sources.RATE, started), direction="sendonly")
                codecs = RTCRtpSender.getCapabilities("audio").codecs
                audio.setCodecPreferences([codec for codec in codecs if codec.mimeType == f"audio/{self._sound}"])
            codecs = RTCRtpSender.getCapabilities("video").codecs
            video.setCodecPreferences([codec for codec in codecs if codec.mimeType == f"video/{self._video}"])
        else:
            connection.addTransceiver("video", direction="recvonly")
            connection.addTransceiver("audio", direction="recvonly")
            connection.on("track", lambda track: self._tasks.append(asyncio.ensure_future(self._consume(track))))
        for label, heard in self.heard.items():
            self.channels[label] = connection.createDataChannel(label)
            self.channels[label].on("message", heard.append)
        await connection.setLocalDescription(await connection.createOffer())

    def say(self, label: str, message: str | bytes) -> None:
        """Sends on a data channel, once it is open."""
        async def send() -> None:
            while self.channels[label].readyState != "open":
                await asyncio.sleep(0.02)
            self.channels[label].send(message)
        self._owner.run(send(), 10)

    async def open(self) -> None:
        await self.prepare()
        self.started_at = time.monotonic()
        async with aiohttp.ClientSession() as http:
            async with http.post(self._url, data=self.connection.localDescription.sdp, headers=self._headers | {"Content-Type": "application/sdp"}) as answer:
                text = await answer.text()
                assert answer.status == 201, f"POST {self._url}: {answer.status} {text}"
                self.session = urljoin(self._url, answer.headers["Location"])
        await self.connection.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def _consume(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if track.kind == "video":
                now = time.monotonic()
                if self.frames:
                    self.longest_pause = max(self.longest_pause, now - self.last_frame_at)
                else:
                    self.first_frame_at = now
                self.frames, self.last_frame_at = self.frames + 1, now
                self.size = (frame.width, frame.height)
            else:
                self.samples += frame.samples
                self.energy += float(numpy.square(frame.to_ndarray().astype(numpy.float64) / 32768).sum())

    def lose(self, share: float) -> None:
        """From now on this share of the media that arrives is lost, retransmissions too; those that arrive are counted."""
        sources = {
            int(group.items[1]) for media in RemoteDescription.parse(self.connection.remoteDescription.sdp).media
            for group in media.ssrc_group if group.semantic == "FID"}
        transport = self.connection.getReceivers()[0].transport
        taken, chance = transport._handle_rtp_data, random.Random(1)

        async def take(data: bytes, arrival_time_ms: int) -> None:
            if chance.random() < share:
                self.lost += 1
                return
            self.retransmitted += int.from_bytes(data[8:12], "big") in sources
            await taken(data, arrival_time_ms=arrival_time_ms)

        transport._handle_rtp_data = take

    def hang_up(self) -> int:
        """DELETE of the session, then the end of this peer; the status of the answer."""
        async def send() -> int:
            async with aiohttp.ClientSession() as http:
                async with http.delete(self.session, headers=self._headers) as answer:
                    return answer.status
        status = self._owner.run(send())
        self.session = None
        self.close()
        return status

    def vanish(self) -> None:
        """The end without a word to the server's API."""
        self.session = None
        self.close()

    def close(self) -> None:
        async def end() -> None:
            for task in self._tasks:
                task.cancel()
            if self.connection:
                await self.connection.close()
        if self.session:
            try:
                self.hang_up()
            except (aiohttp.ClientError, OSError):
                self.session = None
            return
        self._owner.run(end())
