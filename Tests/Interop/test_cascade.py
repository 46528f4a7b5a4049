"""Streams between nodes that know nothing of each other but a URL: pulled over WHEP, pushed over WHIP, lost, found and hung up."""

import json
import pathlib
import socket
import threading
import time

import pytest

import sources
from programs import BINARIES, Edge, Program, eventually
from servers import PeerServer
from wire import call, post_offer

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def node(tmp_path):
    """Makes edge nodes; each is stopped at the end, and has to stop well unless it was killed."""
    started: list[Edge] = []

    def make(alias: str, **settings: str) -> Edge:
        edge = Edge(alias, tmp_path, {"EDGE_CASCADE_IDLE_SECONDS": "2"} | settings)
        edge.killed = False
        edge.start()
        started.append(edge)
        return edge

    yield make
    statuses = {}
    try:
        for edge in started:
            statuses[edge.alias] = (edge.is_running, edge.killed, edge.stop())
    finally:
        for edge in started:
            edge.kill()
    for alias, (was_running, was_killed, status) in statuses.items():
        assert was_killed or (was_running and status == 0), f"{alias}: running {was_running}, status {status}"


@pytest.fixture
def encoder(tmp_path):
    """Makes an encoder that sends a film over and over, and is killed at the end."""
    film = tmp_path / "film.mkv"
    sources.film(film, 4)
    started = []

    def make(url: str, *more: str) -> Program:
        program = Program(
            f"encoder-{len(started)}", [str(BINARIES / "edge-bench"), "publish", "--url", url, "--input", str(film), "--loop", *more], tmp_path)
        program.start()
        started.append(program)
        return program

    yield make
    for program in started:
        program.kill()


def cascade(edge: Edge, stream: str, headers: dict | None = None, **body):
    return call("POST", f"{edge.url}/api/cascade/{stream}", json.dumps(body), JSON | (headers or {}))


def record(edge: Edge, stream: str) -> dict | None:
    answer = call("GET", f"{edge.url}/api/streams/{stream}")
    return answer.json if answer.status == 200 else None


def live(edge: Edge, stream: str, side: str = "subscribe") -> list[dict]:
    found = record(edge, stream)
    return [session for session in found[side]["sessions"] if session["leaveAt"] == 0] if found else []


def published(edge: Edge, stream: str) -> list[dict]:
    return eventually(
        f"{stream} published on {edge.alias}",
        lambda: [session for session in live(edge, stream, "publish") if session["state"] == "connected"])


def links(edge: Edge, stream: str) -> list[dict]:
    answer = call("GET", f"{edge.url}/api/cascade/{stream}")
    assert answer.status == 200, answer.text
    return answer.json


def plays(viewer, frames: int = 30, samples: int = 30_000) -> None:
    eventually(
        f"{frames} frames and {samples} samples", lambda: viewer.frames >= frames and viewer.samples >= samples and viewer.is_heard, 20)


def pulls(edge: Edge, source: Edge, stream: str, **more):
    answer = cascade(edge, stream, sourceUrl=f"{source.url}/whep/{stream}", **more)
    assert answer.status == 200, answer.text
    return answer.json


def test_pulled_stream_plays_and_goes_when_nobody_watches(node, encoder, peers):
    a, b = node("a"), node("b")
    encoder(f"{a.url}/whip/rec-demo")
    published(a, "rec-demo")
    status = pulls(b, a, "rec-demo")
    assert status["direction"] == "pull" and status["sessionUrl"].startswith(f"{a.url}/session/rec-demo/")
    session = published(b, "rec-demo")[0]
    assert session["id"] == status["session"]
    assert session["cascade"] == {"sourceUrl": f"{a.url}/whep/rec-demo", "sessionUrl": status["sessionUrl"]}
    viewers = [peers.play(f"{b.url}/whep/rec-demo") for _ in range(2)]
    for viewer in viewers:
        plays(viewer)
    # However many watch on B, A has one viewer, and knows that it is another node.
    assert [viewer.get("cascade") for viewer in live(a, "rec-demo")] == [{}]
    # The original is recorded as its node is told to; the copy is not.
    assert record(a, "rec-demo")["recording"] and not record(b, "rec-demo")["recording"]
    # A second request for the same changes nothing.
    assert pulls(b, a, "rec-demo")["session"] == status["session"]
    for viewer in viewers:
        viewer.hang_up()
    eventually("hung up at A", lambda: live(a, "rec-demo") == [], 8)
    assert [(link["state"], link["reason"]) for link in links(b, "rec-demo")] == [("ended", "idle")]
    # The DELETE came: the session is not there, rather than silent.
    assert call("DELETE", status["sessionUrl"]).status == 404


def test_pushed_stream_plays_at_the_other_node(node, encoder, peers):
    a, c = node("a"), node("c")
    encoder(f"{a.url}/whip/rec-push")
    published(a, "rec-push")
    answer = cascade(a, "rec-push", targetUrl=f"whip://127.0.0.1:{c.port}/whip/rec-other")
    assert answer.status == 200, answer.text
    published(c, "rec-other")
    viewer = peers.play(f"{c.url}/whep/rec-other")
    plays(viewer)
    assert not record(c, "rec-other")["recording"]
    session = live(a, "rec-push")[0]
    assert session["cascade"] == {"targetUrl": f"{c.url}/whip/rec-other", "sessionUrl": answer.json["sessionUrl"]}
    # Ending the session here ends it there, as with live777.
    assert call("DELETE", f"{a.url}/session/rec-push/{session['id']}").status == 200
    eventually("gone at C", lambda: live(c, "rec-other", "publish") == [])
    assert links(a, "rec-push")[0]["state"] == "ended"


def test_two_streams_between_the_same_two_nodes(node, encoder, peers):
    """Both sides have one media port each; what the second session sends must not end up in the first."""
    a, b = node("a", EDGE_WEBRTC_LOOPS="1"), node("b", EDGE_WEBRTC_LOOPS="1")
    for stream in ("one", "two", "three"):
        encoder(f"{a.url}/whip/{stream}")
    for stream in ("one", "two", "three"):
        published(a, stream)
        pulls(b, a, stream)
    viewers = [peers.play(f"{b.url}/whep/{stream}") for stream in ("one", "two", "three")]
    for viewer in viewers:
        plays(viewer)


def test_source_that_is_killed_is_reported_and_found_again(node, encoder, peers):
    a, b = node("a"), node("b")
    first = encoder(f"{a.url}/whip/demo")
    published(a, "demo")
    status = pulls(b, a, "demo")
    viewer = peers.play(f"{b.url}/whep/demo")
    plays(viewer)
    a.killed = True
    a.kill()
    killed = time.monotonic()
    lost = eventually("reported", lambda: [link for link in links(b, "demo") if link["state"] != "connected"], 12)
    assert time.monotonic() - killed < 10
    assert lost[0]["reason"]
    ended = [session for session in record(b, "demo")["publish"]["sessions"] if session["id"] == status["session"]]
    assert ended[0]["state"] == "failed" and ended[0]["leaveAt"] > 0
    # The node comes back under the same address, its publisher too: whoever still waits sees the stream again.
    first.kill()
    a.start()
    encoder(f"{a.url}/whip/demo")
    seen = viewer.frames
    eventually("pictures again", lambda: viewer.frames > seen + 30, 25)
    assert viewer.state == "connected"
    a.killed = False


def test_publisher_that_leaves_ends_nothing_while_it_may_come_back(node, encoder, peers):
    a, b = node("a"), node("b")
    first = encoder(f"{a.url}/whip/demo")
    published(a, "demo")
    pulls(b, a, "demo")
    viewer = peers.play(f"{b.url}/whep/demo")
    plays(viewer)
    first.kill()
    # Longer than a dead source is waited for: this one still answers.
    for _ in range(16):
        time.sleep(0.5)
        assert [link["state"] for link in links(b, "demo")] == ["connected"]
    seen = viewer.frames
    encoder(f"{a.url}/whip/demo")
    eventually("pictures again", lambda: viewer.frames > seen + 30, 20)


def test_loops_and_long_ways_are_refused(node, encoder):
    a, b, c = node("a"), node("b"), node("c", EDGE_CASCADE_MAX_DEPTH="1")
    encoder(f"{a.url}/whip/demo")
    published(a, "demo")
    # Itself.
    answer = cascade(b, "demo", sourceUrl=f"{b.url}/whep/demo")
    assert answer.status in (502, 508), answer.text
    pulls(b, a, "demo", idleSeconds=0)
    published(b, "demo")
    # B would be its own source's source.
    for stream, body in (("demo", {"sourceUrl": f"{b.url}/whep/demo"}), ("other", {"sourceUrl": f"{b.url}/whep/demo"})):
        answer = cascade(a, stream, **body)
        assert (answer.status, "508" in answer.text) in ((502, True), (409, False)), answer.text
    answer = cascade(b, "demo", targetUrl=f"{a.url}/whip/fresh")
    assert answer.status == 502 and "508" in answer.text, answer.text
    # One node on the way is all that C allows.
    answer = cascade(c, "demo", sourceUrl=f"{b.url}/whep/demo")
    assert answer.status == 508 and "too many" in answer.text, answer.text
    # What C did not take is not left open at B.
    eventually("nothing left at B", lambda: live(b, "demo") == [])
    header = {"Tributary-Cascade": "a,,b"}
    assert call("POST", f"{a.url}/whep/demo", "v=0", header | {"Content-Type": "application/sdp"}).status == 400


def test_token_is_needed_and_shown(node, encoder, peers):
    a = node("a", EDGE_AUTH_TOKENS='["sesame"]')
    b = node("b")
    encoder(f"{a.url}/whip/demo", "--token", "sesame")
    url = f"{a.url}/whep/demo"
    eventually("published", lambda: cascade(b, "demo", sourceUrl=url, token="sesame").status == 200)
    plays(peers.play(f"{b.url}/whep/demo"))
    for token in (None, "wrong"):
        answer = cascade(b, f"with-{token}", sourceUrl=url, **({"token": token} if token else {}))
        assert answer.status == 502 and "401" in answer.text, answer.text
        assert record(b, f"with-{token}") is None
    # As live777 wants it, with the scheme.
    assert cascade(b, "again", sourceUrl=url, token="Bearer sesame").status == 200
    assert "sesame" not in b.log.read_text() + json.dumps(record(b, "demo")) + json.dumps(links(b, "demo"))


class FakeEndpoint:
    """Answers every request with one prepared HTTP answer and remembers what it was asked."""

    def __init__(self, answer: str):
        self.answer, self.requests = answer, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/whep/x"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(4096) or b"\r\n\r\n"
                    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
                    body = head.split(b"\r\n\r\n", 1)[1]
                    while len(body) < length:
                        body += connection.recv(4096)
                    self.requests.append(head.decode(errors="replace"))
                    connection.sendall(self.answer.encode())
                except OSError:
                    pass

    def close(self) -> None:
        self.listener.close()


def made(status: str, headers: str = "", body: str = "") -> str:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n{body}"


@pytest.mark.parametrize("answer, words", [
    (made("503 Busy", "Retry-After: 5\r\n", '{"error": "full up"}'), "503 full up"),
    (made("404 Not Found", body="no such\r\nthing"), "404 no such"),
    (made("201 Created", body="v=0"), "names no session"),
    (made("201 Created", "Location: /session/1\r\n", "this is no SDP"), "malformed SDP"),
    (made("201 Created", "Location: /session/1\r\nTributary-Cascade: <>\r\n", "v=0"), "not a list"),
    (made("307 Elsewhere", "Location: ftp://127.0.0.1/\r\n"), "redirect"),
    (made("307 Round", "Location: /whep/x\r\n"), "redirects"),
    (made("200 OK", "Location: /session/1\r\n", "x"), "200"),
    (made("201 Created", "Location: /session/1\r\n", "v" * 200_000), "too long"),
    ("not HTTP at all\r\n\r\n", "cannot be reached"),
], ids=["busy", "unknown", "no location", "no sdp", "bad path", "bad redirect", "round", "wrong success", "too long", "no http"])
def test_other_nodes_that_misbehave(module_node, answer, words):
    endpoint = FakeEndpoint(answer)
    try:
        refused = cascade(module_node, "odd", sourceUrl=endpoint.url, token="secret")
        assert refused.status in (502, 508), refused.text
        assert words in refused.json["error"], refused.text
        assert record(module_node, "odd") is None
        assert "secret" not in refused.text and "secret" not in module_node.log.read_text()
    finally:
        endpoint.close()


def test_token_stays_with_the_origin_it_was_given_for(module_node):
    second = FakeEndpoint(made("403 No"))
    first = FakeEndpoint(made("307 There", f"Location: {second.url}\r\n"))
    try:
        assert cascade(module_node, "odd", sourceUrl=first.url, token="secret").status == 502
        assert "Bearer secret" in first.requests[0] and "secret" not in second.requests[0]
        assert "tributary-cascade: odd-node" in first.requests[0].lower()
    finally:
        first.close()
        second.close()


@pytest.fixture(scope="module")
def module_node(tmp_path_factory):
    edge = Edge("odd-node", tmp_path_factory.mktemp("odd"), {})
    try:
        edge.start()
        yield edge
        assert edge.stop() == 0
    finally:
        edge.kill()


@pytest.mark.parametrize("body, status, field", [
    ("", 400, "JSON"), ("[]", 400, "JSON"), ("{}", 400, "sourceUrl"), ('{"sourceUrl": 5}', 400, "sourceUrl"),
    ('{"sourceUrl": "ftp://127.0.0.1/x"}', 400, "sourceUrl"), ('{"sourceUrl": "file:///etc/passwd"}', 400, "sourceUrl"),
    ('{"sourceUrl": "http://u:p@127.0.0.1/x"}', 400, "sourceUrl"), ('{"targetUrl": "//127.0.0.1/x"}', 400, "targetUrl"),
    ('{"sourceUrl": "http://127.0.0.1/", "targetUrl": "http://127.0.0.1/"}', 400, "targetUrl"),
    ('{"sourceUrl": "http://127.0.0.1/", "token": "a\\r\\nHost: b"}', 400, "token"),
    ('{"sourceUrl": "http://127.0.0.1/", "idleSeconds": -1}', 400, "idleSeconds"),
    ('{"targetUrl": "http://127.0.0.1:9/whip/x"}', 404, "no such stream"),
    ('{"sourceUrl": "whep://127.0.0.1:9/whep/x"}', 502, "cannot be reached"),
])
def test_bad_requests_name_the_field(module_node, body, status, field):
    answer = call("POST", f"{module_node.url}/api/cascade/wrong", body, JSON)
    assert (answer.status, field in answer.json["error"]) == (status, True), answer.text


def test_configured_streams_come_and_go_by_themselves(node, encoder, peers):
    """B fetches from whichever source works and gives to C; nobody asks for anything."""
    a, c = node("a"), node("c")
    sources_of_b = [{"url": "whep://127.0.0.1:9/whep/demo"}, {"url": f"whep://127.0.0.1:{a.port}/whep/demo"}]
    b = node("b", EDGE_STREAM=json.dumps({"demo": {"sources": sources_of_b, "targets": [{"url": f"whip://127.0.0.1:{c.port}/whip/copy"}]}}))
    encoder(f"{a.url}/whip/demo")
    eventually("there at C", lambda: any(session["state"] == "connected" for session in live(c, "copy", "publish")), 20)
    plays(peers.play(f"{c.url}/whep/copy"))
    # Hung up by hand, it comes back.
    assert call("DELETE", f"{b.url}/api/cascade/demo?url={a.url}/whep/demo").status == 204
    eventually("fetched again", lambda: any(session["state"] == "connected" for session in live(b, "demo", "publish")), 15)


def test_stream_with_a_publisher_is_not_pulled_over(node, encoder, peers):
    a, b = node("a"), node("b")
    encoder(f"{a.url}/whip/demo")
    published(a, "demo")
    assert cascade(a, "demo", sourceUrl=f"{b.url}/whep/demo").status == 409
    pulls(b, a, "demo", idleSeconds=0)
    published(b, "demo")
    # A publisher doesn't take the place of a cascade that works, and finds it free when the cascade is ended.
    assert post_offer(f"{b.url}/whip/demo", peers.offer()).status == 409
    assert call("DELETE", f"{b.url}/api/cascade/demo?url={a.url}/whep/other").status == 404
    assert call("DELETE", f"{b.url}/api/cascade/demo").status == 204
    assert call("DELETE", f"{b.url}/api/cascade/demo").status == 404
    eventually("hung up at A", lambda: live(a, "demo") == [])
    assert post_offer(f"{b.url}/whip/demo", peers.offer()).status == 201


def test_publisher_that_may_take_over_ends_the_cascade(node, encoder, peers):
    a, b = node("a"), node("b", EDGE_STRATEGY_OVERRIDE_PUBLISHER="true")
    encoder(f"{a.url}/whip/demo")
    published(a, "demo")
    pulls(b, a, "demo", idleSeconds=0)
    published(b, "demo")
    peers.publish(f"{b.url}/whip/demo")
    eventually("hung up at A", lambda: live(a, "demo") == [])
    assert links(b, "demo")[0]["state"] == "ended"
    assert published(b, "demo")[0].get("cascade") is None


def test_copies_need_no_lock_on_the_stream(redis_cluster, encoder, peers):
    """With Redis one node holds the stream; a copy on another, fetched or given, is no second publisher."""
    a, b = redis_cluster.edges
    encoder(f"{a.url}/whip/demo")
    published(a, "demo")
    assert record(a, "demo")["fence"] > 0
    pulls(b, a, "demo", idleSeconds=0)
    published(b, "demo")
    assert record(b, "demo")["fence"] == 0
    assert call("DELETE", f"{b.url}/api/cascade/demo").status == 204
    eventually("hung up", lambda: live(b, "demo", "publish") == [])
    assert cascade(a, "demo", targetUrl=f"{b.url}/whip/demo").status == 200
    published(b, "demo")
    plays(peers.play(f"{b.url}/whep/demo"))
    # A publisher of its own is still kept out of B, by A's lock once the copy is gone.
    assert call("DELETE", f"{a.url}/api/cascade/demo").status == 204
    eventually("gone at B", lambda: live(b, "demo", "publish") == [])
    assert post_offer(f"{b.url}/whip/demo", peers.offer()).status == 409


def test_servers_that_are_not_ours(node, peers):
    """aiortc as the other side, fetched from and given to: a full ICE agent that wants to be the DTLS client."""
    server, edge = PeerServer(peers), node("a")
    try:
        assert cascade(edge, "demo", sourceUrl=f"{server.url}/whep/x", token="secret").status == 200
        published(edge, "demo")
        plays(peers.play(f"{edge.url}/whep/demo"))
        assert {codec["codec"] for codec in record(edge, "demo")["codecs"]} == {"H264", "opus"}
        assert cascade(edge, "demo", targetUrl=f"{server.url}/whip/x").status == 200
        eventually("frames back at the server", lambda: server.frames > 30 and server.samples > 30_000, 20)
        assert server.headers[0]["Authorization"] == "Bearer secret" and server.headers[0]["Tributary-Cascade"] == "a"
        assert call("DELETE", f"{edge.url}/api/cascade/demo").status == 204
        eventually("both hung up", lambda: sorted(server.ended) == ["0", "1"])
    finally:
        server.close()


def test_nothing_is_left_of_cascades_that_ended(node, encoder):
    a, b = node("a"), node("b")
    encoder(f"{a.url}/whip/demo")
    published(a, "demo")

    def descriptors() -> int:
        return len(list(pathlib.Path(f"/proc/{b.process.pid}/fd").iterdir()))

    def round_trip() -> None:
        pulls(b, a, "demo", idleSeconds=0)
        published(b, "demo")
        assert call("DELETE", f"{b.url}/api/cascade/demo").status == 204
        eventually("hung up at A", lambda: live(a, "demo") == [])

    round_trip()
    before = descriptors()
    for _ in range(30):
        round_trip()
    eventually("no descriptor more", lambda: descriptors() <= before + 1)
