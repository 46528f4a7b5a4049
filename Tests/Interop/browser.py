"""Chromium under WebDriver, looking at the coordinator's own pages."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--autoplay-policy=no-user-gesture-required", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream", "--window-size=1280,900",
]
PUBLISHER = "[data-part=publisher]"
PLAYER = "[data-part=player]"

# Sums getStats() of the element's RTCPeerConnection for one direction.
_STATS = """
const [selector, type, done] = arguments;
const peer = document.querySelector(selector)?.peerConnection;
if (!peer) return done(null);
peer.getStats().then((report) => {
  const result = {};
  for (const stat of report.values()) if (stat.type === type) result[stat.kind] = {...stat, codec: report.get(stat.codecId)?.mimeType};
  done(result);
});
"""

# Publishes a picture that no encoder can make small, and measures what is sent in each tenth of a second from the connection on.
_CLIMB = """
const [stream, maxBitrate, seconds, done] = arguments;
(async () => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 640, height: 360});
  const context = canvas.getContext('2d'), picture = context.createImageData(640, 360), words = new Uint32Array(picture.data.buffer);
  const drawing = setInterval(() => {
    for (let at = 0; at < words.length; at++) words[at] = Math.random() * 0x1000000 | 0xff000000;
    context.putImageData(picture, 0, 0);
  }, 33);
  const { WHIPPublisher } = await import('/whip.js');
  const publisher = new WHIPPublisher();
  await publisher.start(stream, canvas.captureStream(30), { maxBitrate });
  while (publisher.connection.connectionState !== 'connected') await new Promise((then) => setTimeout(then, 10));
  const began = performance.now(), series = [];
  while (performance.now() - began < seconds * 1000) {
    const report = [...(await publisher.connection.getStats()).values()];
    const sent = report.find((stat) => stat.type === 'outbound-rtp' && stat.kind === 'video');
    const allowed = report.map((stat) => stat.availableOutgoingBitrate ?? 0);
    series.push([(performance.now() - began) / 1000, (sent?.bytesSent ?? 0) * 8, Math.max(...allowed)]);
    await new Promise((then) => setTimeout(then, 100));
  }
  clearInterval(drawing);
  publisher.stop();
  return series;
})().then(done, (error) => done(String(error)));
"""


def _below(ancestor: int) -> list[int]:
    """The processes that a process started, and those that these did."""
    children: dict[int, list[int]] = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may have blanks in it.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(ancestor, [])
    for process in found:
        found.extend(children.get(process, []))
    return found


class Browser:
    def __init__(self, base: str, more_flags: list[str] | None = None):
        self.base = base
        self._profile = tempfile.mkdtemp(prefix="tributary-chromium-")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in [*FLAGS, *(more_flags or []), f"--user-data-dir={self._profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.set_script_timeout(20)

    def close(self) -> None:
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def stand_still(self, seconds: float) -> None:
        """All of Chromium's processes stop for so long, as on a machine that has no time for them; what comes meanwhile is lost."""
        processes = _below(self.driver.service.process.pid)
        try:
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            time.sleep(seconds)
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def open(self, route: str) -> None:
        # A hash alone would not reload, and each test wants a page of its own.
        self.driver.get("about:blank")
        self.driver.get(f"{self.base}/#{route}")

    def script(self, source: str, *arguments):
        return self.driver.execute_script(source, *arguments)

    def until(self, what: str, expression: str, seconds: float = 20):
        """The first true value of a JavaScript expression; fails naming `what`, the page's text and its console."""
        try:
            return WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda _: self.script(f"return {expression}"))
        except Exception:
            text = self.script("return document.querySelector('main')?.innerText")
            raise AssertionError(f"not within {seconds} s: {what}\npage: {text}\nconsole: {self.driver.get_log('browser')}") from None

    def state(self, part: str) -> str:
        return self.script("return document.querySelector(arguments[0])?.dataset.state", part)

    def until_state(self, part: str, *states: str, seconds: float = 20) -> str:
        quoted = ", ".join(f"'{state}'" for state in states)
        return self.until(f"{part} in {states}", f"[{quoted}].find((each) => each === document.querySelector('{part}')?.dataset.state)", seconds)

    def stats(self, part: str, direction: str) -> dict:
        return self.driver.execute_async_script(_STATS, part, direction) or {}

    def publish(self, stream: str, size: str = "360") -> None:
        """Publishes Chromium's fake camera and microphone from the publish page, as a person would."""
        self.open(f"/publish/{stream}")
        self.script("document.querySelector('#size').value = arguments[0]", size)
        self.driver.find_element(By.CSS_SELECTOR, "form button[type=submit]").click()
        assert self.until_state(PUBLISHER, "live", "error", seconds=30) == "live", self.script("return document.querySelector('main').innerText")

    def climb(self, stream: str, bits: int, seconds: float = 4) -> list[tuple[float, int, float]]:
        """Publishes noise, allowed so many bits a second: moments since the connection stood, bits sent by then, bits a second that the
        browser believes it may send."""
        self.open("/")
        series = self.driver.execute_async_script(_CLIMB, stream, bits, seconds)
        assert isinstance(series, list), series
        return series

    def stop_publishing(self) -> None:
        self.driver.find_element(By.CSS_SELECTOR, f"{PUBLISHER} button.danger").click()
        self.until_state(PUBLISHER, "ended")

    def watch(self, stream: str, frames: int = 60, seconds: float = 40, has_sound: bool = True) -> None:
        """Opens the live player and waits for decoded frames; turns the sound on and waits for some that is not silence."""
        self.open(f"/watch/{stream}")
        self.until_state(PLAYER, "playing", seconds=seconds)
        if has_sound:
            self.driver.find_element(By.CSS_SELECTOR, f"{PLAYER} [aria-label='Turn the sound on']").click()
        data = f"document.querySelector('{PLAYER}').dataset"
        try:
            self.until(f"{frames} frames of {stream}", f"Number({data}.framesDecoded) > {frames}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\nreceived: {self.stats(PLAYER, 'inbound-rtp')}") from None
        if has_sound:
            self.until(f"sound of {stream}", f"Number({data}.audioSamples) > 48000 && Number({data}.audioEnergy) > 0", seconds)

    def screenshot(self, file: pathlib.Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(file))
