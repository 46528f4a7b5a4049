"""Chromium publishes three layers; viewers get the one they choose, and another one without a freeze."""

import time

import pytest

from programs import eventually
from wire import call

LAYERS = {"q": (240, 136), "h": (480, 272), "f": (960, 544)}

# A moving picture in three sizes and the fake microphone, sent with WHIP by the page itself.
_PUBLISH = """
const [url, mime, done] = arguments;
(async () => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [960, 544];
  const pen = canvas.getContext('2d');
  let count = 0;
  setInterval(() => {
    pen.fillStyle = `hsl(${count++ % 360} 60% 50%)`;
    pen.fillRect(0, 0, 960, 544);
    for (let each = 0; each < 40; each++) {
      pen.fillStyle = `hsl(${each * 9} 80% 60%)`;
      pen.fillRect((count * (each % 7 + 1) * 3 + each * 50) % 960, each * 13, 60, 40);
    }
  }, 33);
  const peer = window.publisher = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const transceiver = peer.addTransceiver(canvas.captureStream(30).getVideoTracks()[0], {
    direction: 'sendonly',
    sendEncodings: [
      {rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150000},
      {rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 400000},
      {rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1200000},
    ],
  });
  transceiver.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter(
    (codec) => codec.mimeType === mime || codec.mimeType === 'video/rtx'));
  const sound = await navigator.mediaDevices.getUserMedia({audio: true});
  peer.addTransceiver(sound.getAudioTracks()[0], {direction: 'sendonly'});
  await peer.setLocalDescription();
  const answer = await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: peer.localDescription.sdp});
  const sdp = await answer.text();
  if (answer.status !== 201) return done(`${answer.status} ${sdp}`);
  await peer.setRemoteDescription({type: 'answer', sdp});
  done(sdp);
})().catch((error) => done(String(error)));
"""

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
    sdp = page.driver.execute_async_script(_PUBLISH, f"{cluster.url}/whip/{stream}", f"video/{codec}")
    assert "a=simulcast:recv q;h;f" in sdp, sdp
    return sdp


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
        eventually(f"{rid} at {LAYERS[rid]}", lambda: viewer.size == LAYERS[rid], 15)
        (current,) = [each for each in layers(viewer) if each["current"]]
        assert current["encodingId"] == rid and current["chosen"] and current["bitrate"] > 0
        assert (current["width"], current["height"]) == LAYERS[rid]

    time.sleep(1)
    first.longest_pause = 0
    for rid in ("f", "h", "q", "f"):
        choose(first, rid)
        eventually(f"switched to {rid}", lambda: first.size == LAYERS[rid], 15)
        eventually("a second of it", lambda before=first.frames: first.frames > before + 15, 10)
    assert first.longest_pause < 1.5, "a switch froze the picture"

    choose(first, None)
    assert not any(each["chosen"] for each in layers(first))
    record = cluster.stream(stream)
    (publisher,) = record["publish"]["sessions"]
    assert [each["rid"] for each in publisher["layers"]] == ["q", "h", "f"]
    assert call("POST", layer_url(first), '{"encodingId": "nothing"}', {"Content-Type": "application/json"}).status == 404

    assert call("DELETE", layer_url(first)).status == 200
    time.sleep(0.5)
    stopped = first.frames
    time.sleep(1)
    assert first.frames <= stopped + 2, "video goes on though it was turned off"
    choose(first, "h")
    eventually("video again", lambda: first.frames > stopped + 15 and first.size == LAYERS["h"], 15)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_browser_plays_on_over_every_switch(cluster, browsers, name, codec):
    stream = name()
    publish_layers(browsers, cluster, stream, codec)
    viewer = BrowserViewer(browsers(), f"{cluster.url}/whep/{stream}")
    eventually("three layers", lambda: sum(each["active"] for each in layers(viewer)) == 3, 40, 0.5)
    choose(viewer, "q")
    eventually("the lowest", lambda: viewer.size == LAYERS["q"], 15, 0.2)
    before = viewer.stats
    for rid in ("f", "q", "h", "f", "h", "q"):
        choose(viewer, rid)
        eventually(f"switched to {rid}", lambda: viewer.size == LAYERS[rid], 15, 0.1)
        frames = viewer.stats["framesDecoded"]
        eventually("a second of it", lambda: viewer.stats["framesDecoded"] > frames + 20, 10, 0.1)
    after = viewer.stats
    assert after["packetsLost"] == before["packetsLost"]
    assert after["freezeCount"] - before["freezeCount"] <= 1, after
    assert after["pliCount"] == before["pliCount"], "the decoder had to ask for a keyframe"
