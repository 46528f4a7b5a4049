"""A viewer's path becomes narrow and wide again: its layer follows, those of others don't; sound comes through (`make test-bandwidth`)."""

from __future__ import annotations

import time

import pytest

from browser import Browser
from clients import Coordinators, publish
from laboratory.members import TOKEN
from layered import LAYERS, publish_layered, publish_scalable
from programs import eventually
from watching import ChromiumViewer

pytestmark = pytest.mark.slow
TOP = LAYERS["f"][1]
NARROW = 650_000
NARROW_SECONDS = 20
SOUND_SECONDS = 40


@pytest.fixture
def edge(lab):
    running = lab(edges=1, coordinators=0, redis=False, s3=False, postgres=False)
    yield running
    for member in ("client", "client-2"):
        running.network.limit_to(member, None)


def three_sources(driver, url: str) -> None:
    publish_layered(driver, url, "VP8", TOKEN)


def layers_in_one(driver, url: str) -> None:
    publish_scalable(driver, url, "VP9", "L3T3_KEY", 1_500_000, TOKEN)


class Publisher:
    """Chromium with three layers, in the namespace of the thread that makes it."""

    def __init__(self, base: str, stream: str, begin):
        self._browser = Browser(base, [f"--unsafely-treat-insecure-origin-as-secure={base}"])
        try:
            self._browser.driver.get(f"{base}/healthz")
            begin(self._browser.driver, f"{base}/whip/{stream}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._browser.close()


class Paths:
    """What the node says of each viewer, a line each second."""

    def __init__(self, node: Coordinators):
        self._node = node
        self.lines: list[str] = []
        self._next = time.monotonic()

    def note(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next += 1
        sessions = self._node.json("/api/streams/live")["subscribe"]["sessions"]
        self.lines.append(", ".join(f"{each.get('layer')} {(each.get('availableBitrate') or 0) // 1000} kb/s" for each in sessions))


def until(viewer: ChromiumViewer, paths: Paths, start: float, is_wanted, seconds: float) -> float:
    """Seconds from `start` to the first picture of that height after which no other came for a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = viewer.heights(start)
        last_other = max((at for at, height in seen if not is_wanted(height)), default=start)
        first = next((at for at, height in seen if at > last_other and is_wanted(height)), None)
        if first is not None and seen[-1][0] - first >= 1:
            return first - start
        paths.note()
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {sorted({height for _, height in seen})}")


@pytest.mark.parametrize("published", [three_sources, layers_in_one])
def test_a_viewer_falls_to_a_layer_that_fits_and_climbs_back_alone(edge, published):
    base = edge.url("edge-1")
    with edge.client("client-2"):
        publisher = Publisher(base, "live", published)
        other = ChromiumViewer(base, "live")
    with edge.client():
        viewer = ChromiumViewer(base, "live")
        paths = Paths(Coordinators([base]))
        try:
            for each in (viewer, other):
                eventually("the best layer", lambda each=each: {h for _, h in each.heights(each.now() - 2)} == {TOP}, 60, every=0.5)
            # By then the estimate has left its start behind.
            time.sleep(5)
            other_since = other.now()
            sound = viewer.statistics("audio")

            start = viewer.now()
            edge.network.limit_to("client", NARROW)
            down = until(viewer, paths, start, lambda height: height < TOP, 10)
            while viewer.now() - start < NARROW_SECONDS:
                paths.note()
                time.sleep(0.2)
            narrow = viewer.heights(start + 3)
            narrow_sound = viewer.statistics("audio")

            start = viewer.now()
            edge.network.limit_to("client", None)
            up = until(viewer, paths, start, lambda height: height == TOP, 15)
            others = {height for _, height in other.heights(other_since)}
        finally:
            print("", *paths.lines, sep="\n  ")
            for each in (viewer, other, publisher):
                each.close()
    pause = max(after - at for (at, _), (after, _) in zip(narrow, narrow[1:]))
    at_top = sum(height == TOP for _, height in narrow) / len(narrow)
    heard = narrow_sound["packetsReceived"] - sound["packetsReceived"]
    lost = narrow_sound["packetsLost"] - sound["packetsLost"]
    print(f"\ndown in {down:.2f} s, up in {up:.2f} s; on {NARROW / 1000:.0f} kb/s {len(narrow)} pictures of {sorted({h for _, h in narrow})}, "
          f"{100 * at_top:.0f} % of the best layer, longest pause {1000 * pause:.0f} ms, sound {heard} packets, {lost} lost; "
          f"the other viewer {others}")
    assert down <= 2
    assert up <= 10
    assert others == {TOP}
    assert at_top < 0.1
    assert lost <= 0.05 * heard


def test_sound_of_a_stream_without_layers_comes_through_where_its_pictures_cannot(edge, broadcast, tmp_path):
    encoder = publish(edge, broadcast, tmp_path, "live")
    try:
        with edge.client():
            viewer = ChromiumViewer(edge.url("edge-1"), "live")
            try:
                eventually("pictures", lambda: len(viewer.pictures()) > 30, 30, every=0.5)
                edge.network.limit_to("client", 1_000_000)
                # Resends and patience come first.
                time.sleep(10)
                before = viewer.statistics("audio")
                time.sleep(SOUND_SECONDS)
                after = viewer.statistics("audio")
                edge.network.limit_to("client", None)
                start = viewer.now()
                eventually("pictures again", lambda: len(viewer.heights(start)) > 60, 30, every=0.5)
            finally:
                viewer.close()
    finally:
        encoder.kill()
    heard, lost = (after[key] - before[key] for key in ("packetsReceived", "packetsLost"))
    print(f"\n2.5 Mb/s on 1 Mb/s for {SOUND_SECONDS} s: {heard} packets of sound, {lost} lost")
    assert heard >= 0.9 * SOUND_SECONDS * 50
    assert lost <= 0.1 * heard
