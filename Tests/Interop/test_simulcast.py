"""Chromium publishes three layers; viewers get the one they choose, and another one without a freeze."""

import re
import time

import pytest

from layered import LAYERS, publish_layered
from programs import eventually
from wire import call

# A player that keeps its connection where the test finds it; gives the session's address.
_PLAY = """
const [url, done] = arguments;
(async () => {
  const peer = window.player = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  for (const kind of ['video', 'audio']) peer.addTransceiver(kind, {direction: 'recvonly'});
  const video = document.body.appendChild(document.createElement('video'));
  [video.muted, video.autoplay, video.srcObject] = [true, true, new MediaStream()];
  peer.ontrack = ({track}) => video.srcObject.addTrack(track);
  await peer.setLocalDescription();
  const answer = await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: peer.localDescription.sdp});
  await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  done(new URL(answer.headers.get('Location'), url).href);
})().catch((error) => done(String(error)));
"""

_VIDEO = """
const [done] = arguments;
player.getStats().then((report) => {
  for (const stat of report.values()) if (stat.type === 'inbound-rtp' && stat.kind === 'video') return done(stat);
  done({});
});
"""


class BrowserViewer:
    """Chromium, whose decoder is given up on pictures whose numbers or timestamps jump."""

    def __init__(self, page, url: str):
        self._page = page
        page.open("/")
        self.session = page.driver.execute_async_script(_PLAY, url)

    @property
    def stats(self) -> dict:
        return self._page.driver.execute_async_script(_VIDEO)

    @property
    def size(self) -> tuple[int, int]:
        return (stats := self.stats).get("frameWidth"), stats.get("frameHeight")


def layer_url(viewer) -> str:
    return f"{viewer.session}/layer"


def choose(viewer, rid: str | None) -> None:
    body = f'{{"encodingId": "{rid}"}}' if rid else '{"encodingId": null}'
    assert call("POST", layer_url(viewer), body, {"Content-Type": "application/json"}).status == 200


def layers(viewer) -> list[dict]:
    answer = call("GET", layer_url(viewer))
    assert answer.status == 200, answer.body
    return answer.json


def publish_layers(browsers, cluster, stream: str, codec: str) -> str:
    page = browsers()
    page.open("/")
    return publish_layered(page.driver, f"{cluster.url}/whip/{stream}", codec)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_viewers_get_the_layer_they_choose_and_another_without_a_freeze(cluster, browsers, peers, name, codec):
    stream = name()
    publish_layers(browsers, cluster, stream, codec)
    viewers = {rid: peers.play(f"{cluster.url}/whep/{stream}") for rid in LAYERS}
    first = viewers["q"]
    eventually("three layers", lambda: [each["encodingId"] for each in layers(first) if each["active"]] == ["q", "h", "f"], 40, 0.5)
    for rid, viewer in viewers.items():
        choose(viewer, rid)
    for rid, viewer in viewers.items():
        eventually(f"{rid} at {LAYERS[rid]}", lambda: viewer.size == LAYERS[rid], 30)
        (current,) = [each for each in layers(viewer) if each["current"]]
        assert current["encodingId"] == rid and current["chosen"] and current["bitrate"] > 0
        assert (current["width"], current["height"]) == LAYERS[rid]

    time.sleep(1)
    first.longest_pause = 0
    for rid in ("f", "h", "q", "f"):
        choose(first, rid)
        eventually(f"switched to {rid}", lambda: first.size == LAYERS[rid], 30)
        eventually("a second of it", lambda before=first.frames: first.frames > before + 15, 10)
    assert first.longest_pause < 1.5, "a switch froze the picture"

    choose(first, None)
    assert not any(each["chosen"] for each in layers(first))
    record = cluster.stream(stream)
    (publisher,) = record["publish"]["sessions"]
    assert [each["rid"] for each in publisher["layers"]] == ["q", "h", "f"]
    assert call("POST", layer_url(first), '{"encodingId": "nothing"}', {"Content-Type": "application/json"}).status == 404

    assert call("DELETE", layer_url(first)).status == 200
    # What was on its way is still decoded.
    eventually("a second without a picture", lambda: time.monotonic() - first.last_frame_at > 1, 10)
    stopped = first.frames
    choose(first, "h")
    eventually("video again", lambda: first.frames > stopped + 15 and first.size == LAYERS["h"], 15)


def test_a_browser_plays_on_over_every_switch(cluster, browsers, name):
    stream = name()
    publish_layers(browsers, cluster, stream, "VP8")
    viewer = BrowserViewer(browsers(), f"{cluster.url}/whep/{stream}")
    eventually("three layers", lambda: sum(each["active"] for each in layers(viewer)) == 3, 40, 0.5)
    choose(viewer, "q")
    eventually("the lowest", lambda: viewer.size == LAYERS["q"], 15, 0.2)
    before = viewer.stats
    for rid in ("f", "q", "h", "f", "h", "q"):
        choose(viewer, rid)
        eventually(f"switched to {rid}", lambda: viewer.size == LAYERS[rid], 30, 0.1)
        frames = viewer.stats["framesDecoded"]
        eventually("a second of it", lambda: viewer.stats["framesDecoded"] > frames + 20, 10, 0.1)
    after = viewer.stats
    assert after["packetsLost"] == before["packetsLost"]
    assert after["freezeCount"] - before["freezeCount"] <= 1, after
    assert after["pliCount"] == before["pliCount"], "the decoder had to ask for a keyframe"


def test_a_recording_and_another_node_get_the_best_layer(cluster, browsers, peers, name):
    stream = name()
    publish_layers(browsers, cluster, stream, "H264")
    here = cluster.node_of(stream)
    (there,) = [edge for edge in cluster.edges if edge is not here]
    assert call("POST", f"{here.url}/api/record/{stream}").status in (200, 201)
    source = f'{{"sourceUrl": "{here.url}/whep/{stream}"}}'
    assert call("POST", f"{there.url}/api/cascade/{stream}", source, {"Content-Type": "application/json"}).status == 200
    viewer = peers.play(f"{there.url}/whep/{stream}")
    eventually("the best layer on another node", lambda: viewer.size == LAYERS["f"], 60)

    def widths() -> list[str]:
        answer = call("GET", f"{here.url}/api/playback/{stream}/manifest.mpd")
        return re.findall(r'<Representation[^>]* width="(\d+)"', answer.text) if answer.status == 200 else []

    eventually("the best layer in the recording", lambda: widths()[-1:] == ["960"], 30, 0.5)
    assert len(widths()) <= 3, "a layer is only left for a better one that stays"
    assert call("DELETE", f"{here.url}/api/record/{stream}").status in (200, 204)
