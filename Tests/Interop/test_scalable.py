"""Chromium publishes spatial and temporal layers within one source; a viewer that chooses one decodes that, and goes back up."""

import time

import pytest

from browser import Browser
from layered import publish_scalable
from programs import eventually
from test_simulcast import BrowserViewer, choose, layer_url, layers
from wire import call


_SENT = """
const [done] = arguments;
publisher.getStats().then((report) => {
  for (const stat of report.values()) if (stat.type === 'outbound-rtp' && stat.kind === 'video') return done(stat.framesSent);
  done(0);
});
"""


def share(publisher, viewer, seconds: float = 2) -> float:
    """How many of the pictures sent meanwhile came to the viewer; how many are sent is the machine's affair."""
    def count() -> tuple[int, int]:
        return publisher.driver.execute_async_script(_SENT), viewer.stats["framesReceived"]

    before = count()
    time.sleep(seconds)
    sent, received = (after - earlier for earlier, after in zip(before, count()))
    return received / max(sent, 1)


def active(viewer) -> int:
    """How many layers come; that there are any shows in the media only."""
    answer = call("GET", layer_url(viewer))
    return sum(each["active"] for each in answer.json) if answer.status == 200 else 0


def start(cluster, browsers, stream: str, codec: str, mode: str, count: int) -> tuple[Browser, BrowserViewer]:
    page = browsers()
    page.open("/")
    publish_scalable(page.driver, f"{cluster.url}/whip/{stream}", codec, mode, 900_000)
    viewer = BrowserViewer(browsers(), f"{cluster.url}/whep/{stream}")
    eventually(f"{count} layers", lambda: active(viewer) == count, 40, 0.5)
    return page, viewer


def check_steady(before: dict, after: dict) -> None:
    assert after["packetsLost"] == before["packetsLost"]
    assert after["pliCount"] == before["pliCount"], "the decoder had to ask for a keyframe"


@pytest.mark.parametrize("mode", ["L3T3_KEY", pytest.param("L3T3", marks=pytest.mark.slow)])
def test_a_viewer_of_vp9_gets_the_size_and_the_frame_rate_it_chooses(cluster, browsers, name, mode):
    publisher, viewer = start(cluster, browsers, name(), "VP9", mode, 9)
    eventually("the largest picture", lambda: viewer.size == (960, 544), 20)
    before = viewer.stats
    for layer, size in (("S0T2", (240, 136)), ("S2T2", (960, 544)), ("S1T2", (480, 272))):
        choose(viewer, layer)
        eventually(f"{layer} at {size}", lambda: viewer.size == size, 20, 0.1)
        (current,) = [each for each in layers(viewer) if each["current"]]
        assert current["encodingId"] == layer and current["chosen"] and (current["width"], current["height"]) == size
        eventually("a second of it", lambda decoded=viewer.stats["framesDecoded"]: viewer.stats["framesDecoded"] > decoded + 15, 10)
    choose(viewer, "S1T0")
    eventually("fewer pictures", lambda: share(publisher, viewer) < 0.5, 20)
    assert viewer.size == (480, 272)
    check_steady(before, viewer.stats)


def test_a_viewer_of_av1_gets_the_frame_rate_it_chooses(cluster, browsers, name):
    publisher, viewer = start(cluster, browsers, name(), "AV1", "L1T3", 3)
    before = viewer.stats
    for layer, low, high in (("S0T0", 0.1, 0.4), ("S0T1", 0.4, 0.7), ("S0T2", 0.8, 1.2), ("S0T0", 0.1, 0.4)):
        choose(viewer, layer)
        eventually(f"{layer} between {low} and {high} of the pictures", lambda: low < share(publisher, viewer) < high, 20)
    check_steady(before, viewer.stats)
