"""Chromium publishes spatial and temporal layers within one source; a viewer that chooses one decodes that, and goes back up."""

import time

import pytest

from layered import publish_scalable
from programs import eventually
from test_simulcast import BrowserViewer, choose, layer_url, layers
from wire import call


def frames_per_second(viewer, seconds: float = 3) -> float:
    before, began = viewer.stats["framesDecoded"], time.monotonic()
    time.sleep(seconds)
    return (viewer.stats["framesDecoded"] - before) / (time.monotonic() - began)


def active(viewer) -> int:
    """How many layers come; that there are any shows in the media only."""
    answer = call("GET", layer_url(viewer))
    return sum(each["active"] for each in answer.json) if answer.status == 200 else 0


def start(cluster, browsers, stream: str, codec: str, mode: str, count: int) -> BrowserViewer:
    page = browsers()
    page.open("/")
    publish_scalable(page.driver, f"{cluster.url}/whip/{stream}", codec, mode, 900_000)
    viewer = BrowserViewer(browsers(), f"{cluster.url}/whep/{stream}")
    eventually(f"{count} layers", lambda: active(viewer) == count, 40, 0.5)
    return viewer


def check_steady(before: dict, after: dict) -> None:
    assert after["packetsLost"] == before["packetsLost"]
    assert after["pliCount"] == before["pliCount"], "the decoder had to ask for a keyframe"


@pytest.mark.parametrize("mode", ["L3T3_KEY", pytest.param("L3T3", marks=pytest.mark.slow)])
def test_a_viewer_of_vp9_gets_the_size_and_the_frame_rate_it_chooses(cluster, browsers, name, mode):
    viewer = start(cluster, browsers, name(), "VP9", mode, 9)
    eventually("the largest picture", lambda: viewer.size == (960, 544), 20)
    before = viewer.stats
    for layer, size in (("S0T2", (240, 136)), ("S2T2", (960, 544)), ("S1T2", (480, 272))):
        choose(viewer, layer)
        eventually(f"{layer} at {size}", lambda: viewer.size == size, 20, 0.1)
        (current,) = [each for each in layers(viewer) if each["current"]]
        assert current["encodingId"] == layer and current["chosen"] and (current["width"], current["height"]) == size
        eventually("a second of it", lambda decoded=viewer.stats["framesDecoded"]: viewer.stats["framesDecoded"] > decoded + 15, 10)
    full = frames_per_second(viewer)
    choose(viewer, "S1T0")
    eventually("fewer pictures", lambda: frames_per_second(viewer, 1) < full / 2, 20)
    assert viewer.size == (480, 272)
    check_steady(before, viewer.stats)


def test_a_viewer_of_av1_gets_the_frame_rate_it_chooses(cluster, browsers, name):
    viewer = start(cluster, browsers, name(), "AV1", "L1T3", 3)
    before = viewer.stats
    full = frames_per_second(viewer)
    for layer, share in (("S0T0", 0.4), ("S0T1", 0.7), ("S0T2", None), ("S0T0", 0.4)):
        choose(viewer, layer)
        if share:
            eventually(f"{layer} of {full} a second", lambda: frames_per_second(viewer, 2) < full * share, 20)
        else:
            eventually(f"{layer}, all {full}", lambda: frames_per_second(viewer, 2) > full * 0.75, 20)
    check_steady(before, viewer.stats)
