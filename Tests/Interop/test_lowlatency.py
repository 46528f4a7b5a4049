"""Near the live edge: parts, blocking reloads, rewinding and coming back, and sound that stays with its pictures (RFC 8216bis)."""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import threading
import time
import zipfile
from urllib.parse import urljoin

import inspection
import playlists
import pytest
from browser import PLAYER
from programs import eventually
from test_recordings import NATIVE_END, NATIVE_PLAYER, publish_and_watch
from wire import call


class Reader(threading.Thread):
    """Reads a playlist as a low-latency player does: each reload waits for the next part, which is then fetched."""

    def __init__(self, url: str, seconds: float):
        super().__init__(daemon=True)
        self.url, self.seconds = url, seconds
        self.versions: list[playlists.Playlist] = []
        self.late: list[float] = []
        self.parts: dict[str, bytes] = {}
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            self._read()
        except BaseException as problem:  # pylint: disable=broad-except
            self.problem = problem

    def _read(self) -> None:
        until = time.monotonic() + self.seconds
        now = self._load("")
        while time.monotonic() < until and not now.has_end:
            wanted = (now.last + 1, len(now.open_parts))
            now = self._load(f"?_HLS_msn={wanted[0]}&_HLS_part={wanted[1]}")
            assert now.has_end or (now.last, 0) >= wanted or (now.last + 1, len(now.open_parts) - 1) >= wanted, (wanted, now.last, len(now.open_parts))
            self.late.append(time.time() - now.ends_at)
            for part in [each for place in (len(now.entries) - 1, len(now.entries)) for each in now.parts.get(place, [])]:
                if part.address not in self.parts:
                    answer = call("GET", urljoin(self.url, part.address))
                    assert answer.status == 200, (part.address, answer.status)
                    self.parts[part.address] = answer.body

    def _load(self, query: str) -> playlists.Playlist:
        answer = call("GET", self.url + query, seconds=45)
        assert answer.status == 200, (query, answer.status, answer.text)
        self.versions.append(playlists.read(answer.text))
        return self.versions[-1]

    def check(self) -> None:
        if self.problem:
            raise self.problem
        assert len(self.late) > 6, self.late
        for earlier, later in zip(self.versions, self.versions[1:]):
            assert playlists.faults(earlier, later) == []
        # Parts are the segment, byte for byte.
        whole = {now.entries[place][0]: parts for now in self.versions for place, parts in now.parts.items()
                 if place < len(now.entries) and all(each.address in self.parts for each in parts)}
        assert whole, "no segment was seen from its first part to its last"
        for address, parts in whole.items():
            assert b"".join(self.parts[each.address] for each in parts) == call("GET", urljoin(self.url, address)).body, address


@pytest.fixture
def live(own_cluster, peers, name):
    """A stream that is being recorded, with its first segment finished: the node and the stream."""
    stream = name("rec")
    edge = own_cluster.edges[0]
    peers.publish(f"{own_cluster.url}/api/whip/{edge.alias}/{stream}")
    for base in (edge.url, own_cluster.url):
        eventually("the playlists", lambda: all(
            call("GET", f"{base}/api/playback/{stream}/{track}.m3u8").status == 200 for track in ("video", "audio")), 40)
    return edge, stream


def test_parts_come_as_they_are_written_from_the_node_and_through_the_coordinator(own_cluster, live):
    edge, stream = live
    readers = [Reader(f"{base}/api/playback/{stream}/{track}.m3u8", 10)
               for base, track in ((edge.url, "video"), (edge.url, "audio"), (own_cluster.url, "video"), (own_cluster.url, "audio"))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(80)
        reader.check()
        print(f"{reader.url}: {len(reader.late)} reloads, behind the capture {statistics.median(reader.late):.2f} s, at most {max(reader.late):.2f} s")
        # Half a second of part, and what a machine that has other things to do takes.
        assert statistics.median(reader.late) < 3, reader.late
    first = readers[0].versions[0]
    assert first.part_target == 0.58 and first.target == 12
    assert float(first.control["PART-HOLD-BACK"]) >= 3 * first.part_target and first.control["CAN-BLOCK-RELOAD"] == "YES"
    assert first.hint and any(each.is_independent for parts in first.parts.values() for each in parts)


def test_reloads_that_cannot_be_answered(own_cluster, live):
    edge, stream = live
    for base in (edge.url, own_cluster.url):
        url = f"{base}/api/playback/{stream}/video.m3u8"
        last = playlists.read(call("GET", url).text).last
        assert call("GET", f"{url}?_HLS_msn={last + 50}").status == 400
        assert call("GET", f"{url}?_HLS_part=1").status == 400
        assert call("GET", f"{url}?_HLS_msn=x").status == 400
        assert call("GET", f"{url}?_HLS_msn=1&_HLS_part=0").status == 200
        now = playlists.read(call("GET", url).text)
        hint = call("GET", urljoin(url, now.hint), seconds=45)
        assert hint.status in (200, 404), "the next part is waited for"
        assert call("GET", urljoin(url, now.entries[0][0].partition("?")[0] + "?part=999&node=" + edge.alias)).status == 404
    # Nobody has to wait for a node that stops.
    waiting = [threading.Thread(target=call, args=("GET", f"{url}?_HLS_msn={last + 3}"), kwargs={"seconds": 45, "is_refusal_fine": True}) for _ in range(3)]
    for thread in waiting:
        thread.start()
    began = time.monotonic()
    assert edge.stop() == 0
    assert time.monotonic() - began < 10


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_players_were_told_stays_so_over_a_reconnect_and_to_the_end(own_cluster, peers, name):
    stream, edge = name("rec"), own_cluster.edges[0]
    bases = [f"{base}/api/playback/{stream}" for base in (edge.url, own_cluster.url)]
    whip = f"{own_cluster.url}/api/whip/{edge.alias}/{stream}"
    first = peers.publish(whip)
    eventually("the playlists", lambda: all(call("GET", f"{base}/audio.m3u8").status == 200 for base in bases), 40, every=0.05)
    readers = [Reader(f"{base}/{track}.m3u8", 90) for base in bases for track in ("video", "audio")]
    for reader in readers:
        reader.start()
    manifests: dict[str, list[str]] = {base: [] for base in bases}
    # What happens when, in seconds.
    publishers = [first]
    plan = [(7, lambda: publishers.pop().hang_up()), (9, lambda: publishers.append(peers.publish(whip))), (20, lambda: publishers.pop().hang_up())]
    began = time.monotonic()
    while any(reader.is_alive() for reader in readers):
        for base, texts in manifests.items():
            answer = call("GET", f"{base}/manifest.mpd?gaps=keep")
            if answer.status == 200 and answer.text not in texts[-1:]:
                texts.append(answer.text)
        if plan and time.monotonic() - began > plan[0][0]:
            plan.pop(0)[1]()
        time.sleep(0.05)
    assert not plan
    for reader in readers:
        reader.check()
        last = reader.versions[-1]
        assert last.has_end and sum("DISCONTINUITY" in tag for entry in last.entries for tag in entry[2]) >= 1, last
    for base, texts in manifests.items():
        texts.append(eventually("the end", lambda: found if 'type="static"' in (found := call("GET", f"{base}/manifest.mpd?gaps=keep").text) else None, 10))
        assert len(texts) > 4
        for earlier, later in zip(texts, texts[1:]):
            assert playlists.mpd_faults(earlier, later) == [], (base, earlier, later)


# Plays with the sound on, and notes when the first loud sound is heard and how far pictures and clock are then.
LISTENER = """
    const video = window.player = document.createElement('video');
    const context = new AudioContext(), meter = context.createAnalyser(), wave = new Float32Array(2048);
    meter.fftSize = 2048;
    context.createMediaElementSource(video).connect(meter);
    meter.connect(context.destination);
    window.heard = [];
    setInterval(() => {
      meter.getFloatTimeDomainData(wave);
      const level = Math.sqrt(wave.reduce((sum, each) => sum + each * each, 0) / wave.length);
      if (level > 0.05 && !video.seeking) heard.push(video.currentTime);
    }, 20);
    video.src = arguments[0];
    document.body.append(video);
    context.resume();
    video.play().catch((problem) => { window.problem = String(problem); });
    window.seen = () => ({time: video.currentTime, duration: video.duration, frames: video.getVideoPlaybackQuality().totalVideoFrames,
                          audio: video.webkitAudioDecodedByteCount, heard, context: context.state, problem: window.problem});
"""


def test_sound_stays_with_its_pictures_behind_a_stretch_without(own_cluster, peers, browsers, name):
    """Chromium leaves gaps out of one rendition and not of the other: silence must stand there instead."""
    stream = name("rec")
    silent = peers.publish(f"{own_cluster.url}/api/whip/edge-a/{stream}", sound=None)
    url = f"{own_cluster.url}/api/playback/{stream}/index.m3u8"
    folder = own_cluster.edge("edge-a").storage / stream
    eventually("a segment of pictures", lambda: list(folder.rglob("seg_*.m4s")), 40)
    silent.hang_up()
    own_cluster.finished_recording(stream)
    publish_and_watch(own_cluster, peers, "edge-a", stream, 6).hang_up()
    eventually("two recordings", lambda: [each["status"] for each in own_cluster.recordings(stream)] == ["completed"] * 2, 30)
    video, audio = (playlists.read(call("GET", url.replace("index", track)).text) for track in ("video", "audio"))
    assert abs(video.seconds - audio.seconds) < 0.1
    first = next(place for place, entry in enumerate(video.entries) if place and any("DISCONTINUITY" in tag for tag in entry[2]))
    assert [round(each[1], 2) for each in video.entries[:first]] == [round(each[1], 2) for each in audio.entries[:first]]
    stretch = sum(entry[1] for entry in video.entries[:first])
    page = browsers(own_cluster.url)
    page.open("/")
    page.script(LISTENER, url)
    seen = page.until("the end", NATIVE_END, 60)
    assert seen["frames"] > 0 and seen["audio"] > 0 and abs(seen["duration"] - video.seconds) < 0.2, seen
    assert seen["heard"], seen
    # The first beep comes within the first second with sound.
    assert stretch - 0.1 < seen["heard"][0] < stretch + 1.5, (stretch, seen)


def test_lost_sound_is_silence_beside_its_pictures(own_cluster, peers, browsers, name):
    """A segment of sound is gone when its node comes back: Chromium must neither stop there nor play on with what comes later."""
    stream, edge = name("rec"), own_cluster.edge("edge-a")
    publisher = publish_and_watch(own_cluster, peers, "edge-a", stream, 11)
    edge.kill()
    publisher.hang_up()
    next(edge.storage.rglob(f"{stream}/**/audio_seg_0002.m4s")).unlink()
    edge.start()
    url = f"{own_cluster.url}/api/playback/{stream}/index.m3u8"

    def lists() -> list[playlists.Playlist]:
        return [playlists.read(call("GET", url.replace("index", track)).text) for track in ("video", "audio")]

    eventually("the hole is told", lambda: any("silence.m4s" in entry[0] for entry in lists()[1].entries), 30)
    video, audio = lists()
    assert video.has_end and "silence.m4s" in audio.entries[1][0] and abs(video.seconds - audio.seconds) < 1.5, (video, audio)
    assert not any("DISCONTINUITY" in tag for each in (video, audio) for entry in each.entries for tag in entry[2]), (video, audio)
    begin, end = audio.entries[0][1], audio.entries[0][1] + audio.entries[1][1]
    page = browsers(own_cluster.url)
    page.open("/")
    page.script(LISTENER, url)
    seen = page.until("the end", NATIVE_END, 60)
    assert seen["heard"] and abs(seen["duration"] - max(video.seconds, audio.seconds)) < 0.3, (seen, video, audio)
    assert not [each for each in seen["heard"] if begin + 0.3 < each < end - 0.1], (begin, end, seen)
    assert [each for each in seen["heard"] if each > end], (end, seen)
    assert inspection.decode_errors(url) == "", "FFmpeg decodes the silence as part of the track"


@pytest.fixture(scope="session")
def hls_js(tmp_path_factory) -> str:
    """hls.js 1.6.15 as a module, out of a package that brings it along."""
    folder = tmp_path_factory.mktemp("hls.js")
    got = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "gradio==6.31.0", "-d", str(folder)], check=False)
    if got.returncode:
        pytest.skip("PyPI cannot be reached")
    with zipfile.ZipFile(next(pathlib.Path(folder).glob("gradio-*.whl"))) as wheel:
        return wheel.read("gradio/templates/frontend/assets/hls-DKvqWxTe.js").decode()


HLS_PLAYER = """
    const [code, url, done] = arguments;
    const video = window.player = document.createElement('video');
    video.muted = true;
    document.body.append(video);
    import(URL.createObjectURL(new Blob([code], {type: 'text/javascript'}))).then((module) => {
      window.hls = module.t(video, url, () => video.play());
      window.problems = [];
      window.hls.on('hlsError', (_, each) => problems.push(`${each.details}${each.fatal ? ' fatal' : ''}`));
      done(true);
    }, (problem) => done(String(problem)));
"""
HLS_STATE = """({time: player.currentTime, latency: hls.latency, target: hls.targetLatency, paused: player.paused,
    frames: player.getVideoPlaybackQuality().totalVideoFrames, audio: player.webkitAudioDecodedByteCount, live: hls.liveSyncPosition,
    date: hls.playingDate?.getTime(), now: Date.now(), problems})"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["node", "coordinator"])
def test_player_near_the_live_edge_rewinds_and_comes_back(own_cluster, live, browsers, hls_js, place):
    edge, stream = live
    base = edge.url if place == "node" else own_cluster.url
    time.sleep(40)
    page = browsers(own_cluster.url if place == "coordinator" else edge.url)
    page.driver.get(f"{base}/healthz")
    assert page.driver.execute_async_script(HLS_PLAYER, hls_js, f"{base}/api/playback/{stream}/index.m3u8") is True
    page.until("playing", "player.currentTime > 0 && !player.paused", 30)
    time.sleep(15)
    near = page.script(f"return {HLS_STATE}")
    behind = (near["now"] - near["date"]) / 1000
    print(f"{place}: hls.js {near['latency']:.2f} s behind the playlist's end, {behind:.2f} s behind the capture; {near}")
    assert behind < 6 and near["audio"] > 0 and "fatal" not in str(near["problems"]), near
    page.script("window.player.currentTime -= 30")
    time.sleep(5)
    back = page.script(f"return {HLS_STATE}")
    assert 27 < (back["now"] - back["date"]) / 1000 - behind < 33 and back["frames"] > near["frames"], (near, back)
    page.script("window.player.currentTime = hls.liveSyncPosition")
    time.sleep(6)
    again = page.script(f"return {HLS_STATE}")
    assert (again["now"] - again["date"]) / 1000 < 7 and again["frames"] > back["frames"] + 60, (back, again)
    assert "fatal" not in str(again["problems"]), again


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_pages_player_rewinds_half_a_minute_and_comes_back(own_cluster, live, browsers):
    _, stream = live
    time.sleep(40)
    page = browsers(own_cluster.url)
    page.open(f"/recordings/{stream}")
    page.until("the day", "document.querySelector('[data-day] .section-head button')")
    page.script("document.querySelector('[data-day] .section-head button').click()")
    assert page.until_state(PLAYER, "playing", "error", seconds=30) == "playing"
    live_button = page.until("the live button", "[...document.querySelectorAll('button')].find((each) => /live/i.test(each.textContent) && !each.hidden)")
    page.script("arguments[0].click()", live_button)
    state = "(() => { const v = document.querySelector('video'); return {time: v.currentTime, end: v.seekable.end(v.seekable.length - 1), paused: v.paused, seeking: v.seeking}; })()"
    near = page.until("the live edge", f"(() => {{ const s = {state}; return s.time > 35 && !s.seeking ? s : null }})()", 30)
    page.script("document.querySelector('video').currentTime -= 30")
    page.until("the earlier picture", f"(() => {{ const s = {state}; return !s.seeking && !s.paused && s.time > {near['time'] - 29} && s.time < {near['time'] - 5} }})()", 20)
    page.script("arguments[0].click()", live_button)
    page.until("the live edge again", f"(() => {{ const s = {state}; return !s.seeking && !s.paused && s.time > {near['time']} && s.end - s.time < 20 }})()", 20)
