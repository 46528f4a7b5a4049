"""The bar of a day under the player: seeking by the clock, going live, choosing a clip."""

from __future__ import annotations

import datetime

import pytest
from browser import PLAYER
from programs import eventually

TRACK = "document.querySelector('[data-part=timeline]')"
WALL = "document.querySelector('[data-value=wall]').textContent"


@pytest.fixture
def live_recording(own_cluster, peers, name):
    """A stream that is being recorded, with three segments finished."""
    stream = name("rec")
    edge = own_cluster.edges[0]
    peers.publish(f"{own_cluster.url}/api/whip/{edge.alias}/{stream}")
    eventually("three segments", lambda: len(list((edge.storage / stream).rglob("seg_*.m4s"))) >= 3, 40)
    eventually("the row", lambda: own_cluster.recordings(stream), 10)
    return own_cluster, stream


def play_the_day(page, stream: str):
    page.open(f"/recordings/{stream}")
    page.until("the day", "document.querySelector('[data-day] .section-head button')")
    page.script("document.querySelector('[data-day] .section-head button').click()")
    assert page.until_state(PLAYER, "playing", "error", seconds=30) == "playing"
    page.until("the recorded part", f"{TRACK}.querySelector('i.held')")
    return page


def test_live_recording_is_rewound_by_the_clock_and_caught_up_with(live_recording, browsers):
    cluster, stream = live_recording
    page = play_the_day(browsers(cluster.url), stream)
    page.until("the wall clock", f"{WALL}.startsWith('now at')")

    live = page.until("the live button", "[...document.querySelectorAll('button')].find((each) => /live/i.test(each.textContent) && !each.hidden)")
    page.script("arguments[0].click()", live)
    behind = page.until(
        "catching up", "(() => { const v = document.querySelector('video'); const end = v.seekable.end(v.seekable.length - 1);"
        "return !v.seeking && v.currentTime > 4 && end - v.currentTime < 13 ? v.currentTime : 0 })()")

    # Back by the clock: to what was recorded two seconds after the beginning.
    row = cluster.recordings(stream)[0]
    wanted = datetime.datetime.fromisoformat(row["start"].replace("Z", "+00:00")).timestamp() + 2
    local = page.script("return new Date(arguments[0]).toTimeString().slice(0, 8)", (int(wanted) + 1) * 1000)
    page.script("""
        const input = document.querySelector('.tools input[type=time]');
        input.value = arguments[0];
        input.form.requestSubmit();""", local)
    page.until("the earlier picture", f"document.querySelector('video').currentTime < {behind} - 1 && {WALL}.slice(7) >= '{local[:6]}'")
    page.until("playing on", f"document.querySelector('video').currentTime < {behind} && !document.querySelector('video').paused")


def test_bar_takes_back_mistakes_and_drops_what_is_deleted(live_recording, browsers):
    cluster, stream = live_recording
    page = play_the_day(browsers(cluster.url), stream)
    # What is not recorded yet is what is live, without beginning again.
    source = page.script("return document.querySelector('video').src")
    page.script(f"const box = {TRACK}.getBoundingClientRect(); {TRACK}.dispatchEvent(new MouseEvent('click', {{clientX: box.right - 1, bubbles: true}}))")
    page.until("what is live", "document.querySelector('video').currentTime > 4")
    assert page.script("return document.querySelector('video').src") == source

    # A time that is none is refused once, not for ever.
    row = cluster.recordings(stream)[0]
    start = datetime.datetime.fromisoformat(row["start"].replace("Z", "+00:00")).timestamp()
    local = page.script("return new Date(arguments[0]).toTimeString().slice(0, 8)", (int(start) + 2) * 1000)
    page.script("""
        const input = document.querySelector('.tools input[type=time]');
        for (const text of ['', arguments[0]]) {
          input.value = text;
          input.dispatchEvent(new Event('input'));
          input.form.requestSubmit();
        }""", local)
    page.until("the earlier picture", "document.querySelector('video').currentTime < 4")

    # Somebody deletes it.
    page.script("""
        const real = window.fetch;
        window.fetch = (target, ...rest) => (new URL(target, location.href).pathname === arguments[0]
          ? Promise.resolve(new Response('[]', {headers: {'Content-Type': 'application/json'}})) : real(target, ...rest));
        """.replace("arguments[0]", f"'/api/playback/{stream}'"))
    page.until("the row to go", "!document.querySelector('[data-day]')", 15)


def test_clip_is_chosen_on_the_bar_and_speed_outlives_the_source(live_recording, browsers):
    cluster, stream = live_recording
    page = browsers(cluster.url)
    page.open(f"/recordings/{stream}")
    page.until("a recording", "document.querySelector('[data-day] tbody button')")
    page.script("document.querySelector('[data-day] tbody button').click()")
    assert page.until_state(PLAYER, "playing", "error", seconds=30) == "playing"
    page.script("[...document.querySelectorAll('.tools button')].find((each) => each.textContent === 'Clip from here').click()")
    link = page.until("the link", "(() => { const a = document.querySelector('[data-part=clip]'); return a.hidden ? '' : a.href })()")
    assert f"/api/playback/{stream}/export.mp4?start=" in link and "&end=" in link
    assert page.script(f"return {TRACK}.querySelector('.choice-mark').getBoundingClientRect().width") > 0
    page.script("document.querySelector('[aria-label=\"Show a shorter time\"]').click()")
    assert page.script(f"return {TRACK}.querySelectorAll('i.rec').length") >= 1

    page.script("const s = document.querySelector('[data-part=speed]'); s.value = '2'; s.dispatchEvent(new Event('change'))")
    assert page.script("return document.querySelector('video').playbackRate") == 2
    page.script("document.querySelector('[data-day] .section-head button').click()")
    assert page.until_state(PLAYER, "playing", "error", seconds=30) == "playing"
    assert page.script("return document.querySelector('video').playbackRate") == 2
