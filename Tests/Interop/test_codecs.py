"""Other codecs than H.264: Chromium publishes VP9 and AV1, aiortc VP8; who watches gets the stream's codec, and the recording plays."""

import pytest

import inspection
import sources
from browser import PLAYER
from programs import eventually
from wire import call

# A publisher of its own: the page's always prefers H.264.
PUBLISH = """
const [url, mimeType, done] = arguments;
(async () => {
  const media = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 360, frameRate: 30}, audio: true});
  const peer = window.peer = new RTCPeerConnection();
  for (const track of media.getTracks()) {
    const transceiver = peer.addTransceiver(track, {direction: "sendonly", streams: [media]});
    if (track.kind !== "video") continue;
    const codecs = RTCRtpSender.getCapabilities("video").codecs;
    const wanted = codecs.filter((codec) => codec.mimeType === mimeType);
    transceiver.setCodecPreferences([...wanted, ...codecs.filter((codec) => codec.mimeType !== mimeType)]);
  }
  await peer.setLocalDescription();
  const answer = await fetch(url, {method: "POST", headers: {"Content-Type": "application/sdp"}, body: peer.localDescription.sdp});
  if (answer.status !== 201) return done(`${answer.status} ${await answer.text()}`);
  window.session = new URL(answer.headers.get("Location"), url).href;
  await peer.setRemoteDescription({type: "answer", sdp: await answer.text()});
  done("");
})().catch((error) => done(String(error)));
"""
SENT = """
const done = arguments[0];
window.peer.getStats().then((report) => {
  for (const stat of report.values()) {
    if (stat.type === "outbound-rtp" && stat.kind === "video") return done({codec: report.get(stat.codecId)?.mimeType, frames: stat.framesEncoded ?? 0});
  }
  done({});
});
"""


def sent(page) -> dict:
    return page.driver.execute_async_script(SENT)


@pytest.mark.parametrize(("mime", "codec", "prefix"), [("video/VP9", "vp9", "vp09."), ("video/AV1", "av1", "av01.")])
def test_chromium_publishes_and_the_recording_plays(cluster, browsers, name, mime, codec, prefix):
    stream = name("rec")
    page, viewer = browsers(), browsers()
    page.open("/")
    assert page.driver.execute_async_script(PUBLISH, f"{cluster.url}/whip/{stream}", mime) == ""
    eventually("frames are sent", lambda: sent(page).get("frames", 0) > 30, 30)
    assert sent(page)["codec"] == mime
    viewer.watch(stream, frames=30)
    assert viewer.stats(PLAYER, "inbound-rtp")["video"]["codec"] == mime
    eventually("eight seconds", lambda: sent(page)["frames"] > 8 * sources.FPS, 60)
    assert call("DELETE", page.script("return window.session")).status in (200, 204)
    page.script("window.peer.close()")
    row = cluster.finished_recording(stream)
    manifest = f"{cluster.url}/api/record/object/{row['mpd_path']}"
    assert f'codecs="{prefix}' in call("GET", manifest).text
    playlist = f"{cluster.url}/api/playback/{stream}/index.m3u8"
    # While it finds out what the line carries, the sender changes its size; ffmpeg reads one Period of a DASH manifest only.
    found = inspection.streams(playlist)
    assert found["video"]["codec_name"] == codec and found["audio"]["codec_name"] == "opus"
    video = inspection.packets(playlist, "v")
    assert len(video) > 6 * sources.FPS
    if call("GET", manifest).text.count("<Period") == 1:
        assert inspection.decode_errors(manifest) == ""
    viewer.open(f"/recordings/{stream}?from={row['start']}&to={row['end']}")
    viewer.until_state(PLAYER, "playing", "error", seconds=30)
    viewer.script("document.querySelector('video').playbackRate = 4")
    viewer.until("the end", f"document.querySelector('{PLAYER}').dataset.state === 'ended'", 40)
    shown = viewer.script("return document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames")
    assert abs(shown - len(video)) <= 2, (shown, len(video))


def test_aiortc_publishes_vp8_and_viewers_get_it(cluster, browsers, peers, name):
    stream = name()
    peers.publish(f"{cluster.url}/whip/{stream}", video="VP8")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    eventually("pictures and sound", lambda: viewer.frames >= 60 and viewer.samples >= 96_000, 30)
    page = browsers()
    page.watch(stream, frames=30)
    assert page.stats(PLAYER, "inbound-rtp")["video"]["codec"] == "video/VP8"
