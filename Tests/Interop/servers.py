"""A WHEP and WHIP server of aiortc: a full ICE agent that takes the active DTLS role, and shares no code with ours."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

import sources
from peers import PeerLoop, _Paced


class PeerServer:
    """Plays one film to whoever asks at /whep/x, and counts what is sent to /whip/x."""

    def __init__(self, loop: PeerLoop):
        self._loop = loop
        self.frames = self.samples = 0
        self.ended: list[str] = []
        self.headers: list[dict] = []
        self._connections: dict[str, RTCPeerConnection] = {}
        self._tasks: list[asyncio.Task] = []
        self.url = loop.run(self._start())

    async def _start(self) -> str:
        application = web.Application()
        application.router.add_post("/whep/x", self._open)
        application.router.add_post("/whip/x", self._open)
        application.router.add_delete("/session/{id}", self._end)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"

    async def _open(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        connection = RTCPeerConnection()
        identity = str(len(self._connections))
        self._connections[identity] = connection
        connection.on("track", lambda track: self._tasks.append(asyncio.ensure_future(self._consume(track))))
        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        if request.path.startswith("/whep"):
            started: list[float] = []
            for transceiver in connection.getTransceivers():
                make, each = (sources.picture, 1 / sources.FPS) if transceiver.kind == "video" else (sources.sound, sources.SAMPLES / sources.RATE)
                transceiver.sender.replaceTrack(_Paced(transceiver.kind, make, each, started))
                transceiver.direction = "sendonly"
        await connection.setLocalDescription(await connection.createAnswer())
        return web.Response(
            status=201, text=connection.localDescription.sdp, content_type="application/sdp", headers={"Location": f"/session/{identity}"})

    async def _consume(self, track) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if track.kind == "video":
                self.frames += 1
            else:
                self.samples += frame.samples

    async def _end(self, request: web.Request) -> web.Response:
        identity = request.match_info["id"]
        self.ended.append(identity)
        await self._connections[identity].close()
        return web.Response(status=200)

    def close(self) -> None:
        async def end() -> None:
            for task in self._tasks:
                task.cancel()
            for connection in self._connections.values():
                await connection.close()
            await self._runner.cleanup()
        self._loop.run(end())
