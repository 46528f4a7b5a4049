"""Streams that the coordinator brings from node to node: for viewers that find no room, for copies whose source is lost, away from a
node that is drained."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import pytest

import sources
from programs import BINARIES, Cluster, Edge, Program, Redis, eventually
from wire import call, post_offer

ALIASES = ("edge-a", "edge-b", "edge-c")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    sources.film(path, 4)
    return path


@pytest.fixture
def trio(tmp_path):
    """Makes a cluster of nodes that know each other by Redis only; by default three, with room for one viewer on edge-a."""
    started: list[Cluster] = []

    def make(each: dict[str, dict[str, str]] | None = None, aliases: tuple[str, ...] = ALIASES, **coordinator: str) -> Cluster:
        cluster = Cluster(
            tmp_path, Redis(tmp_path), coordinator_settings={"COORDINATOR_CASCADE_IDLE_SECONDS": "1"} | coordinator,
            aliases=aliases, each={"edge-a": {"EDGE_NODE_SUB_MAX": "1"}} if each is None else each)
        started.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in started:
        cluster.stop()


@pytest.fixture
def encoder(tmp_path, film):
    """Makes an encoder that begins again, as encoders do, when its session ends."""
    running: list[Encoder] = []

    def make(url: str, *more: str) -> Encoder:
        running.append(Encoder(url, film, tmp_path / f"encoder-{len(running)}", more))
        return running[-1]

    yield make
    for each in running:
        each.stop()


class Encoder:
    def __init__(self, url, film, folder, more):
        folder.mkdir()
        self.url = url
        self._arguments = ["--input", str(film), "--loop", *more]
        self.program = Program("encoder", [], folder)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.program.arguments = [str(BINARIES / "edge-bench"), "publish", "--url", self.url, *self._arguments]
            self.program.start()
            while self.program.is_running and not self._ended.wait(0.05):
                pass
            self._ended.wait(0.2)

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(5)
        self.program.kill()


def live(edge: Edge, stream: str, side: str = "subscribe") -> list[dict]:
    answer = call("GET", f"{edge.url}/api/streams/{stream}")
    return [session for session in answer.json[side]["sessions"] if session["leaveAt"] == 0] if answer.status == 200 else []


def upstream(edge: Edge, stream: str) -> list[str]:
    answer = call("GET", f"{edge.url}/api/streams/{stream}")
    return answer.json["upstream"] if answer.status == 200 and answer.json["publish"]["leaveAt"] == 0 else []


def published(cluster: Cluster, stream: str, edge: Edge) -> None:
    def is_there() -> bool:
        record = cluster.stream(stream)
        sessions = live(edge, stream, "publish")
        return bool(record) and record["nodes"][0] == edge.alias and any(s["state"] == "connected" and "cascade" not in s for s in sessions)
    eventually(f"{stream} published on {edge.alias}", is_there, 15)


def node_of(viewer, cluster: Cluster) -> Edge:
    """Where a viewer is, by the address of its session."""
    return cluster.edge(viewer.session.rsplit("/", 1)[1].split("~")[0])


def plays(viewer, more: int = 30) -> None:
    seen = viewer.frames
    eventually(f"{more} more frames", lambda: viewer.frames > seen + more, 20)


def metric(url: str, name: str, labels: str = "") -> float:
    lines = call("GET", f"{url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")) and labels in line)


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_viewers_of_a_full_node_see_the_stream_elsewhere(trio, encoder, peers, mode):
    cluster = trio(COORDINATOR_CASCADE_MODE=mode)
    a = cluster.edge("edge-a")
    encoder(f"{cluster.url}/api/whip/edge-a/rec-full")
    published(cluster, "rec-full", a)
    url = f"{cluster.url}/whep/rec-full"
    first = peers.play(url)
    assert node_of(first, cluster) is a
    others = [peers.play(url) for _ in range(3)]
    for viewer in (first, *others):
        plays(viewer)
    # One cascade for all of them, from the node that is full.
    (home,) = {node_of(viewer, cluster).alias for viewer in others}
    copy = cluster.edge(home)
    assert copy is not a and upstream(copy, "rec-full") == ["edge-a"]
    assert len(live(a, "rec-full")) == 2
    third = next(edge for edge in cluster.edges if edge not in (a, copy))
    assert live(third, "rec-full", "publish") == []
    recording = [edge.alias for edge in cluster.edges if call("GET", f"{edge.url}/api/record/rec-full").text.find("true") > 0]
    assert recording == ["edge-a"]
    assert metric(cluster.url, "tributary_coordinator_node_copies") == 1
    assert metric(cluster.url, "tributary_coordinator_cascades_total", '"started"') == 1
    asked = copy if mode == "pull" else a
    assert metric(asked.url, "tributary_edge_cascades", f'direction="{mode}",state="connected"') == 1
    # Nobody watches the copy any more: it goes, and its session at the source.
    for viewer in others:
        assert viewer.hang_up() == 200
    eventually("the copy is gone", lambda: live(copy, "rec-full", "publish") == [] and len(live(a, "rec-full")) == 1, 10)
    plays(first)


def test_cascade_that_fails_goes_to_another_node_once(trio, encoder, peers):
    """Two nodes have no room for a publisher, but say so only when asked: the viewer hears why, or gets the third."""
    cluster = trio({"edge-a": {"EDGE_NODE_SUB_MAX": "1"}, "edge-b": {"EDGE_LIMITS_MAX_SESSIONS": "1"}})
    a, b = cluster.edge("edge-a"), cluster.edge("edge-b")
    encoder(f"{cluster.url}/api/whip/edge-a/demo")
    encoder(f"{cluster.url}/api/whip/edge-b/other")
    published(cluster, "demo", a)
    published(cluster, "other", b)
    url = f"{cluster.url}/whep/demo"
    peers.play(url)
    viewers = [peers.play(url) for _ in range(2)]
    assert {node_of(viewer, cluster).alias for viewer in viewers} == {"edge-c"}
    for viewer in viewers:
        plays(viewer)
    # With nowhere left to go the answer is 503 with a time and a reason.
    refused = post_offer(f"{url}?node=edge-b", peers.offer(is_publisher=False))
    assert refused.status == 503 and int(refused.headers["Retry-After"]) > 0
    assert "can't be brought" in refused.json["error"], refused.text


def test_viewer_in_another_region_is_served_there(trio, encoder, peers):
    cluster = trio({"edge-a": {"EDGE_NODE_REGION": "us"}, "edge-b": {"EDGE_NODE_REGION": "eu"}}, COORDINATOR_ROUTING_POLICY="nearest")
    encoder(f"{cluster.url}/api/whip/edge-a/demo")
    published(cluster, "demo", cluster.edge("edge-a"))
    for region, home in (("eu", "edge-b"), ("us", "edge-a")):
        viewer = peers.play(f"{cluster.url}/whep/demo?region={region}")
        assert node_of(viewer, cluster).alias == home
        plays(viewer)
    assert node_of(peers.play(f"{cluster.url}/whep/demo?region=mars"), cluster).alias in ALIASES


@pytest.mark.parametrize("mode", ["pull", pytest.param("push", marks=pytest.mark.slow)])
def test_source_that_is_killed_is_replaced_and_viewers_stay(trio, encoder, peers, mode):
    cluster = trio(COORDINATOR_CASCADE_MODE=mode)
    a, b = cluster.edge("edge-a"), cluster.edge("edge-b")
    first = encoder(f"{cluster.url}/api/whip/edge-a/demo")
    published(cluster, "demo", a)
    viewer = peers.play(f"{cluster.url}/whep/demo?node=edge-b")
    plays(viewer)
    assert upstream(b, "demo") == ["edge-a"]
    a.kill()
    killed = time.monotonic()
    first.stop()
    encoder(f"{cluster.url}/whip/demo")
    eventually("the copy has another source", lambda: upstream(b, "demo") == ["edge-c"], 15)
    plays(viewer)
    print(f"{mode}: {time.monotonic() - killed:.1f} s until a second of video came from the new source, pause {viewer.longest_pause:.1f} s")
    assert viewer.state == "connected" and viewer.longest_pause < 10


def test_node_in_the_middle_is_killed(trio, encoder, peers):
    """A publishes, B has it from A, C from B: without B, C gets it from A and its viewer stays."""
    cluster = trio({})
    a, b, c = cluster.edges
    encoder(f"{cluster.url}/api/whip/edge-a/demo")
    published(cluster, "demo", a)
    for onto, source in ((b, a), (c, b)):
        body = json.dumps({"sourceUrl": f"{source.url}/whep/demo", "idleSeconds": 0})
        assert call("POST", f"{onto.url}/api/cascade/demo", body, {"Content-Type": "application/json"}).status == 200
    assert upstream(c, "demo") == ["edge-b", "edge-a"]
    # Else the coordinator may bring the stream to C by another way at the same moment.
    eventually("the coordinator knows of the copies", lambda: set(cluster.stream("demo")["nodes"]) == {"edge-a", "edge-b", "edge-c"}, 10)
    viewer = peers.play(f"{cluster.url}/whep/demo?node=edge-c")
    plays(viewer)
    b.kill()
    eventually("C has it from A", lambda: upstream(c, "demo") == ["edge-a"], 15)
    plays(viewer)
    assert viewer.state == "connected"


class Wanderer:
    """A viewer or publisher as they should be: when the session is ended it asks again, at the same address."""

    def __init__(self, open_at, url: str):
        self._open, self.url = open_at, url
        self.sessions = [open_at(url)]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def now(self):
        return self.sessions[-1]

    @property
    def frames(self) -> int:
        return sum(session.frames for session in self.sessions)

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            if self.now.state in ("closed", "failed"):
                with contextlib.suppress(AssertionError, OSError):
                    self.sessions.append(self._open(self.url))

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(5)


def test_drained_node_is_left_by_everybody_and_nothing_is_lost(trio, peers):
    cluster = trio({}, aliases=("edge-a", "edge-b"))
    a, b = cluster.edges
    source = Wanderer(peers.publish, f"{cluster.url}/api/whip/edge-a/rec-drain")
    published(cluster, "rec-drain", a)
    wanderer = Wanderer(peers.play, f"{cluster.url}/whep/rec-drain")
    try:
        plays(wanderer)
        source.url = f"{cluster.url}/whip/rec-drain"
        node = call("POST", f"{cluster.url}/api/nodes/edge-a/drain").json
        assert node["status"] == "draining" and not node["drained"]
        eventually("the node is empty", lambda: next(n for n in cluster.get("/api/nodes") if n["alias"] == "edge-a")["drained"], 30)
        assert call("GET", f"{a.url}/api/info").json["drained"]
        published(cluster, "rec-drain", b)
        plays(wanderer)
        assert node_of(wanderer.now, cluster) is b
        # New ones are refused there and come to the other node.
        assert post_offer(f"{a.url}/whip/fresh", peers.offer()).status == 503
        assert node_of(peers.publish(f"{cluster.url}/whip/fresh"), cluster) is b
        first = next(row for row in cluster.recordings("rec-drain") if row["node_alias"] == "edge-a")
        assert str(first["status"]).lower() == "completed"
        eventually("recorded on", lambda: any(row["node_alias"] == "edge-b" for row in cluster.recordings("rec-drain")), 15)
        # Gone for good, nothing is missed; started again, it is still drained, until it is taken back.
        assert a.stop() == 0
        plays(wanderer)
        a.start()
        eventually("still drained", lambda: call("GET", f"{a.url}/api/info").json["status"] == "draining", 15)
        assert call("POST", f"{cluster.url}/api/nodes/edge-a/undrain").status == 200
        eventually("back in service", lambda: cluster.status("edge-a") == "running")
        assert call("GET", f"{a.url}/api/info").json["status"] == "running"
        assert post_offer(f"{cluster.url}/api/whip/edge-a/fresh-again", peers.offer()).status == 201
    finally:
        wanderer.stop()
        source.stop()


TOKENS = {"EDGE_AUTH_TOKENS": '["node-secret"]', "EDGE_AUTH_ROOM_TOKENS": '{"demo": "guest"}'}


def sdp_headers(**more: str) -> dict[str, str]:
    return {"Content-Type": "application/sdp"} | {name.replace("_", "-"): value for name, value in more.items()}


def test_only_who_may_relay_says_that_it_does(trio, peers):
    """The header takes a session past the lock on the stream and past the viewer limit."""
    cluster = trio({alias: TOKENS for alias in ALIASES}, COORDINATOR_AUTH_TOKENS='["node-secret"]')
    a, b, _ = cluster.edges
    guest, node = "Bearer guest", "Bearer node-secret"
    made = call("POST", f"{a.url}/whip/demo", peers.offer(), sdp_headers(Authorization=guest))
    assert made.status == 201, made.text
    eventually("locked", lambda: call("GET", f"{a.url}/api/streams/demo", headers={"Authorization": node}).json["fence"] > 0)
    assert call("POST", f"{b.url}/whip/demo", peers.offer(), sdp_headers(Authorization="Bearer node-secret")).status == 409
    for kind in ("whip", "whep"):
        refused = call(
            "POST", f"{b.url}/{kind}/demo", peers.offer(kind == "whip"), sdp_headers(Authorization=guest, Tributary_Cascade="edge-a"))
        assert refused.status == 403 and "Tributary-Cascade" in refused.json["error"], refused.text
    relayed = call("POST", f"{b.url}/whip/demo", peers.offer(), sdp_headers(Authorization=node, Tributary_Cascade="edge-a"))
    assert relayed.status == 201, relayed.text


def test_redirected_client_needs_no_credential_of_the_node(trio, encoder, peers):
    each = {"EDGE_AUTH_TOKENS": '["node-secret"]'}
    cluster = trio(
        {alias: each for alias in ALIASES}, COORDINATOR_ROUTING_MODE="redirect", COORDINATOR_AUTH_TOKENS='["node-secret"]',
        COORDINATOR_AUTH_ROOM_TOKENS='{"demo": "guest", "other": "guest-too"}')
    guest = {"Authorization": "Bearer guest"}
    sent = call("POST", f"{cluster.url}/whip/demo", peers.offer(), sdp_headers(**guest))
    assert sent.status == 307 and "via=1&grant=" in sent.headers["Location"], sent.text
    location = sent.headers["Location"]
    edge = next(edge for edge in cluster.edges if location.startswith(edge.url))
    # Only for this stream, this action and this node, and once.
    wrong = location.replace("/whip/demo", "/whip/other"), location.replace("/whip/", "/whep/")
    assert [call("POST", url, peers.offer(), sdp_headers()).status for url in wrong] == [403, 403]
    other = next(each for each in cluster.edges if each is not edge)
    assert call("POST", location.replace(edge.url, other.url), peers.offer(), sdp_headers()).status == 401
    made = call("POST", location, peers.offer(), sdp_headers(**guest))
    assert made.status == 201, made.text
    assert call("POST", location, peers.offer(), sdp_headers()).status == 401
    assert call("POST", f"{edge.url}/whip/demo", peers.offer(), sdp_headers(**guest)).status == 401
    # The session is the client's, by its address, and with the token that the coordinator knows.
    session = made.headers["Location"]
    assert session.startswith(f"{edge.url}/session/demo/"), "a path would be taken as the coordinator's"
    assert call("DELETE", session, headers={"Authorization": "Bearer guest-too"}).status == 401
    assert call("DELETE", session, headers=guest).status == 200


@pytest.mark.alone
@pytest.mark.parametrize("stream", ["rec-demo", "by-hand"])
def test_publisher_of_a_killed_node_lands_elsewhere_and_its_recording_goes_on(trio, peers, stream):
    """Recorded because the nodes' rules say so, or because somebody asked for it."""
    short = {"EDGE_RECORDER_SEGMENT_SECONDS": "1"}
    cluster = trio({"edge-a": short, "edge-b": short}, aliases=("edge-a", "edge-b"))
    a, b = cluster.edges
    peers.publish(f"{cluster.url}/api/whip/edge-a/{stream}")
    published(cluster, stream, a)
    place = stream
    if stream == "by-hand":
        place = "shows/tonight"
        asked = call("POST", f"{cluster.url}/api/record/{stream}", '{"base_dir": "shows/tonight"}', {"Content-Type": "application/json"})
        assert asked.status == 200 and asked.json["record_dir"] == place, asked.text
    eventually("the coordinator knows a segment", lambda: any(row["duration"] > 0.5 for row in cluster.recordings(stream)), 20, every=0.2)
    a.kill()
    eventually("found out", lambda: cluster.status("edge-a") == "lost", 6, every=0.02)
    lost = time.monotonic()

    def is_taken() -> bool:
        with contextlib.suppress(AssertionError):
            peers.publish(f"{cluster.url}/whip/{stream}")
            return True
        return False

    eventually("taken elsewhere", is_taken, 6, every=0.1)
    took = time.monotonic() - lost
    assert took <= 3, f"{took:.1f} s after the death was noticed"
    published(cluster, stream, b)
    manifest = lambda: call("GET", f"{cluster.url}/api/playback/{stream}/manifest.mpd")  # noqa: E731
    # One timeline: the dead node's recording, and the living one's behind it.
    eventually("both", lambda: {row["node_alias"] for row in cluster.recordings(stream)} == {"edge-a", "edge-b"}, 20, every=0.2)
    eventually("on one timeline", lambda: all(f"?node={edge.alias}" in manifest().text for edge in (a, b)), 20, every=0.2)
    assert all(row["mpd_path"].startswith(f"{place}/") for row in cluster.recordings(stream))
