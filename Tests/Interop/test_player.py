"""The page's DASH player on manifests no recorder writes on a good day: holes, changes of size, a missing sound track, lost files.

ffmpeg makes the media; an edge node serves them from its storage as it would serve any recording.
"""

import re
import subprocess

import pytest

from browser import PLAYER

SECONDS = {"big": 12, "small": 6}


@pytest.fixture(scope="module")
def media(cluster):
    """Two encodings in the storage of an edge: "big" 640×360 and "small" 320×180."""
    root = cluster.edges[0].storage / "player"
    for kind, size in (("big", "640x360"), ("small", "320x180")):
        folder = root / kind
        folder.mkdir(parents=True)
        subprocess.run([
            "ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=30:d={SECONDS[kind]}", "-f", "lavfi",
            "-i", f"sine=440:d={SECONDS[kind]}:r=48000", "-c:v", "libx264", "-profile:v", "baseline" if kind == "big" else "main", "-g", "60",
            "-preset", "ultrafast", "-c:a", "libopus", "-f", "dash", "-dash_segment_type", "mp4", "-seg_duration", "2", "-use_timeline", "1",
            "-init_seg_name", "init$RepresentationID$.m4s", "-media_seg_name", "seg$RepresentationID$_$Number%04d$.m4s", "manifest.mpd",
        ], cwd=folder, check=True, timeout=120)
    return root


def sets(media, kind: str, drop: str | None = None) -> str:
    """The adaptation sets ffmpeg wrote, with a base of their own and a query in each template."""
    text = (media / kind / "manifest.mpd").read_text()
    found = re.findall(r"<AdaptationSet.*?</AdaptationSet>", text, re.S)
    found = [each for each in found if f'contentType="{drop}"' not in each]
    return f"<BaseURL>../{kind}/</BaseURL>" + "".join(each.replace('.m4s"', '.m4s?node=edge-a&amp;x=1"') for each in found)


def manifest(media, name: str, periods: list[tuple[float, float, str]], more: str = "") -> None:
    """Writes a manifest: where each period begins, how long it is, and its adaptation sets."""
    folder = media / name
    folder.mkdir(exist_ok=True)
    total = max(start + length for start, length, _ in periods)
    body = "".join(f'<Period id="{index}" start="PT{start}S" duration="PT{length}S">{content}</Period>' for index, (start, length, content) in enumerate(periods))
    (folder / "manifest.mpd").write_text(
        f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT{total}S" minBufferTime="PT2S" '
        f'profiles="urn:mpeg:dash:profile:isoff-live:2011"{more}>{body}</MPD>')


def play(cluster, media, browsers, name: str, periods: list[tuple[float, float, str]], more: str = "") -> dict:
    """Writes a manifest, plays it to the end four times as fast and returns what the video element saw."""
    manifest(media, name, periods, more)
    page = browsers()
    page.open(f"/recordings/player?mpd=player/{name}/manifest.mpd&node=edge-a")
    if page.until_state(PLAYER, "playing", "error") == "playing":
        page.script("""
            const video = document.querySelector('video');
            window.sizes = [video.videoWidth];
            video.addEventListener('resize', () => sizes.push(video.videoWidth));
            video.playbackRate = 4;""")
        page.until_state(PLAYER, "ended", "error", seconds=40)
    return page.script("""
        const video = document.querySelector('video'), stage = document.querySelector('[data-part=player]');
        return {state: stage.dataset.state, time: video.currentTime, jumps: Number(stage.dataset.jumps), sizes: window.sizes,
                frames: video.getVideoPlaybackQuality().totalVideoFrames, text: stage.innerText};""")


def test_size_and_profile_change_between_periods(cluster, media, browsers):
    seen = play(cluster, media, browsers, "change", [(0, 6, sets(media, "small")), (6, 12, sets(media, "big"))])
    assert seen["state"] == "ended" and seen["time"] == pytest.approx(18, abs=0.1)
    assert seen["sizes"] == [320, 640] and seen["frames"] >= 18 * 30 - 2


def test_gap_between_periods_is_jumped(cluster, media, browsers):
    seen = play(cluster, media, browsers, "gap", [(0, 6, sets(media, "small")), (100, 12, sets(media, "big"))])
    assert seen["state"] == "ended" and seen["time"] == pytest.approx(112, abs=0.1) and seen["jumps"] == 1


def test_period_without_sound_plays(cluster, media, browsers):
    seen = play(cluster, media, browsers, "silent", [(0, 6, sets(media, "small")), (6, 12, sets(media, "big", drop="audio"))])
    assert seen["state"] == "ended" and seen["time"] == pytest.approx(18, abs=0.1)


def test_lost_segment_is_jumped(cluster, media, browsers):
    content = sets(media, "big").replace("../big/", "../lost/")
    folder = media / "lost"
    folder.mkdir()
    for file in (media / "big").glob("*.m4s"):
        if file.name != "seg0_0003.m4s":
            (folder / file.name).write_bytes(file.read_bytes())
    seen = play(cluster, media, browsers, "lost", [(0, 12, content)])
    assert seen["state"] == "ended" and seen["time"] == pytest.approx(12, abs=0.1) and seen["jumps"] >= 1


def test_seek_after_the_end(cluster, media, browsers):
    play(cluster, media, browsers, "seek", [(0, 12, sets(media, "big"))])
    page = browsers()
    page.open("/recordings/player?mpd=player/seek/manifest.mpd&node=edge-a")
    page.until_state(PLAYER, "playing")
    page.script("document.querySelector('video').currentTime = 11")
    page.until_state(PLAYER, "ended")
    page.script("const video = document.querySelector('video'); video.currentTime = 2.5; video.play()")
    page.until("playing from there", "document.querySelector('video').currentTime > 3 && document.querySelector('video').currentTime < 9")


@pytest.mark.parametrize("name, text, words", [
    ("broken", "<MPD", "manifest cannot be read"),
    ("html", "<html></html>", "manifest cannot be read"),
    ("hollow", '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period/></MPD>', "nothing to play"),
    ("alien", '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4" '
     'codecs="zzzz"><SegmentTemplate media="a" duration="2"/><Representation id="0"/></AdaptationSet></Period></MPD>', "cannot decode"),
])
def test_useless_manifests_are_explained(cluster, media, browsers, name, text, words):
    (media / name).mkdir()
    (media / name / "manifest.mpd").write_text(text)
    page = browsers()
    page.open(f"/recordings/player?mpd=player/{name}/manifest.mpd&node=edge-a")
    page.until_state(PLAYER, "error")
    assert words in page.script(f"return document.querySelector('{PLAYER}').innerText")


def test_absent_recording_is_explained(browsers):
    page = browsers()
    page.open("/recordings/player?mpd=player/nothing/manifest.mpd")
    page.until_state(PLAYER, "error")
    assert "not there" in page.script(f"return document.querySelector('{PLAYER}').innerText")
    assert page.script(f"return document.querySelector('{PLAYER} button').textContent") == "Try again"


def test_position_between_chapters(cluster, media, browsers):
    """From one source of the video to the next nobody is told of another moment than the one that is gone to."""
    manifest(media, "between", [(0, 6, sets(media, "small")), (6, 12, sets(media, "big", drop="audio"))])
    page = browsers()
    page.open("/")
    told, now = page.driver.execute_async_script("""
        const done = arguments[0];
        (async () => {
          const [{objectPath}, {DashPlayer}] = await Promise.all([import('/api.js'), import('/dash/player.js')]);
          const video = document.body.appendChild(document.createElement('video'));
          const player = new DashPlayer(video), told = [];
          const once = (type) => new Promise((then) => video.addEventListener(type, then, {once: true}));
          await player.load(objectPath('player/between/manifest.mpd', 'edge-a'));
          const sought = once('seeked');
          player.seek(2);
          await sought;
          for (const type of ['emptied', 'timeupdate', 'loadedmetadata']) video.addEventListener(type, () => told.push(player.positionS));
          const loaded = once('loadeddata');
          player.seek(9);
          await loaded;
          done([told, player.positionS]);
        })().catch((error) => done([String(error), null]));""")
    assert told and all(each == pytest.approx(9, abs=0.1) for each in told) and now == pytest.approx(9, abs=0.1)


def test_clock_times_of_a_day(browsers):
    """Midnight is hour 0 in every language, and a time by the viewer's clock is one moment of the UTC day that is shown."""
    page = browsers()
    # The clocks go back on the day below.
    page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    page.open("/")
    midnight, moments, none = page.driver.execute_async_script("""
        const done = arguments[0];
        Promise.all([import('/format.js'), import('/views/daytimeline.js')]).then(([{clock}, {momentOf}]) => {
          const day = Date.UTC(2026, 9, 25);
          const times = ['00:00', '02:30:15', '13:05:09', '23:59:59'].map((text) => momentOf(day, text));
          done([clock(new Date(2026, 0, 1, 0, 0, 5)), times.map((ms) => [ms >= day && ms < day + 864e5, clock(new Date(ms))]),
                [momentOf(day, ''), momentOf(day, 'noon')]]);
        }, (error) => done([String(error), [], []]));""")
    assert midnight == "00:00:05"
    assert moments == [[True, "00:00:00"], [True, "02:30:15"], [True, "13:05:09"], [True, "23:59:59"]] and none == [None, None]


def test_templates_and_timelines(browsers):
    """ISO/IEC 23009-1 5.3.9: identifiers, number formats, repeat counts, open runs."""
    page = browsers()
    page.open("/")
    result = page.driver.execute_async_script("""
        const done = arguments[0];
        Promise.all([import('/dash/segments.js'), import('/dash/mpd.js')]).then(([{expandTemplate, listSegments}, {parseDuration}]) => {
          const values = {RepresentationID: 'v1', Number: 7, Time: 12345678901, Bandwidth: 5};
          const base = {timescale: 10, offset: 100, startNumber: 3, segmentDuration: 0};
          const list = (runs, period) => listSegments({...base, runs}, period).map((each) => [each.number, each.t, each.startS, each.endS]);
          done({
            templates: ['$RepresentationID$/$Number%05d$.m4s?node=a&t=$Time$', '$$x$$', '$Bandwidth%03d$-$Number$', '$Unknown$'].map((each) => expandTemplate(each, values)),
            repeat: list([{t: 100, d: 20, r: 2}], {startS: 50, endS: null}),
            jump: list([{t: 100, d: 20, r: 0}, {t: 160, d: 20, r: 0}], {startS: 0, endS: 100}),
            open: list([{t: 100, d: 20, r: -1}], {startS: 0, endS: 6}),
            beyond: list([{t: 100, d: 20, r: 9}], {startS: 0, endS: 4}),
            durations: ['PT1H2M3.5S', 'P1DT1S', 'PT0S', 'nonsense', null].map(parseDuration),
          });
        }, (error) => done({error: String(error)}));""")
    assert result == {
        "templates": ["v1/00007.m4s?node=a&t=12345678901", "$x$", "005-7", "$Unknown$"],
        "repeat": [[3, 100, 50, 52], [4, 120, 52, 54], [5, 140, 54, 56]],
        "jump": [[3, 100, 0, 2], [4, 160, 6, 8]],
        "open": [[3, 100, 0, 2], [4, 120, 2, 4], [5, 140, 4, 6]],
        "beyond": [[3, 100, 0, 2], [4, 120, 2, 4]],
        "durations": [3723.5, 86401, 0, None, None],
    }
