"""Other codecs than plain H.264: what Chromium and aiortc publish, whoever watches gets, and the recording plays."""

import io

import av
import pytest

import encoders
import inspection
import sources
import stored
from browser import PLAYER
from programs import eventually
from test_recordings import object_url, play_to_end
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


def folder_of(cluster, row: dict):
    return cluster.edge(row["node_alias"]).storage / row["mpd_path"].rsplit("/", 1)[0]


def check(cluster, row: dict) -> tuple[set[str], int]:
    """Everything stored is whole and can be decoded; the names of the video codecs and the number of pictures."""
    folder = folder_of(cluster, row)
    manifest = stored.check_closed(folder)
    stored.check_plays(folder, manifest, decode=True)
    codecs, pictures = set(), 0
    for track in (track for period in manifest.periods for track in period.tracks if track.kind == "video"):
        with av.open(io.BytesIO(track.bytes(folder))) as container:
            codecs.add(container.streams.video[0].codec_context.name)
            pictures += sum(1 for packet in container.demux() if packet.size)
    return codecs, pictures


def check_refused(cluster, stream: str, row: dict) -> None:
    """VP8 has no place in HLS and MP4, and the answers say so in words."""
    base = f"{cluster.url}/api/playback/{stream}"
    for path in ("index.m3u8", "video.m3u8", f"export.mp4?start={row['start']}&end={row['end']}"):
        answer = call("GET", f"{base}/{path}")
        assert answer.status == 409 and "VP8" in answer.json["error"], (path, answer.status, answer.text)


@pytest.mark.parametrize(("mime", "codec", "prefix"), [("video/VP8", "vp8", "vp8"), ("video/VP9", "vp9", "vp09."), ("video/AV1", "av1", "av01.")])
def test_chromium_publishes_and_the_recording_plays(cluster, browsers, name, mime, codec, prefix):
    stream = name("rec")
    page, viewer = browsers(), browsers()
    page.open("/")
    assert page.driver.execute_async_script(PUBLISH, f"{cluster.url}/whip/{stream}", mime) == ""
    eventually("frames are sent", lambda: sent(page).get("frames", 0) > 30, 30)
    assert sent(page)["codec"] == mime
    viewer.watch(stream, frames=30)
    assert viewer.stats(PLAYER, "inbound-rtp")["video"]["codec"] == mime
    eventually("five seconds", lambda: sent(page)["frames"] > 5 * sources.FPS, 60)
    assert call("DELETE", page.script("return window.session")).status in (200, 204)
    page.script("window.peer.close()")
    row = cluster.finished_recording(stream)
    manifest = call("GET", object_url(cluster, row["mpd_path"])).text
    assert f'codecs="{prefix}' in manifest and f'mimeType="video/{"webm" if codec == "vp8" else "mp4"}"' in manifest
    codecs, pictures = check(cluster, row)
    assert codecs <= {codec, f"lib{codec}", "libdav1d", "libvpx", "libvpx-vp9"} and pictures > 4 * sources.FPS
    if codec == "vp8":
        check_refused(cluster, stream, row)
    else:
        playlist = f"{cluster.url}/api/playback/{stream}/index.m3u8"
        found = inspection.streams(playlist)
        assert found["video"]["codec_name"] == codec and found["audio"]["codec_name"] == "opus"
        assert len(inspection.packets(playlist, "v")) == pictures
    viewer.open(f"/recordings/{stream}?from={row['start']}&to={row['end']}")
    play_to_end(viewer, pictures)


@pytest.mark.parametrize(("video", "codec", "prefix"), [("H264", "h264", "avc1."), ("H265", "hevc", "hvc1.")])
def test_pictures_out_of_order_keep_their_times(cluster, peers, browsers, name, monkeypatch, video, codec, prefix):
    """B-frames, through RTP, into CMAF with composition offsets."""
    encoders.install(monkeypatch, b_frames=2)
    stream = name("rec")
    publisher = peers.publish(f"{cluster.url}/whip/{stream}", video=video)
    eventually("a finished segment", lambda: [file for edge in cluster.edges for file in edge.storage.glob(f"{stream}/*/*/*/seg_0001.m4s")], 60)
    publisher.hang_up()
    row = cluster.finished_recording(stream)
    manifest = object_url(cluster, row["mpd_path"])
    assert f'codecs="{prefix}' in call("GET", manifest).text
    codecs, pictures = check(cluster, row)
    assert codecs == {codec} and pictures > 3.5 * sources.FPS
    times = inspection.packets(manifest, "v")
    assert len(times) == pictures and inspection.largest_step(times) < 1.5 / sources.FPS
    assert inspection.decode_errors(manifest) == ""
    page = browsers()
    page.open(f"/recordings/{stream}?from={row['start']}&to={row['end']}")
    if page.script(f"return MediaSource.isTypeSupported('video/mp4; codecs=\"{track_codecs(cluster, row)}\"')"):
        play_to_end(page, pictures)
    else:
        # What this browser cannot decode it says, and plays the sound.
        assert codec == "hevc"


def test_a_stream_changes_its_codec(cluster, peers, browsers, name):
    """One recording goes from WebM to CMAF and back; DASH plays all of it, HLS what it can carry."""
    stream = name("rec")
    for video in ("VP8", "H264", "VP8"):
        publisher = peers.publish(f"{cluster.url}/api/whip/edge-a/{stream}", video=video)
        viewer = peers.play(f"{cluster.url}/api/whep/edge-a/{stream}")
        eventually("pictures", lambda: viewer.frames >= 3 * sources.FPS, 30)
        viewer.hang_up()
        publisher.hang_up()
    row = cluster.finished_recording(stream)
    codecs, pictures = check(cluster, row)
    assert codecs == {"vp8", "h264"} and pictures > 8 * sources.FPS
    text = call("GET", object_url(cluster, row["mpd_path"])).text
    assert text.count("<Period") == 3 and text.count("video/webm") == 2
    playlist = f"{cluster.url}/api/playback/{stream}/video.m3u8"
    assert ".webm" not in call("GET", playlist).text and inspection.streams(playlist)["video"]["codec_name"] == "h264"
    page = browsers()
    page.open(f"/recordings/{stream}?from={row['start']}&to={row['end']}")
    play_to_end(page, pictures)


def track_codecs(cluster, row: dict) -> str:
    return next(track["codecs"] for track in call("GET", f"{cluster.url}/api/recordings/{row['id']}").json["tracks"] if track["kind"] == "video")


def test_aiortc_publishes_vp8_and_viewers_get_it(cluster, browsers, peers, name):
    stream = name()
    peers.publish(f"{cluster.url}/whip/{stream}", video="VP8")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    eventually("pictures and sound", lambda: viewer.frames >= 60 and viewer.samples >= 96_000, 30)
    page = browsers()
    page.watch(stream, frames=30)
    assert page.stats(PLAYER, "inbound-rtp")["video"]["codec"] == "video/VP8"
