"""Recordings: whole, in sync, listed by day, and played to the end by the page's own player."""

import re
import time

import pytest

import inspection
import sources
import stored
from browser import PLAYER
from programs import eventually
from wire import call


@pytest.fixture(scope="module")
def recorded(cluster, module_peers):
    """A finished recording that nobody adds to: its stream and its row."""
    return record(cluster, module_peers, "rec-of-module")


def record(cluster, peers, stream: str) -> tuple[str, dict]:
    """Records about eight seconds, published by aiortc."""
    publisher = peers.publish(f"{cluster.url}/whip/{stream}")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    watched(viewer, 8)
    viewer.hang_up()
    publisher.hang_up()
    return stream, cluster.finished_recording(stream)


def watched(viewer, seconds: float) -> None:
    """The viewer has decoded this much; a failure says how far it came."""
    began = viewer.frames
    for _ in range(int(seconds)):
        before = viewer.frames
        eventually(f"a second more than {before - began} frames ({viewer.state}, {viewer.samples} samples)", lambda: viewer.frames >= before + sources.FPS, 15)


def object_url(cluster, path: str) -> str:
    return f"{cluster.url}/api/record/object/{path}"


def test_recording_is_listed_and_laid_out(cluster, recorded):
    stream, row = recorded
    assert re.fullmatch(rf"{re.escape(stream)}/\d{{4}}/\d\d/\d\d/manifest\.mpd", row["mpd_path"])
    assert row["mpd_path"].split("/")[1:4] == [f"{row['year']:04}", f"{row['month']:02}", f"{row['day']:02}"]
    assert row["node_alias"] == cluster.node_of(stream).alias
    assert row["duration"] >= 6, row
    assert stream in [each if isinstance(each, str) else each["stream"] for each in cluster.get("/api/playback")]
    folder = cluster.edge(row["node_alias"]).storage / row["mpd_path"].rsplit("/", 1)[0]
    names = {file.name for file in folder.iterdir()}
    assert {"manifest.mpd", "init.m4s", "audio_init.m4s", "seg_0001.m4s", "audio_seg_0001.m4s"} <= names
    assert not [each for each in names if "tmp" in each]


def held(video: list[float], audio: list[float]) -> float:
    """How long these packets last: sound may go on after the last picture, and the last packet of either lasts a while."""
    return max(video[-1] + 1 / sources.FPS, audio[-1] + 0.02) - min(video[0], audio[0])


def test_recording_is_whole(cluster, recorded):
    _, row = recorded
    url = object_url(cluster, row["mpd_path"])
    assert 'type="static"' in call("GET", url).text
    video, audio = inspection.packets(url, "v"), inspection.packets(url, "a")
    assert len(video) > 6 * sources.FPS and len(audio) > 6 * 50
    assert abs(row["duration"] - held(video, audio)) < 0.2, (row, video[-1], audio[-1])
    assert inspection.largest_step(video) <= 2 / sources.FPS + 0.005
    assert inspection.largest_step(audio) <= 0.041
    # Flash against beep is measured with FFmpeg as the source: aiortc's sender reports carry the delay of its own encoder.
    assert abs(video[0] - audio[0]) <= 0.040
    assert inspection.decode_errors(url) == ""


def test_page_plays_the_recording_to_the_end(cluster, recorded, browsers):
    stream, row = recorded
    frames = len(inspection.packets(object_url(cluster, row["mpd_path"]), "v"))
    page = browsers()
    page.open(f"/recordings/{stream}")
    page.until("the day", "document.querySelector('tr[data-path] button')")
    assert page.script("return document.querySelector('tr[data-path]').dataset.node") == row["node_alias"]
    page.script("document.querySelector('tr[data-path] button').click()")
    play_to_end(page, frames)


def test_page_plays_the_stitched_timeline_to_the_end(cluster, recorded, browsers):
    stream, row = recorded
    manifest = call("GET", f"{cluster.url}/api/playback/{stream}/manifest.mpd")
    assert manifest.status == 200 and manifest.headers["Content-Type"].startswith("application/dash+xml")
    page = browsers()
    page.open(f"/recordings/{stream}?from={row['start']}&to={row['end']}")
    play_to_end(page, len(inspection.packets(object_url(cluster, row["mpd_path"]), "v")))


def test_second_recording_of_the_day_adds_to_it(cluster, peers, browsers, name):
    stream, row = record(cluster, peers, name("rec"))
    edge = cluster.edge(row["node_alias"])
    folder = edge.storage / row["mpd_path"].rsplit("/", 1)[0]
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix == ".m4s"}
    publisher = peers.publish(f"{cluster.url}/api/whip/{edge.alias}/{stream}")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    watched(viewer, 5)
    publisher.hang_up()
    eventually("two finished recordings",
               lambda: len([each for each in cluster.recordings(stream) if str(each["status"]).lower() == "completed"]) == 2, 20)
    after = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix == ".m4s"}
    assert before.items() <= after.items() and len(after) > len(before)
    assert call("GET", object_url(cluster, row["mpd_path"])).text.count("<Period") >= 2
    page = browsers()
    page.open(f"/recordings/{stream}?from={row['year']}-{row['month']:02}-{row['day']:02}T00:00:00Z")
    play_to_end(page, 10 * sources.FPS)


def test_page_plays_a_recording_while_it_grows(cluster, peers, browsers, name):
    stream = name("rec")
    publisher = peers.publish(f"{cluster.url}/whip/{stream}")
    page = browsers()
    row = eventually("the recording is listed", lambda: cluster.recordings(stream), 20)[0]
    page.open(f"/recordings/{stream}")
    page.until("the row", "document.querySelector('tr[data-status=recording] button')", 20)
    page.script("document.querySelector('tr[data-path] button').click()")
    page.until_state(PLAYER, "playing", seconds=20)
    page.until("past the first manifest", "document.querySelector('video').currentTime > 6", 40)
    publisher.hang_up()
    page.until_state(PLAYER, "ended", seconds=40)
    assert cluster.finished_recording(stream)["mpd_path"] == row["mpd_path"]


def test_hls_over_sizes_and_nodes_plays_while_it_grows_and_after(cluster, peers, browsers, name, monkeypatch):
    """RFC 8216: one playlist over a change of size and two nodes, read by ffmpeg and by Chromium itself, first while it grows."""
    stream = name("rec")
    url = f"{cluster.url}/api/playback/{stream}/index.m3u8"

    def playlist(track: str = "video") -> str:
        return call("GET", url.replace("index", track)).text

    first = publish_and_watch(cluster, peers, "edge-a", stream, 4)
    monkeypatch.setattr(sources, "_MOVING", sources.moving(640, 480))
    publish_and_watch(cluster, peers, "edge-a", stream, 4, first).hang_up()
    cluster.finished_recording(stream)
    second = publish_and_watch(cluster, peers, "edge-b", stream, 5)
    eventually("three periods", lambda: playlist().count("#EXT-X-MAP") == 3, 40)
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in playlist() and "#EXT-X-ENDLIST" not in playlist()
    assert set(inspection.streams(url)) == {"video", "audio"}
    page = browsers()
    page.open("/")
    page.script(NATIVE_PLAYER, url)
    page.until("playing what is there", "window.player.error || window.player.currentTime > 9", 40)
    second.hang_up()
    eventually("the list is closed", lambda: "#EXT-X-ENDLIST" in playlist(), 30)
    closed = {track: playlist(track) for track in ("video", "audio")}
    for text in closed.values():
        assert text.count("#EXT-X-DISCONTINUITY\n") == text.count("#EXT-X-MAP") - 1 == 2
        target = int(re.search("TARGETDURATION:(.*)", text)[1])
        assert all(round(float(length)) <= target for length in re.findall("EXTINF:(.*),", text))
    # ffmpeg keeps to the first map it reads, so it can count all packets but not decode those of another size.
    video, audio = inspection.packets(url, "v"), inspection.packets(url, "a")
    assert len(video) > 12 * sources.FPS and len(audio) > 12 * 50
    # Of each period, for each track: on a busy machine one may end long before the other.
    lengths = [[sum(float(each) for each in re.findall("EXTINF:(.*),", period)) for period in text.split("#EXT-X-DISCONTINUITY\n")]
               for text in closed.values()]
    # A player begins a growing list near its end (RFC 8216 6.3.3), so how much it has seen depends on how far the list was.
    seen = page.until("the end", NATIVE_END, 60)
    # There Chromium may repeat the last segment or leave it out, and skips pictures when it is busy; what counts is that it gets over
    # everything that follows.
    length = seen["duration"] - seen["start"]
    assert length > 4 and seen["frames"] > 0.5 * length * len(video) / sum(lengths[0]) and seen["audio"] > 0, (seen, len(video), lengths)
    page.script(NATIVE_PLAYER, url)
    seen = page.until("the end", NATIVE_END, 60)
    assert seen["frames"] >= len(video) - 2 and seen["audio"] > 0 and seen["sizes"] == [[320, 240], [640, 480]], seen
    assert max(map(sum, lengths)) - 0.2 < seen["duration"] < sum(map(max, *lengths)) + 0.2, (seen, lengths)
    assert closed == {track: playlist(track) for track in closed}, "a closed list has changed"


def publish_and_watch(cluster, peers, alias: str, stream: str, seconds: float, publisher=None):
    """A publisher on one node, a new one when none is given, that a viewer has now seen this much of."""
    publisher = publisher or peers.publish(f"{cluster.url}/api/whip/{alias}/{stream}")
    viewer = peers.play(f"{cluster.url}/api/whep/{alias}/{stream}")
    watched(viewer, seconds)
    viewer.hang_up()
    return publisher


# A plain video element, without any of the page's own code.
NATIVE_PLAYER = """
    window.player?.remove();
    const video = window.player = document.createElement('video'), sizes = [];
    let start = 0;
    video.addEventListener('resize', () => sizes.push([video.videoWidth, video.videoHeight]));
    video.addEventListener('playing', () => (start = video.currentTime), {once: true});
    video.muted = true;
    video.src = arguments[0];
    document.body.append(video);
    video.play().catch(() => {});
    window.seen = () => ({time: video.currentTime, duration: video.duration, start, frames: video.getVideoPlaybackQuality().totalVideoFrames,
                          audio: video.webkitAudioDecodedByteCount, sizes});
"""
NATIVE_END = "window.player.error?.message || (window.player.ended && window.seen())"


def test_objects_have_ranges_tags_and_types(cluster, recorded):
    _, row = recorded
    segment = object_url(cluster, row["mpd_path"].replace("manifest.mpd", "seg_0001.m4s"))
    whole = call("GET", segment)
    assert whole.status == 200 and whole.headers["Content-Type"] == "video/mp4" and whole.headers["ETag"]
    part = call("GET", segment, headers={"Range": "bytes=4-7"})
    assert part.status == 206 and part.body == whole.body[4:8]
    assert part.headers["Content-Range"] == f"bytes 4-7/{len(whole.body)}"
    assert call("GET", segment, headers={"Range": f"bytes={len(whole.body)}-"}).status == 416
    assert call("GET", segment, headers={"If-None-Match": whole.headers["ETag"]}).status == 304
    head = call("HEAD", segment)
    assert head.status == 200 and int(head.headers["Content-Length"]) == len(whole.body) and head.body == b""
    audio = call("GET", segment.replace("seg_0001", "audio_seg_0001"))
    assert audio.headers["Content-Type"] == "audio/mp4"
    assert call("GET", segment.replace("seg_0001", "seg_9999")).status == 404


def test_recording_by_the_api(cluster, peers, name):
    stream = name("plain")
    peers.publish(f"{cluster.url}/whip/{stream}")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    eventually("media", lambda: viewer.frames > 10, 20)
    api = f"{cluster.url}/api/record/{stream}"
    assert call("GET", api).json["recording"] is False
    started = call("POST", api, "{}", {"Content-Type": "application/json"})
    assert started.status == 200 and started.json["mpd_path"].endswith("manifest.mpd")
    eventually("recording", lambda: call("GET", api).json["recording"])
    seen = viewer.frames
    eventually("four seconds more", lambda: viewer.frames > seen + 4 * sources.FPS, 20)
    assert call("DELETE", api).status == 200
    row = cluster.finished_recording(stream)
    assert len(inspection.packets(object_url(cluster, row["mpd_path"]), "v")) > 2 * sources.FPS


def test_growing_manifest_is_not_sent_again_unchanged(cluster, peers, name):
    stream = name("rec")
    peers.publish(f"{cluster.url}/whip/{stream}")
    row = eventually("the row", lambda: cluster.recordings(stream), 30)[0]
    url = object_url(cluster, row["mpd_path"])
    eventually("a growing manifest", lambda: 'type="dynamic"' in call("GET", url).text, 30)
    for base in (cluster.edge(row["node_alias"]).url, cluster.url):
        url = f"{base}/api/record/object/{row['mpd_path']}"
        # A segment may come in between.
        eventually("304", lambda: call("GET", url, None, {"If-None-Match": call("GET", url).headers["ETag"]}).status == 304, 20)
        part = call("GET", url, None, {"Range": "bytes=0-4"})
        assert part.status == 206 and part.text == "<?xml"


def test_killed_edge_leaves_a_playable_recording(own_cluster, peers, name, browsers):
    stream, edge = name("rec"), own_cluster.edges[0]
    peers.publish(f"{own_cluster.url}/api/whip/{edge.alias}/{stream}")
    folder = edge.storage / stream
    eventually("three finished segments", lambda: len(list(folder.rglob("seg_*.m4s"))) >= 4, 30)
    edge.kill()
    segments = len(list(folder.rglob("seg_*.m4s")))
    edge.start()
    manifest = eventually("the manifest is closed", lambda: next(
        (file for file in folder.rglob("manifest.mpd") if 'type="static"' in file.read_text()), None), 15)
    url = f"{edge.url}/api/record/object/{manifest.relative_to(edge.storage)}"
    video, audio = inspection.packets(url, "v"), inspection.packets(url, "a")
    assert len(video) >= (segments - 2) * sources.FPS and len(audio) >= (segments - 2) * 40
    assert inspection.decode_errors(url) == ""
    eventually("the coordinator's row is closed", lambda: own_cluster.finished_recording(stream, 1), 20)
    page = browsers(own_cluster.url)
    page.open(f"/recordings/{stream}?mpd={manifest.relative_to(edge.storage)}")
    play_to_end(page, len(video))


def test_terminated_edge_finishes_its_recording(own_cluster, peers, name):
    stream, edge = name("rec"), own_cluster.edges[1]
    peers.publish(f"{own_cluster.url}/api/whip/{edge.alias}/{stream}")
    folder = edge.storage / stream
    eventually("a finished segment", lambda: len(list(folder.rglob("seg_*.m4s"))) >= 2, 30)
    began = time.monotonic()
    assert edge.stop() == 0
    assert time.monotonic() - began < 10
    manifest = next(folder.rglob("manifest.mpd"))
    assert 'type="static"' in manifest.read_text()
    assert len(inspection.packets(str(manifest), "v")) > 2 * sources.FPS


@pytest.mark.parametrize("first", ["edges", "coordinator"])
def test_whole_cluster_stopped_knows_its_recordings_when_it_is_back(own_cluster, peers, name, first):
    """Whoever ends first, the index is right after the next start: the rest is read from the nodes."""
    stream, edge = name("rec"), own_cluster.edges[0]
    publisher = peers.publish(f"{own_cluster.url}/api/whip/{edge.alias}/{stream}")
    eventually("a finished segment", lambda: len(list((edge.storage / stream).rglob("seg_*.m4s"))) >= 2, 30)
    eventually("the row", lambda: own_cluster.recordings(stream), 10)
    order = [*own_cluster.edges, own_cluster.coordinator]
    for program in order if first == "edges" else reversed(order):
        assert program.stop() == 0
    publisher.vanish()
    own_cluster.start()
    row = own_cluster.finished_recording(stream, 15)
    folder = (edge.storage / row["mpd_path"]).parent
    read = stored.check_closed(folder)
    stored.check_plays(folder, read)
    # A machine that stands still for a second can make two Periods of one recording.
    assert abs(row["duration"] - sum(period.seconds for period in read.periods)) < 0.2, (row, read)
    assert len(own_cluster.recordings(stream)) == 1


def play_to_end(page, frames: int, rate: float = 1) -> None:
    """Playback reaches the end on its own, with (nearly) every frame decoded, sound, and no hole jumped."""
    assert page.until_state(PLAYER, "playing", "error", seconds=20) == "playing", page.script("return document.querySelector('main').innerText")
    page.script("document.querySelector('video').playbackRate = arguments[0]", rate)
    assert page.until_state(PLAYER, "ended", "error", seconds=60) == "ended", page.script("return document.querySelector('main').innerText")
    video = page.script("""
        const video = document.querySelector('video');
        return {time: video.currentTime, duration: video.duration, frames: video.getVideoPlaybackQuality().totalVideoFrames,
                audio: video.webkitAudioDecodedByteCount, jumps: Number(document.querySelector('[data-part=player]').dataset.jumps)};""")
    assert abs(video["time"] - video["duration"]) < 0.1, video
    assert video["frames"] >= frames - 2, (video, frames)
    assert video["audio"] > 0 and video["jumps"] == 0, video
