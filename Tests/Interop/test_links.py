"""Files that a page's links lead to: the browser's own request carries no header, and the viewer's token stands in no address."""

from __future__ import annotations

import json
import re

import pytest

import inspection
from browser import PLAYER
from peers import PeerLoop
from programs import Cluster, Redis, eventually
from test_recordings import record
from wire import call

STREAM, TOKEN = "rec-linked", "viewer-5ecret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

# A click as a person's, on a link that may be scrolled away.
CLICK = "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A cluster that lets nobody in without a token, and the row of a recording."""
    folder, tokens = tmp_path_factory.mktemp("links"), json.dumps([TOKEN])
    cluster = Cluster(
        folder, redis=Redis(folder), edge_settings={"EDGE_AUTH_TOKENS": tokens}, coordinator_settings={"COORDINATOR_AUTH_TOKENS": tokens})
    peers = PeerLoop(TOKEN)
    try:
        cluster.start()
        yield cluster, record(cluster, peers, STREAM)[1]
    finally:
        peers.close()
        cluster.stop()


@pytest.mark.parametrize("side", ["coordinator", "edge"])
def test_link_opens_its_file_and_nothing_else(recorded, side):
    cluster, row = recorded
    base = cluster.url if side == "coordinator" else cluster.edge(row["node_alias"]).url
    folder = f"/api/playback/{STREAM}"
    for path in (f"{folder}/export.mp4?start=0&duration=3", f"{folder}/{row['id']}/file.mp4"):
        assert call("POST", base + path).status == 401
        made = call("POST", base + path, headers=BEARER)
        assert made.status == 200, made.text
        link = made.json["url"]
        assert link.startswith(path) and TOKEN not in link
        file = call("GET", base + link, seconds=30)
        assert file.status == 200 and file.body[4:8] == b"ftyp", file.text[:300]
        assert len(file.body) == len(call("GET", base + path, headers=BEARER, seconds=30).body)
        later = re.sub(r"expires=(\d+)", lambda found: f"expires={int(found.group(1)) + 60}", link)
        for changed in (path, later, f"{link}&duration=4", link.replace("signature=", "signature=A"), link.replace(STREAM, "other")):
            assert call("GET", base + changed).status == 401, changed
        # What a player may do that can set no header stays as it is.
        assert call("GET", f"{base}{path}{'&' if '?' in path else '?'}token={TOKEN}", seconds=30).status == 200


@pytest.mark.parametrize("part", ["recording", "clip"])
def test_page_saves_files_by_addresses_without_the_token(recorded, browsers, tmp_path, part):
    cluster, _ = recorded
    page = browsers(cluster.url)
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.open("/login")
    field = page.until("the form", "document.querySelector('#token')")
    page.script("arguments[0].value = arguments[1]; arguments[0].form.requestSubmit()", field, TOKEN)
    page.until("signed in", "location.hash === '#/'")
    page.open(f"/recordings/{STREAM}")
    link = page.until("the recording", "document.querySelector('[data-day] tbody a[download]')")
    if part == "clip":
        page.script("document.querySelector('[data-day] tbody button').click()")
        assert page.until_state(PLAYER, "playing", "error", seconds=30) == "playing"
        page.script("const video = document.querySelector('video'); video.pause(); video.currentTime = 1")
        page.script("[...document.querySelectorAll('.tools button')].find((each) => each.textContent === 'Clip from here').click()")
        link = page.until("the clip", "document.querySelector('[data-part=clip]:not([hidden])')")
    page.script("""
        window.opened = [];
        HTMLAnchorElement.prototype.click = function () { window.opened.push(this.href); HTMLElement.prototype.click.call(this); };""")
    page.script(CLICK, link)
    file = eventually("the file", lambda: list(tmp_path.glob("*.mp4")), 30)[0]
    assert inspection.decode_errors(str(file)) == ""
    opened = page.script("return window.opened")
    assert len(opened) == 1 and "&signature=" in opened[0] and TOKEN not in opened[0], opened
    assert TOKEN not in page.script("return location.href + document.documentElement.outerHTML")


def test_page_says_why_there_is_no_file(recorded, browsers):
    cluster, _ = recorded
    page = browsers(cluster.url)
    page.open("/login")
    page.script("sessionStorage.setItem('tributary.token', arguments[0])", TOKEN)
    page.open(f"/recordings/{STREAM}")
    link = page.until("the recording", "document.querySelector('[data-day] tbody a[download]')")
    page.script("""
        const real = window.fetch;
        window.fetch = (target, options) => (options?.method === 'POST'
          ? Promise.resolve(new Response('{"error": "gone away"}', {status: 502})) : real(target, options));""")
    page.script(CLICK, link)
    page.until("the reason", "document.querySelector('main .notice.error')?.textContent.includes('gone away')")
