"""Other codecs than plain H.264: what Chromium and aiortc publish, whoever watches gets, and the recording plays."""

import io
from urllib.parse import quote

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
  const media = await navigator.mediaDevices.getUserMedia({video: {width: 320, height: 180, frameRate: 30}, audio: true});
  const peer = new RTCPeerConnection();
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
  await peer.setRemoteDescription({type: "answer", sdp: await answer.text()});
  (window.sending ??= {})[mimeType] = {peer, session: new URL(answer.headers.get("Location"), url).href};
  done("");
})().catch((error) => done(String(error)));
"""
SENT = """
const [mimeType, done] = arguments;
window.sending[mimeType].peer.getStats().then((report) => {
  for (const stat of report.values()) {
    if (stat.type === "outbound-rtp" && stat.kind === "video") return done({codec: report.get(stat.codecId)?.mimeType, frames: stat.framesEncoded ?? 0});
  }
  done({});
});
"""
CHROMIUM = {"video/VP8": ("vp8", "vp8"), "video/VP9": ("vp9", "vp09."), "video/AV1": ("av1", "av01.")}


def sent(page, mime: str) -> dict:
    return page.driver.execute_async_script(SENT, mime)


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


def test_chromium_publishes_and_the_recordings_play(cluster, browsers, name):
    streams = {mime: name("rec") for mime in CHROMIUM}
    page, viewer = browsers(), browsers()
    page.open("/")
    for mime, stream in streams.items():
        assert page.driver.execute_async_script(PUBLISH, f"{cluster.url}/whip/{stream}", mime) == "", mime
    for mime, stream in streams.items():
        eventually("frames are sent", lambda: sent(page, mime).get("frames", 0) > 30, 30)
        assert sent(page, mime)["codec"] == mime
        viewer.watch(stream, frames=30)
        assert viewer.stats(PLAYER, "inbound-rtp")["video"]["codec"] == mime
    viewer.open("/")
    for mime in streams:
        eventually("five seconds", lambda: sent(page, mime)["frames"] > 5 * sources.FPS, 60)
        assert call("DELETE", page.script("return window.sending[arguments[0]].session", mime)).status in (200, 204)
        page.script("window.sending[arguments[0]].peer.close()", mime)
    for mime, stream in streams.items():
        check_chromium(cluster, viewer, stream, *CHROMIUM[mime])


def check_chromium(cluster, viewer, stream: str, codec: str, prefix: str) -> None:
    row = cluster.finished_recording(stream)
    manifest = call("GET", object_url(cluster, row["mpd_path"])).text
    assert f'codecs="{prefix}' in manifest and f'mimeType="video/{"webm" if codec == "vp8" else "mp4"}"' in manifest
    codecs, pictures = check(cluster, row)
    assert len(codecs) == 1 and pictures > 4 * sources.FPS, codecs
    if codec == "vp8":
        check_refused(cluster, stream, row)
    else:
        playlist = f"{cluster.url}/api/playback/{stream}/index.m3u8"
        found = inspection.streams(playlist)
        assert found["video"]["codec_name"] == codec and found["audio"]["codec_name"] == "opus"
        assert len(inspection.packets(playlist, "v")) == pictures
        check_clip(cluster, stream, row, pictures)
    viewer.open(f"/recordings/{stream}?from={row['start']}&to={row['end']}")
    play_to_end(viewer, pictures, rate=3)


def check_clip(cluster, stream: str, row: dict, pictures: int) -> None:
    """All of a recording as one MP4 file, when it is of one format; every picture is in it and can be decoded."""
    clip = call("GET", f"{cluster.url}/api/playback/{stream}/export.mp4?start={quote(row['start'])}&end={quote(row['end'])}")
    if clip.status == 409:
        assert stored.manifest(folder_of(cluster, row) / "manifest.mpd").periods[1:], clip.text
        return
    assert clip.status == 200, clip.text
    with av.open(io.BytesIO(clip.body)) as container:
        frames = [frame.pts for frame in container.decode(video=0)]
    # The last ones may refer to what was never sent.
    frames = frames[:-4]
    assert pictures - 6 <= len(frames) <= pictures and all(before < after for before, after in zip(frames, frames[1:])), (frames, pictures)


def test_pictures_out_of_order_keep_their_times(cluster, peers, browsers, name, monkeypatch, tmp_path):
    """B-frames of H.264 and H.265, through RTP, into CMAF with composition offsets."""
    encoders.install(monkeypatch, b_frames=2)
    streams = {video: name("rec") for video in ("H264", "H265")}
    publishers = [peers.publish(f"{cluster.url}/whip/{stream}", video=video) for video, stream in streams.items()]
    for stream in streams.values():
        eventually("a finished segment", lambda: [file for edge in cluster.edges for file in edge.storage.glob(f"{stream}/*/*/*/seg_0001.m4s")], 60)
    for publisher in publishers:
        publisher.hang_up()
    page = browsers()
    for video, stream in streams.items():
        row = cluster.finished_recording(stream)
        prefix = "avc1." if video == "H264" else "hvc1."
        assert f'codecs="{prefix}' in call("GET", object_url(cluster, row["mpd_path"])).text
        codecs, pictures = check(cluster, row)
        assert codecs == {"h264" if video == "H264" else "hevc"} and pictures > 3.5 * sources.FPS
        # The encoder was not emptied, so of the last pictures some that others lie between were never sent: only the first segment is whole.
        segment = tmp_path / f"{video}.mp4"
        segment.write_bytes(b"".join((folder_of(cluster, row) / file).read_bytes() for file in ("init.m4s", "seg_0001.m4s")))
        times = inspection.packets(str(segment), "v")
        assert len(times) > 3.5 * sources.FPS and 0 < inspection.largest_step(times) < 2 / sources.FPS
        assert min(after - before for before, after in zip(times, times[1:])) > 0.5 / sources.FPS
        assert inspection.decode_errors(str(segment)) == ""
        check_clip(cluster, stream, row, pictures)
        if video == "H264":
            page.open(f"/recordings/{stream}?from={row['start']}&to={row['end']}")
            play_to_end(page, pictures, rate=3)


@pytest.mark.parametrize(("sound", "codec", "layout", "codecs"), [
    ("MPEG4-GENERIC", "aac", "stereo", "mp4a.40.2"), ("multiopus", "opus", "5.1", "opus")])
def test_sound_of_other_kinds_is_recorded_as_it_comes(cluster, peers, browsers, name, monkeypatch, sound, codec, layout, codecs):
    """AAC and 5.1 Opus, which viewers that don't know them see without sound. Where the recording has none, silence of the same kind stands."""
    encoders.install_sound(monkeypatch)
    stream, page = name("rec"), browsers()
    for kind, seconds in ((sound, 4), (None, 2)):
        publisher = peers.publish(f"{cluster.url}/api/whip/edge-a/{stream}", sound=kind)
        page.watch(stream, frames=seconds * sources.FPS, has_sound=False)
        publisher.hang_up()
    row = cluster.finished_recording(stream)
    check(cluster, row)
    assert f'codecs="{codecs}"' in call("GET", object_url(cluster, row["mpd_path"])).text
    base = f"{cluster.url}/api/playback/{stream}"
    found = inspection.streams(f"{base}/index.m3u8")["audio"]
    assert (found["codec_name"], found["channel_layout"], found["sample_rate"]) == (codec, layout, "48000")
    playlist = call("GET", f"{base}/audio.m3u8").text
    assert f"silence.m4s?codecs={codecs}&rate=48000&channels={found['channels']}&" in playlist and "EXT-X-GAP" not in playlist, playlist
    assert inspection.decode_errors(f"{base}/audio.m3u8") == ""


def test_a_stream_changes_its_codec(cluster, peers, browsers, name):
    """One recording goes from WebM to CMAF and back; DASH plays all of it, HLS what it can carry."""
    stream = name("rec")
    for video in ("VP8", "H264", "VP8"):
        publisher = peers.publish(f"{cluster.url}/api/whip/edge-a/{stream}", video=video)
        viewer = peers.play(f"{cluster.url}/api/whep/edge-a/{stream}")
        eventually("pictures", lambda: viewer.frames >= 2 * sources.FPS, 30)
        viewer.hang_up()
        publisher.hang_up()
    row = cluster.finished_recording(stream)
    codecs, pictures = check(cluster, row)
    assert codecs == {"vp8", "h264"} and pictures > 5 * sources.FPS
    text = call("GET", object_url(cluster, row["mpd_path"])).text
    assert text.count("<Period") == 3 and text.count("video/webm") == 2
    playlist = f"{cluster.url}/api/playback/{stream}/video.m3u8"
    assert ".webm" not in call("GET", playlist).text and inspection.streams(playlist)["video"]["codec_name"] == "h264"
    page = browsers()
    page.open(f"/recordings/{stream}?from={row['start']}&to={row['end']}")
    play_to_end(page, pictures, rate=3)


def test_aiortc_publishes_vp8_and_viewers_get_it(cluster, browsers, peers, name):
    stream = name()
    peers.publish(f"{cluster.url}/whip/{stream}", video="VP8")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    eventually("pictures and sound", lambda: viewer.frames >= 60 and viewer.samples >= 96_000, 30)
    page = browsers()
    page.watch(stream, frames=30)
    assert page.stats(PLAYER, "inbound-rtp")["video"]["codec"] == "video/VP8"
