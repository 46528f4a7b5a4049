"""Several coordinators before the same nodes, with one Redis and one PostgreSQL: each does what any other began."""

from __future__ import annotations

import re
import time
from urllib.parse import urljoin

import pytest

from programs import PAUSE_MAX, Cluster, Postgres, Redis, Server, eventually
from wire import call, post_offer

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
RESTART = "a=ice-ufrag:another1\r\na=ice-pwd:anotherPasswordOf22Chars\r\n"


@pytest.fixture
def postgres(tmp_path):
    server = Postgres(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def pair(tmp_path, postgres):
    """A cluster with two coordinators."""
    running = Cluster(tmp_path, redis=Redis(tmp_path), coordinator_settings={"COORDINATOR_DATABASE_URL": postgres.url})
    try:
        running.start()
        other = running.add_coordinator()
        eventually("it sees both nodes", lambda: call("GET", f"{other.url}/api/nodes").text.count('"running"') == 2)
        yield running
    finally:
        running.stop()


def manifest(base: str, stream: str) -> str:
    answer = call("GET", f"{base}/api/playback/{stream}/manifest.mpd")
    return answer.text if answer.status == 200 else ""


def an_object(base: str, stream: str) -> str:
    """The URL of an object that the manifest names."""
    found = re.search(r'initialization="([^"]+)"', manifest(base, stream))
    assert found, manifest(base, stream)
    return urljoin(f"{base}/api/playback/{stream}/manifest.mpd", found.group(1).replace("&amp;", "&"))


@pytest.mark.alone
def test_what_one_began_another_goes_on_with_when_it_is_killed(pair, postgres, peers, name):
    first, second = pair.coordinator, pair.others[0]
    stream = name("rec")
    publisher = peers.publish(f"{first.url}/whip/{stream}")
    viewer, leaver = peers.play(f"{first.url}/whep/{stream}"), peers.play(f"{first.url}/whep/{stream}")
    eventually("pictures", lambda: viewer.frames > 30, 20)
    eventually("both coordinators play back what is recorded", lambda: all("<Period" in manifest(each.url, stream) for each in (first, second)), 30)
    rows = int(postgres.query("SELECT count(*) FROM recordings"))
    assert rows == 1, "both wrote the same recording, and it is one row"
    first.kill()
    viewer.longest_pause = 0

    session = lambda peer: peer.session.replace(first.url, second.url)  # noqa: E731
    assert call("PATCH", session(leaver), "a=end-of-candidates\r\n", FRAGMENT).status == 204
    assert call("PATCH", session(leaver), RESTART, FRAGMENT).status == 200
    assert call("DELETE", session(leaver)).status in (200, 204)
    assert call("DELETE", session(leaver)).status == 404
    leaver.vanish()
    assert call("PATCH", session(publisher), "a=end-of-candidates\r\n", FRAGMENT).status == 204

    late = peers.play(f"{second.url}/whep/{stream}")
    eventually("a new viewer is served", lambda: late.frames > 20, 15)
    assert viewer.longest_pause < PAUSE_MAX
    part = call("GET", an_object(second.url, stream), headers={"Range": "bytes=4-7"})
    assert part.status == 206 and part.body == b"ftyp"

    publisher.session = session(publisher)
    assert publisher.hang_up() in (200, 204)
    rows = eventually("the recording is finished", lambda: [
        row for row in call("GET", f"{second.url}/api/playback/{stream}").json if row["status"] == "completed"], 20)
    assert len(rows) == 1
    viewer.vanish()
    assert second.is_running


def test_database_goes_away_and_comes_back(pair, postgres, peers, name):
    coordinators = [pair.coordinator, *pair.others]
    stream = name("rec")
    publisher = peers.publish(f"{pair.url}/whip/{stream}")
    eventually("it is played back", lambda: all("<Period" in manifest(each.url, stream) for each in coordinators), 30)
    postgres.stop()
    for each in coordinators:
        refused = eventually("it is refused", lambda each=each: next(
            (answer for answer in [call("GET", f"{each.url}/api/playback/{stream}")] if answer.status == 503), None))
        assert refused.json == {"error": "the recording index is not available"}
        assert call("GET", f"{each.url}/healthz").status == 503
        viewer = peers.play(f"{each.url}/whep/{stream}")
        eventually("live goes on", lambda viewer=viewer: viewer.frames > 10, 15)
    postgres.start()
    for each in coordinators:
        eventually("it is well again", lambda each=each: call("GET", f"{each.url}/healthz").status == 200, 20)
        eventually("it is played back again", lambda each=each: "<Period" in manifest(each.url, stream), 20)
        assert postgres.PASSWORD not in each.log.read_text()
    assert publisher.hang_up() in (200, 204)
    eventually("and finished", lambda: call("GET", f"{coordinators[1].url}/api/playback/{stream}").json[0]["status"] == "completed", 20)


def test_drain_is_known_to_coordinators_that_share_nothing(tmp_path, peers):
    cluster = Cluster(tmp_path, aliases=("edge-a",))

    def sees(coordinator: Server, status: str) -> bool:
        return [node["status"] for node in call("GET", f"{coordinator.url}/api/nodes").json] == [status]

    try:
        cluster.start()
        (edge,), first = cluster.edges, cluster.coordinator
        cluster.settings = cluster.settings | {"COORDINATOR_DATABASE_URL": "sqlite:other.db"}
        second = cluster.add_coordinator()
        eventually("both see it", lambda: sees(first, "running") and sees(second, "running"))
        assert call("POST", f"{first.url}/api/nodes/edge-a/drain").status == 200
        eventually("the other one knows", lambda: sees(second, "draining"), 5)
        refused = post_offer(f"{second.url}/whip/fresh", peers.offer())
        assert refused.status == 503 and refused.headers["Retry-After"]
        # Who was asked is away while the node is started again: the other one remembers.
        first.kill()
        edge.stop()
        edge.start()
        eventually("drained again", lambda: call("GET", f"{edge.url}/api/info").json["status"] == "draining", 15)
        first.start()
        eventually("both see it", lambda: sees(first, "draining") and sees(second, "draining"))
        # What the one takes back, the other doesn't drain again.
        assert call("POST", f"{second.url}/api/nodes/edge-a/undrain").status == 200
        eventually("both see it", lambda: sees(first, "running") and sees(second, "running"))
        for _ in range(15):
            time.sleep(0.2)
            assert sees(first, "running") and sees(second, "running")
        assert post_offer(f"{first.url}/whip/fresh", peers.offer()).status == 201
    finally:
        cluster.stop()
