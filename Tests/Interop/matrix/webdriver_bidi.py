"""Firefox by WebDriver BiDi, which it speaks itself: no driver program between, for Debian has none."""

from __future__ import annotations

import asyncio
import itertools
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

import aiohttp

from programs import eventually

_PREFERENCES = {
    "media.navigator.permission.disabled": True, "media.navigator.streams.fake": True, "media.autoplay.default": 0,
    "media.peerconnection.ice.loopback": True, "media.peerconnection.ice.obfuscate_host_addresses": False,
    "network.proxy.type": 0, "app.update.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
    "browser.shell.checkDefaultBrowser": False, "browser.startup.page": 0, "media.gmp-manager.updateEnabled": False,
    "services.settings.server": "data:,none", "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
}


class Firefox:
    """One headless browser with one page; `run` evaluates a function there and waits for its promise."""

    def __init__(self, log: pathlib.Path):
        self._profile = pathlib.Path(tempfile.mkdtemp(prefix="tributary-firefox-"))
        lines = (f'user_pref("{key}", {str(value).lower() if isinstance(value, bool) else repr(value).replace(chr(39), chr(34))});' for key, value in _PREFERENCES.items())
        (self._profile / "user.js").write_text("\n".join(lines))
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [shutil.which("firefox-esr"), "--headless", "--no-remote", "--profile", str(self._profile), "--remote-debugging-port", "0"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._http: aiohttp.ClientSession | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        try:
            found = eventually("Firefox says where it listens", lambda: re.search(r"BiDi listening on (ws://\S+)", self._log.read_text(errors="replace")), 60)
            self._await(self._connect(f"{found[1]}/session"))
        except BaseException:
            self.close()
            raise

    def _await(self, coroutine, seconds: float = 40):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _connect(self, url: str) -> None:
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(url, max_msg_size=0)
        self._reader = asyncio.ensure_future(self._read())
        await self._command("session.new", {"capabilities": {}})
        tree = await self._command("browsingContext.getTree", {})
        self._page = tree["contexts"][0]["context"]

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            future = self._waiting.pop(told.get("id"), None)
            if future and not future.done():
                future.set_result(told)

    async def _command(self, method: str, parameters: dict) -> dict:
        number = next(self._numbers)
        future = self._waiting[number] = self._loop.create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await future
        assert told["type"] == "success", f"{method}: {told.get('message')}"
        return told["result"]

    def open(self, url: str) -> None:
        self._await(self._command("browsingContext.navigate", {"context": self._page, "url": url, "wait": "complete"}))

    def run(self, function: str) -> str:
        """The string that the function's promise ends with."""
        told = self._await(self._command("script.callFunction", {
            "functionDeclaration": function, "target": {"context": self._page}, "awaitPromise": True, "userActivation": True}))
        assert told["type"] == "success", told["exceptionDetails"]["text"]
        return told["result"].get("value")

    async def _disconnect(self) -> None:
        self._reader.cancel()
        await self._http.close()

    def close(self) -> None:
        if self._http:
            self._await(self._disconnect())
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        shutil.rmtree(self._profile, ignore_errors=True)
